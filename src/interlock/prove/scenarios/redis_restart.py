"""Redis restarts while workers work: what it had acknowledged is there, or nothing worse comes of it than work done again.

A restart ends every connection and forgets loaded scripts. With the usual `appendfsync everysec`, a machine that fails
loses the last second, too: a payment may be back where it was before it was charged. Only the key that was sent to the
provider knows.

One payment was accepted a while ago and two workers work. Redis restarts in turn at each of their commands, with nothing
lost and with the last second lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.prove.contract import Scenario
from interlock.prove.contracts.retry_queue import Payment
from interlock.prove.faults.restart import Restart

if TYPE_CHECKING:
    from interlock.prove.contracts.retry_queue import RetryQueue
    from interlock.prove.effect import Effect
    from interlock.prove.fault import Fault
    from interlock.prove.world import World

NUMBER = 11


def arrange(world: World, queue: RetryQueue) -> None:
    """One payment, and workers whose server restarts."""
    payment = Payment("p1")
    world.moods = ("ok", "declines once")
    world.given(lambda: queue.enqueue(payment))
    queue.wait_until_due(world)
    world.run(queue.process)
    world.recover(waits_s=queue.waits_s)
    queue.check(world, payment)


def strikes(fault: Fault, _: Effect) -> bool:
    """At each command."""
    return isinstance(fault, Restart)


SCENARIO = Scenario("Redis restart", arrange, strikes=strikes)
