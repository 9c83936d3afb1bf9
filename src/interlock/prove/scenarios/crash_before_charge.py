"""A worker is killed after it has taken a payment and before it charges it: somebody else does.

A payment that was taken out of the queue is nowhere while its worker holds it. If the worker dies then, it is lost; if it was
marked as taken and the mark never ends, it waits for ever.

One payment is due, two workers work, and each of them is killed in turn, just before its request is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.prove.contract import Scenario
from interlock.prove.contracts.retry_queue import Payment
from interlock.prove.faults.crash_before import CrashBefore

if TYPE_CHECKING:
    from interlock.prove.contracts.retry_queue import RetryQueue
    from interlock.prove.effect import Effect
    from interlock.prove.fault import Fault
    from interlock.prove.world import World

NUMBER = 4


def arrange(world: World, queue: RetryQueue) -> None:
    """One payment, and workers of which one dies with it in its hands."""
    payment = Payment("p1")
    world.moods = ("ok", "declines once")
    world.given(lambda: queue.enqueue(payment))
    queue.wait_until_due(world)
    world.run(queue.process)
    world.recover(waits_s=queue.waits_s)
    queue.check(world, payment)


def strikes(fault: Fault, effect: Effect) -> bool:
    """Before the request."""
    return isinstance(fault, CrashBefore) and effect.kind == "http"


SCENARIO = Scenario("crash before the charge", arrange, strikes=strikes)
