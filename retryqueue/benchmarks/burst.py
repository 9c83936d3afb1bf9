"""How long 1,000 enqueues take that come at the same moment: from 1,000 tasks of a loop, and from 1,000 threads.

    python benchmarks/burst.py --callers 1000 --rounds 9

Median of the rounds, with the fastest and the slowest, in milliseconds, from the moment in which all may begin until the last
caller has its receipt. `warm`: the queue was used before, as in a service that runs. `first`: the queue is new and unconnected.
The threads are waiting already when they are let go; what it takes to start them is not measured, but to let a thousand of them
run takes its time, so there is a row for threads that ask nobody anything. Every receipt is checked.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # Else `import queue` anywhere would find the file of that name here.

# ruff: noqa: E402
import argparse
import asyncio
import json
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from benchmarks.server import started
from retryqueue import AsyncRetryQueue, Payment, RetryQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from retryqueue import Receipt

Told = TypeVar("Told")

GOAL_MS = 100.0


def payments(callers: int, label: str) -> list[Payment]:
    """Payments that nobody has enqueued yet."""
    return [
        Payment(key=f"{label}-{number}", user_id=f"u{number}", amount_minor=4999, currency="EUR", payment_method_id="pm_1")
        for number in range(callers)
    ]


def check(receipts: Sequence[Receipt], callers: int) -> None:
    """Stops the benchmark if a payment was refused, or taken for another one."""
    if len(receipts) != callers or {receipt.answer for receipt in receipts} != {"new"}:
        sys.exit(f"not {callers} new payments: {receipts[:3]}")


def in_tasks(url: str, batch: list[Payment], *, warm: bool) -> float:
    """The time of a batch from as many tasks as it has payments, in ms."""
    return asyncio.run(_in_tasks(url, batch, warm=warm))


async def _in_tasks(url: str, batch: list[Payment], *, warm: bool) -> float:
    async with AsyncRetryQueue(url, durability="ignore") as queue:
        if warm:
            await queue.status()
        began = time.perf_counter()
        receipts = await asyncio.gather(*map(queue.enqueue, batch))
        took_ms = (time.perf_counter() - began) * 1000
    check(receipts, len(batch))
    return took_ms


def in_threads(url: str, batch: list[Payment], *, warm: bool) -> float:
    """The time of a batch from as many threads as it has payments, in ms."""
    with RetryQueue(url, durability="ignore") as queue:
        if warm:
            queue.status()
        receipts, took_ms = together(queue.enqueue, batch)
    check(receipts, len(batch))
    return took_ms


def asking_nobody(_: str, batch: list[Payment], *, warm: bool) -> float:  # noqa: ARG001 - like the others.
    """The time of as many threads that do nothing, in ms."""
    return together(lambda payment: payment, batch)[1]


def together(call: Callable[[Payment], Told], batch: list[Payment]) -> tuple[list[Told], float]:
    """What all calls answer, each in a thread of its own, and what passes from their release until the last answer, in ms."""
    released: list[float] = []
    gate = threading.Barrier(len(batch), action=lambda: released.append(time.perf_counter()))

    def begin(payment: Payment) -> tuple[Told, float]:
        gate.wait()
        return call(payment), time.perf_counter()

    with ThreadPoolExecutor(len(batch)) as threads:
        told = list(threads.map(begin, batch))
    return [answer for answer, _ in told], (max(ended for _, ended in told) - released[0]) * 1000


def measured(url: str, callers: int, rounds: int) -> dict[str, list[float]]:
    """The times of each way, in ms. The rounds of the ways take turns, so that all see the same machine."""
    ways: dict[str, tuple[Callable[..., float], bool]] = {
        "tasks, warm": (in_tasks, True),
        "threads, warm": (in_threads, True),
        "tasks, first": (in_tasks, False),
        "threads, first": (in_threads, False),
        "threads, asking nobody": (asking_nobody, True),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds):
        for way, (run, warm) in ways.items():
            times[way].append(run(url, payments(callers, f"{way.replace(', ', '-').replace(' ', '-')}-{number}"), warm=warm))
    return times


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="Times enqueues that come at the same moment.")
    parser.add_argument("--callers", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--redis", default="redis-server", help="the server's program")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes the times there")
    options = parser.parse_args()
    with started(options.redis) as server:
        times = measured(server.url, options.callers, options.rounds)
    for way, taken in times.items():
        spread = f"fastest {min(taken):.1f}, slowest {max(taken):.1f}"
        verdict = "within" if statistics.median(taken) <= GOAL_MS else "NOT within"
        facts = f"median {statistics.median(taken):.1f} ms ({spread}), {verdict} {GOAL_MS:.0f} ms"
        sys.stdout.write(f"{options.callers} {way}: {facts}\n")
    if options.json:
        options.json.write_text(
            json.dumps({way: [round(ms, 2) for ms in taken] for way, taken in times.items()}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
