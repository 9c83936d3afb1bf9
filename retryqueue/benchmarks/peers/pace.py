"""How many payments per second a caller gets rid of: first a warm-up that does not count, then a timed window."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeAlias

    Step: TypeAlias = Callable[[], int]
    AsyncStep: TypeAlias = Callable[[], Awaitable[int]]
    Steps: TypeAlias = Callable[[], AsyncStep]


@dataclass(frozen=True, slots=True)
class Window:
    """Lengths of the warm-up and of the timed part, in seconds."""

    warm_up_s: float
    timed_s: float


def rate(step: Step, window: Window) -> float:
    """Payments per second of one caller that repeats `step`, which answers how many it enqueued."""
    _repeat(step, window.warm_up_s)
    return _repeat(step, window.timed_s)


def rate_of_threads(step: Step, window: Window, threads: int) -> float:
    """The same for so many threads at once, summed."""
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(lambda _: rate(step, window), range(threads)))


async def rate_of_tasks(step: AsyncStep, window: Window, tasks: int) -> float:
    """The same for so many tasks of one event loop, summed."""
    return sum(await asyncio.gather(*(_rate_of_task(step, window) for _ in range(tasks))))


def _repeat(step: Step, length_s: float) -> float:
    started_s = time.perf_counter()
    until_s, count = started_s + length_s, 0
    while time.perf_counter() < until_s:
        count += step()
    return count / (time.perf_counter() - started_s)


async def _rate_of_task(step: AsyncStep, window: Window) -> float:
    await _repeat_awaiting(step, window.warm_up_s)
    return await _repeat_awaiting(step, window.timed_s)


async def _repeat_awaiting(step: AsyncStep, length_s: float) -> float:
    started_s = time.perf_counter()
    until_s, count = started_s + length_s, 0
    while time.perf_counter() < until_s:
        count += await step()
    return count / (time.perf_counter() - started_s)
