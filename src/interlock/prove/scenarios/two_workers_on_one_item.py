"""Two workers find one payment due, and one of them charges it.

Workers that look first and take afterwards both take. A worker that looked before another one had rescheduled the payment
takes it at once again, though its next attempt is an hour away.

One payment is due; two workers work on the queue, in every order of their commands. The provider takes the money, or
declines once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.prove.contract import Scenario
from interlock.prove.contracts.retry_queue import Payment

if TYPE_CHECKING:
    from interlock.prove.contracts.retry_queue import RetryQueue
    from interlock.prove.world import World

NUMBER = 3


def arrange(world: World, queue: RetryQueue) -> None:
    """One payment, and all workers after it."""
    payment = Payment("p1")
    world.moods = ("ok", "declines once")
    world.given(lambda: queue.enqueue(payment))
    queue.wait_until_due(world)
    world.run(queue.process)
    world.recover(waits_s=queue.waits_s)
    queue.check(world, payment)


SCENARIO = Scenario("two workers on one item", arrange)
