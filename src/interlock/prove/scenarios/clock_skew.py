"""A clock is wrong, or a worker is held up until its lease has ended: two work on one payment.

A lease that is written down as a time of day ends at once for a worker whose clock runs ahead. One that is held up at the
provider comes back when somebody else has taken over: it must not undo what they did, nor release what is theirs.

One payment is due, two workers work, and the clock of the second runs a minute and a half ahead. Each of them is held up in
turn, before each of its commands and requests, for longer than what it has taken lasts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.prove.contract import Scenario
from interlock.prove.contracts.retry_queue import Payment
from interlock.prove.faults.delay import Delay

if TYPE_CHECKING:
    from interlock.prove.contracts.retry_queue import RetryQueue
    from interlock.prove.effect import Effect
    from interlock.prove.fault import Fault
    from interlock.prove.world import World

NUMBER = 9

# As far as a machine without NTP drifts in a few weeks, and more than a lease usually lasts.
AHEAD_S = 90.0


def arrange(world: World, queue: RetryQueue) -> None:
    """One payment, and two workers of which the second is ahead of the time."""
    payment = Payment("p1")
    world.moods = ("ok", "declines once")
    world.clocks(ahead_s=(0.0, AHEAD_S))
    world.given(lambda: queue.enqueue(payment))
    queue.wait_until_due(world)
    world.run(queue.process)
    world.recover(waits_s=queue.waits_s)
    queue.check(world, payment)


def strikes(fault: Fault, _: Effect) -> bool:
    """Past whatever was taken."""
    return isinstance(fault, Delay)


SCENARIO = Scenario("clock skew and a lease that expires mid-charge", arrange, strikes=strikes)
