"""dramatiq 2.2.1: `ConcurrentRateLimiter`, with which "only `limit` concurrent operations may happen at the same time"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dramatiq.errors import RateLimitExceeded
from dramatiq.rate_limits import ConcurrentRateLimiter
from dramatiq.rate_limits.backends import RedisBackend
from seen import Seen

from interlock.prove.contract import contract

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.world import World

TTL_S = 30


def limiter(url: str, limit: int) -> ConcurrentRateLimiter:
    """A limiter of a process."""
    return ConcurrentRateLimiter(RedisBackend(url=url), "api", limit=limit, ttl=TTL_S * 1000)


def operation(world: World, seen: Seen, own: Callable[[], ConcurrentRateLimiter], begins_s: float, lasts_s: float) -> None:
    """An operation, if the limiter lets it begin; only one that is over within the TTL counts as inside."""
    world.wait(begins_s)
    try:
        with own().acquire():
            is_counted = lasts_s < TTL_S
            if is_counted:
                seen.enter()
            world.wait(lasts_s)
            if is_counted:
                seen.leave()
    except RateLimitExceeded:
        pass


@contract(workers=4, faults=1, kinds=("lost reply",))
def two_operations_at_a_time(world: World) -> None:
    """A reply is lost while a place is given back: the limiter takes that for a conflict, and gives it back again."""
    seen = world.outside(Seen())
    own = world.subject(limiter, world.redis_url, 2)
    begins_and_lasts_s = ((0, 20), (0, 1), (5, 3), (5, 3))
    world.run(*(lambda one=one: operation(world, seen, own, *one) for one in begins_and_lasts_s))
    world.recover(lambda: None, times=1)
    world.check(seen.inside_at_most(2))


@contract(workers=3, faults=0)
def a_late_operation_gives_back_its_own_place(world: World) -> None:
    """One operation outlives the TTL. The others keep within it, and there is room for one of them."""
    seen = world.outside(Seen())
    own = world.subject(limiter, world.redis_url, 1)
    begins_and_lasts_s = ((0, 35), (31, 10), (36, 10))
    world.run(*(lambda one=one: operation(world, seen, own, *one) for one in begins_and_lasts_s))
    world.recover(lambda: None, times=1)
    world.check(seen.inside_at_most(1))
