"""A command is carried out and its reply is lost: whoever sent it cannot tell, and sends it again.

Some clients send a command again by themselves (`redis.Redis(...)` does, `redis.Redis.from_url(...)` does not), so that it
is carried out twice: a payment is queued twice, an attempt counted twice. At the provider, a lost reply to a charge that
was made looks like one that never was; a new key charges again.

One client asks for a payment, again if it is told of an error, while a worker works. Each of their commands and requests
loses its reply in turn, or is lost on its way there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.prove.contract import Scenario
from interlock.prove.contracts._asking import until_heard
from interlock.prove.contracts.retry_queue import Payment
from interlock.prove.faults.lost_reply import LostReply
from interlock.prove.faults.reset import Reset

if TYPE_CHECKING:
    from interlock.prove.contracts.retry_queue import RetryQueue
    from interlock.prove.effect import Effect
    from interlock.prove.fault import Fault
    from interlock.prove.world import World

NUMBER = 7


def arrange(world: World, queue: RetryQueue) -> None:
    """A client that asks until it is told that it was heard, and a worker."""
    payment = Payment("p1")
    world.moods = ("ok", "declines once", "declines")

    def work() -> None:
        queue.process()
        if queue.due_after_s:
            world.wait(queue.due_after_s + 1)
            queue.process()

    world.run(lambda: until_heard(lambda: queue.enqueue(payment), world.wait), work)
    queue.must_ask(world)
    world.recover(queue.process, waits_s=queue.waits_s)
    queue.check(world, payment)


def strikes(fault: Fault, _: Effect) -> bool:
    """At every effect."""
    return isinstance(fault, LostReply | Reset)


SCENARIO = Scenario("lost reply on enqueue and on charge", arrange, strikes=strikes)
