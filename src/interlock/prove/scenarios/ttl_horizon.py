"""What recognises a payment lives longer than the payment is tried.

A key with an hour to live, of a payment that is tried for a day, is gone when the payment is asked for again: it is queued
a second time. A record that expires before its last attempt takes the payment with it.

One payment is declined until the last attempt that is allowed, and then charged. Before the first and after the last
attempt, and just before the time is over for which it is to be recognised, it is asked for again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.prove.contract import Scenario
from interlock.prove.contracts._asking import refused
from interlock.prove.contracts.retry_queue import Payment

if TYPE_CHECKING:
    from interlock.prove.contracts.retry_queue import RetryQueue
    from interlock.prove.world import World

NUMBER = 12


def arrange(world: World, queue: RetryQueue) -> None:
    """One payment, a day long, and somebody who asks for it again and again."""
    payment, rounds = Payment("p1"), list[int]()
    waits_s = queue.waits_s
    left_s = queue.known_for_s - sum(waits_s) - queue.due_after_s - MARGIN_S
    world.moods = (f"declines {(queue.attempts or 3) - 1} times",)

    def task() -> None:
        queue.process()
        rounds.append(1)
        if len(rounds) in {2, len(waits_s) - 1, len(waits_s) + 1}:
            refused(queue.enqueue, payment)

    world.given(lambda: queue.enqueue(payment))
    queue.wait_until_due(world)
    world.run(queue.process)
    world.recover(task, waits_s=(*waits_s, *((left_s,) if left_s > 0 else ()), *waits_s))
    queue.check(world, payment)


# Between the last time that it is asked for and the end of the time for which it is recognised.
MARGIN_S = 60.0

SCENARIO = Scenario("TTL against the retry horizon", arrange, workers=1)
