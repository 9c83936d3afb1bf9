"""sherlock 0.4.1: `RedisLock`, and its `expire`: "if explicitly set to `None`, lock will not expire"."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import redis
import sherlock
from seen import Seen

from interlock.prove.contract import contract

if TYPE_CHECKING:
    from interlock.prove.world import World


def one_inside(world: World, expire_s: int | None) -> None:
    """Two who want one lock, and work for a second with it."""
    seen = world.outside(Seen())
    lock = world.subject(partial(lock_of, world.redis_url, expire_s))

    def works() -> None:
        if lock().acquire(blocking=False):
            seen.enter()
            world.wait(1)
            seen.leave()
            with suppress(sherlock.LockException):  # It has expired.
                lock().release()

    world.run(works)
    world.recover(lambda: None, times=1)
    world.check(seen.inside_at_most(1))


def lock_of(url: str, expire_s: int | None) -> sherlock.RedisLock:
    """A lock of a process."""
    return sherlock.RedisLock("job", client=redis.Redis.from_url(url), expire=expire_s, timeout=5)


@contract(workers=2, faults=0)
def a_lock_that_does_not_expire_is_held(world: World) -> None:
    """It deletes its own key when it is taken: `EXPIRE` with -1, because the script compares the text "-1" with a number."""
    one_inside(world, None)


@contract(workers=2, faults=1, kinds=("crash before", "crash after", "reset", "lost reply"))
def a_lock_that_expires_is_held(world: World) -> None:
    """It stands."""
    one_inside(world, 30)
