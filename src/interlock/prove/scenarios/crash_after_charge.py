"""A worker is killed after the money has moved and before the queue knows: it does not move again.

Nobody can make the charge and the note of it one step. What is left is to send the same idempotency key again, so that the
provider recognises it. A key that is made at each attempt is a new charge.

One payment is due, two workers work, and each of them is killed in turn, just after the provider has answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.prove.contract import Scenario
from interlock.prove.contracts.retry_queue import Payment
from interlock.prove.faults.crash_after import CrashAfter

if TYPE_CHECKING:
    from interlock.prove.contracts.retry_queue import RetryQueue
    from interlock.prove.effect import Effect
    from interlock.prove.fault import Fault
    from interlock.prove.world import World

NUMBER = 5


def arrange(world: World, queue: RetryQueue) -> None:
    """One payment, and workers of which one dies with the answer in its hands."""
    payment = Payment("p1")
    world.moods = ("ok", "declines once")
    world.given(lambda: queue.enqueue(payment))
    queue.wait_until_due(world)
    world.run(queue.process)
    world.recover(waits_s=queue.waits_s)
    queue.check(world, payment)


def strikes(fault: Fault, effect: Effect) -> bool:
    """After the request."""
    return isinstance(fault, CrashAfter) and effect.kind == "http"


SCENARIO = Scenario("crash after the charge", arrange, strikes=strikes)
