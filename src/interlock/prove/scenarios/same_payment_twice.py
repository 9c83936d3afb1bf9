"""The same payment, asked for twice, is charged once.

A button is pressed twice, a message is delivered twice, a caller that was not sure asks again a minute later. A key that is
made anew on every call recognises none of them; one that is looked up before it is stored lets both through if they come
together.

Two clients ask for one payment at the same time. A minute later, when it has been charged, one of them asks once more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.prove.contract import Scenario
from interlock.prove.contracts._asking import refused
from interlock.prove.contracts.retry_queue import Payment

if TYPE_CHECKING:
    from interlock.prove.contracts.retry_queue import RetryQueue
    from interlock.prove.world import World

NUMBER = 2


def arrange(world: World, queue: RetryQueue) -> None:
    """One payment from two clients, and once more after it was charged."""
    payment, rounds = Payment("p1"), list[int]()

    def clear_up() -> None:
        queue.process()
        rounds.append(1)
        if len(rounds) == AGAIN_AFTER:
            refused(queue.enqueue, payment)

    world.run(lambda: refused(queue.enqueue, payment))
    world.recover(clear_up, waits_s=queue.waits_s)
    queue.check(world, payment)


# Rounds of the worker that clears up: after the second one, a lease and a delay have passed, and it was charged.
AGAIN_AFTER = 2

SCENARIO = Scenario("the same payment twice", arrange)
