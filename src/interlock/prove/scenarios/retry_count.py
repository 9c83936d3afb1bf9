"""The count of attempts is kept, and at its limit the payment becomes a dead letter.

A count that is changed in memory, and stored nowhere, stays at zero: the payment is tried for ever, always after the
shortest delay. Two workers that both count lose one; a payment is given up too soon if one attempt is counted twice.

One payment is due and the provider declines it always, or until the last attempt that is allowed. Two workers work, and
then one, at half of each delay and after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.prove.contract import Scenario
from interlock.prove.contracts.retry_queue import Payment

if TYPE_CHECKING:
    from interlock.prove.contracts.retry_queue import RetryQueue
    from interlock.prove.world import World

NUMBER = 8


def arrange(world: World, queue: RetryQueue) -> None:
    """One payment that is declined again and again."""
    payment = Payment("p1")
    world.moods = ("declines", f"declines {queue.attempts - 1} times") if queue.attempts else ("declines 2 times",)
    world.given(lambda: queue.enqueue(payment))
    queue.wait_until_due(world)
    world.run(queue.process)
    world.recover(waits_s=queue.waits_s)
    queue.check(world, payment)


SCENARIO = Scenario("retry count kept and limit reached", arrange)
