"""Two payments of one user in one second are two payments.

A user buys a ticket, and another one, for the same amount. A queue that names a payment by its user and the second, or by
what it says, takes the second for a repetition of the first, and drops it. In the incident of 17 October 2024 that was 37 %
of them.

One client asks for two payments at once, while another one asks for a third. All three are of one user, of one amount, and
within one second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.prove.contract import Scenario
from interlock.prove.contracts.retry_queue import Payment

if TYPE_CHECKING:
    from interlock.prove.contracts.retry_queue import RetryQueue
    from interlock.prove.world import World

NUMBER = 1


def arrange(world: World, queue: RetryQueue) -> None:
    """Three payments that only their keys tell apart, asked for at the same time."""
    first, second, third = Payment("p1"), Payment("p2"), Payment("p3")

    def two() -> None:
        queue.enqueue(first)
        queue.enqueue(second)

    world.run(two, lambda: queue.enqueue(third))
    world.recover(queue.process, waits_s=queue.waits_s)
    queue.check(world, first, second, third)


SCENARIO = Scenario("two payments of one user in one second", arrange)
