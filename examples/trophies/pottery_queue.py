"""pottery 3.0.1: `RedisSimpleQueue`, which is to "remove and return an item from the queue", as `queue.SimpleQueue` does."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import redis
from pottery import QueueEmptyError, RedisSimpleQueue
from seen import Seen

from interlock.prove.contract import contract

if TYPE_CHECKING:
    from interlock.prove.world import World


def queue_of(url: str) -> RedisSimpleQueue:
    """A queue of a process."""
    return RedisSimpleQueue(redis=redis.Redis.from_url(url), key="jobs")


@contract(workers=2, faults=1, kinds=("lost reply",))
def an_item_that_was_put_is_returned(world: World) -> None:
    """The reply to the removal is lost: the queue takes that for a conflict, looks again, and says that it is empty."""
    seen = world.outside(Seen())
    queue = world.subject(partial(queue_of, world.redis_url))

    def gets() -> None:
        try:
            seen.note(world.now_s, str(queue().get(block=False)))
        except QueueEmptyError:
            seen.note(world.now_s, "empty")

    world.given(lambda: queue().put("m1"))
    world.run(gets)
    world.recover(gets, times=2)
    world.check(seen.answered("m1"))


@contract(workers=1, faults=0)
def get_nowait_does_not_wait(world: World) -> None:
    """It asks with `XREAD ... BLOCK 0`, which is for ever; the client's own timeout ends it."""
    seen = world.outside(Seen())
    queue = world.subject(partial(queue_of, world.redis_url))

    def gets() -> None:
        begun_s = world.now_s
        try:
            queue().get_nowait()
        except QueueEmptyError:
            seen.note(world.now_s, "at once" if world.now_s - begun_s < 1 else f"after {world.now_s - begun_s:g} s")

    world.run(gets)
    world.recover(lambda: None, times=1)
    world.check(seen.answered("at once"))


@contract(workers=2, faults=0)
def an_item_is_returned_once(world: World) -> None:
    """It stands."""
    seen = world.outside(Seen())
    queue = world.subject(partial(queue_of, world.redis_url))

    def gets() -> None:
        try:
            seen.note(world.now_s, str(queue().get(block=False)))
        except QueueEmptyError:
            seen.note(world.now_s, "empty")

    world.given(lambda: queue().put("m1"))
    world.run(gets)
    world.recover(gets, times=1)
    world.check(seen.answered("m1"), seen.answered_at_most("m1", 1, 1000))
