"""throttled-py 3.5.0: the fixed window, whose counter is to last for a window; it is written by an "atomic action"."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from seen import Seen
from throttled import Throttled, rate_limiter, store

from interlock.prove.contract import contract
from interlock.prove.invariant import Invariant

if TYPE_CHECKING:
    from interlock.prove.world import World


def throttled(url: str, using: str) -> Throttled:
    """A limiter of a process: one request a minute."""
    return Throttled(key="u1", using=using, quota=rate_limiter.per_min(1, burst=1), store=store.RedisStore(server=url))


@contract(workers=1, faults=1)
def a_fixed_window_leaves_nothing_for_ever(world: World) -> None:
    """INCRBY and EXPIRE are two commands: who dies between them leaves a counter that nobody removes."""
    limit = world.subject(partial(throttled, world.redis_url, "fixed_window"))

    def kept() -> str | None:
        names = [name.decode() for name in world.redis("KEYS", "*")]
        return next((f"{name} never expires" for name in names if world.redis("PTTL", name) == -1), None)

    world.run(lambda: limit().limit())
    world.recover(lambda: None, times=1)
    world.check(Invariant("every key expires", kept))


@contract(workers=2, faults=1, kinds=("crash before", "crash after", "reset", "lost reply"))
def a_token_bucket_allows_its_burst_and_its_rate(world: World) -> None:
    """It stands: no more than one at once and one a minute."""
    seen = world.outside(Seen())
    limit = world.subject(partial(throttled, world.redis_url, "token_bucket"))

    def tries() -> None:
        for pause_s in (0, 1, 30):
            world.wait(pause_s)
            seen.note(world.now_s, "refused" if limit().limit().limited else "allowed")

    world.run(tries)
    world.recover(lambda: None, times=1)
    world.check(seen.answered_at_most("allowed", 1, 59))
