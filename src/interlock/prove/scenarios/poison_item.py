"""A payment that fails however often it is tried is set aside, and holds nobody up.

The provider breaks at one payment, every time. A worker that lets the error end its round never comes to the payments
behind it; one that does not count such an attempt tries for ever. Bytes that are no payment at all do the same to a worker
that cannot read them.

Two payments are due. At the first, the provider answers 500, always. If the contract says how, bytes that cannot be read
are in the queue as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.prove.contract import Scenario
from interlock.prove.contracts.retry_queue import Payment
from interlock.prove.invariant import Invariant

if TYPE_CHECKING:
    from interlock.prove.contracts.retry_queue import RetryQueue
    from interlock.prove.world import World

NUMBER = 10

UNREADABLE = b'{"key": "p0", "user'


def arrange(world: World, queue: RetryQueue) -> None:
    """A payment that breaks the provider, with another one behind it."""
    poison, other = Payment("p1"), Payment("p2", user="u2")
    queue.provider.breaks_for = frozenset({poison.key})
    if queue.enqueue_unreadable is not None:
        enqueue = queue.enqueue_unreadable
        world.given(lambda: enqueue(UNREADABLE))
    world.given(lambda: queue.enqueue(poison))
    world.given(lambda: queue.enqueue(other))
    queue.wait_until_due(world)
    world.run(queue.process)
    world.recover(waits_s=queue.waits_s)
    queue.check(world, poison, other)
    world.check(charged(queue, other))


def charged(queue: RetryQueue, payment: Payment) -> Invariant:
    """Set aside is not enough for a payment that nothing is wrong with."""

    def broken() -> str | None:
        return (
            None if queue.provider.charged(payment.key) else f"{payment.key} is held up by another payment, and never charged"
        )

    return Invariant(f"{payment.key} is charged, whatever becomes of others", broken)


SCENARIO = Scenario("poison item", arrange)
