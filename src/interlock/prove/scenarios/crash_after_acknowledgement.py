"""A worker is killed around one of its commands to the server: what it had acknowledged must have been done.

A queue that removes a payment before it charges it loses it here. One that needs two commands to move a payment to the dead
letters, or to its next attempt, loses it between them, or has it twice.

One payment is due, two workers work, and each is killed in turn, before and after each of its commands. The provider takes
the money, declines once, or declines always; then all attempts but the last one have been made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.prove.contract import Scenario
from interlock.prove.contracts.retry_queue import Payment
from interlock.prove.faults.crash_after import CrashAfter
from interlock.prove.faults.crash_before import CrashBefore

if TYPE_CHECKING:
    from interlock.prove.contracts.retry_queue import RetryQueue
    from interlock.prove.effect import Effect
    from interlock.prove.fault import Fault
    from interlock.prove.world import World

NUMBER = 6


def arrange(world: World, queue: RetryQueue) -> None:
    """One payment, and workers of which one dies between two commands."""
    payment = Payment("p1")
    world.moods = ("ok", "declines", "declines once")

    def begin() -> None:
        queue.enqueue(payment)
        world.wait(queue.due_after_s)
        if queue.provider.never_charges:
            queue.up_to_the_last_attempt(world)

    world.given(begin)
    world.run(queue.process)
    queue.must_ask(world)
    world.recover(waits_s=queue.waits_s)
    queue.check(world, payment)


def strikes(fault: Fault, effect: Effect) -> bool:
    """Before and after each command."""
    return isinstance(fault, CrashBefore | CrashAfter) and effect.kind in {"redis", "postgres"}


SCENARIO = Scenario("crash after the acknowledgement", arrange, strikes=strikes)
