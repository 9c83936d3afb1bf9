"""hotqueue 0.2.8 and redis-simple-mq 2.0.1, on redis-py 8.1.0, which sends a command again whose reply was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import redis
from hotqueue import HotQueue
from seen import Seen
from simple_mq import SimpleMQ

from interlock.prove.contract import contract

if TYPE_CHECKING:
    from interlock.prove.world import World


@contract(workers=1, faults=1, kinds=("lost reply",))
def hotqueue_holds_a_message_once(world: World) -> None:
    """A message is put, and comes out twice."""
    seen = world.outside(Seen())
    queue = world.subject(lambda: HotQueue("jobs", serializer=None, host=urlsplit(world.redis_url).hostname))

    def drain() -> None:
        while (message := queue().get()) is not None:
            seen.note(world.now_s, message.decode())

    world.run(lambda: queue().put("m1"))
    world.recover(drain, times=2)
    world.check(seen.answered_at_most("m1", 1, 1000))


@contract(workers=1, faults=1, kinds=("lost reply",))
def simple_mq_gives_every_message(world: World) -> None:
    """Two messages are put. The consumer gets the second, no error, and then nothing."""
    seen = world.outside(Seen())
    queue = world.subject(lambda: SimpleMQ(redis.Redis(host=urlsplit(world.redis_url).hostname), "jobs"))

    def drain() -> None:
        while (message := queue().dequeue()) is not None:
            seen.note(world.now_s, message)

    world.given(lambda: queue().enqueue_bulk(["m1", "m2"]))
    world.run(drain)
    world.recover(drain, times=1)
    world.check(seen.answered("m1"), seen.answered("m2"))
