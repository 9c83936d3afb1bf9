"""redis-py 8.1.0: `Redis.lock`. "By default, it will remain locked until release() is called"."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import redis
from seen import Seen

from interlock.prove.contract import contract

if TYPE_CHECKING:
    from interlock.prove.world import World


def free_in_the_end(world: World, timeout_s: float | None) -> None:
    """Nobody dies, and everybody gives back what they were told they have: so the lock is free in the end."""
    seen = world.outside(Seen())
    client = world.subject(lambda: redis.Redis(host=urlsplit(world.redis_url).hostname))

    def works() -> None:
        lock = client().lock("job", timeout=timeout_s, blocking=False)
        if lock.acquire():
            seen.note(world.now_s, "acquired")
            lock.release()

    def looks() -> None:
        if not client().lock("job").locked():
            seen.note(world.now_s, "free")

    world.run(works)
    world.recover(looks, times=2)
    world.check(seen.answered("free"))


@contract(workers=2, faults=1, kinds=("lost reply",))
def a_lock_without_a_timeout_is_free_in_the_end(world: World) -> None:
    """The reply to SET is lost, the client sends it again by itself, and is told that somebody has the lock: it has."""
    free_in_the_end(world, None)


@contract(workers=2, faults=1)
def a_lock_with_a_timeout_is_free_in_the_end(world: World) -> None:
    """It stands."""
    free_in_the_end(world, 30)
