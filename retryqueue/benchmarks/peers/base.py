"""What an adapter is: the few things the benchmark does with a queue, said in that queue's own words."""

# ruff: noqa: D102 - The first class says what each method does.
from __future__ import annotations

import asyncio
import itertools
from abc import ABC, abstractmethod
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from benchmarks.peers import pace, payments

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from redis import Redis

    from benchmarks.peers.pace import Window
    from benchmarks.peers.payments import Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the report says about a queue, and how much work it is given."""

    packages: tuple[str, ...]
    "Distributions whose versions are told, the queue's own first."
    deduplicates: str = ""
    "By what a single enqueue recognises a repeat; empty where nothing does."
    worker: str
    "The worker's setting in drain: the best one found."
    drain_jobs: int
    "How many payments it is given to drain, so that this takes some seconds."
    lateness: str = "as in drain"
    "The worker's setting in lateness."
    recovery: str
    "The setting in recovery: the most durable reasonable one, with short times."
    lease_s: float | None = None
    "How long a dead worker's payment stays its own, where the queue promises that."
    recovery_skipped: str = ""
    "Why recovery is only measured on request."


class Peer(ABC):
    """A queue on the server at `url`. Parts are `drain`, `lateness` and `recovery` (what a worker can be started for)."""

    facts: ClassVar[Facts]
    batch_size: ClassVar[int] = 0
    "Payments in one call of `enqueue_many`; 0 where the queue has no such call."

    def __init__(self, url: str) -> None:
        self.url = url

    @abstractmethod
    def single(self, window: Window) -> float:
        """Payments per second of one caller that enqueues one after the other, with deduplication where there is one."""

    @abstractmethod
    def batch(self, window: Window) -> dict[str, float]:
        """Payments per second of each way this queue has to enqueue many from one process."""

    @abstractmethod
    def fill(self, first: int, count: int) -> None:
        """Enqueues so many ordinary payments from number `first` on, the fastest way there is."""

    @abstractmethod
    def fill_due(self, at_s: Sequence[float]) -> None:
        """Enqueues one payment for each of these times (seconds since 1970)."""

    @abstractmethod
    def put(self, fields: Fields, part: str) -> None:
        """Enqueues this one payment for a worker of this part."""

    @abstractmethod
    def work(self, part: str) -> None:
        """Runs a worker in this process until it is killed."""

    @abstractmethod
    def unfinished(self, redis: Redis) -> int:
        """How many payments are not finished, in progress ones included, by what the queue keeps in Redis."""


class SyncPeer(Peer):
    """A queue with a blocking client."""

    threads: ClassVar[tuple[int, ...]] = ()
    "Numbers of threads to try in the part `batch`."

    @abstractmethod
    def enqueue(self, fields: Fields, delay_ms: int = 0) -> None:
        """Enqueues one payment."""

    def enqueue_many(self, batch: Sequence[Fields]) -> None:
        """Enqueues these in one call; for queues with a `batch_size`."""
        for fields in batch:
            self.enqueue(fields)

    def single(self, window: Window) -> float:
        return pace.rate(self._one(), window)

    def batch(self, window: Window) -> dict[str, float]:
        one = self._one()
        ways = {f"{threads} threads": pace.rate_of_threads(one, window, threads) for threads in self.threads}
        if self.batch_size:
            ways[f"enqueue_many of {self.batch_size}"] = pace.rate(self._many(), window)
        return ways

    def fill(self, first: int, count: int) -> None:
        source = payments.endless(first)
        for size in sizes(count, self.batch_size or 100):
            self.enqueue_many(list(itertools.islice(source, size)))

    def fill_due(self, at_s: Sequence[float]) -> None:
        for number, due_s in enumerate(at_s):
            self.enqueue(*payments.due(number, due_s))

    def put(self, fields: Fields, part: str) -> None:  # noqa: ARG002 - Some queues keep the setting with the payment.
        self.enqueue(fields)

    def _one(self) -> pace.Step:
        source = payments.endless()

        def step() -> int:
            self.enqueue(next(source))
            return 1

        return step

    def _many(self) -> pace.Step:
        source = payments.endless(10_000_000)

        def step() -> int:
            self.enqueue_many(list(itertools.islice(source, self.batch_size)))
            return self.batch_size

        return step


class AsyncClient(ABC):
    """The asyncio client of a queue: what of a peer can be done without a worker."""

    batch_size: ClassVar[int] = 0
    "Payments in one call of `enqueue_many`; 0 where the queue has no such call."
    tasks: ClassVar[int] = 50
    "Callers at once in the part `batch`."

    def __init__(self, url: str) -> None:
        self.url = url

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """The client, open in the running loop."""
        await self.open()
        try:
            yield
        finally:
            await self.close()

    @abstractmethod
    async def open(self) -> None:
        """Connects in the running loop."""

    @abstractmethod
    async def close(self) -> None:
        """Disconnects."""

    @abstractmethod
    async def enqueue(self, fields: Fields, delay_ms: int = 0) -> None:
        """Enqueues one payment."""

    async def enqueue_many(self, batch: Sequence[Fields]) -> None:
        """Enqueues these in one call where the queue has a `batch_size`, else one by one."""
        for fields in batch:
            await self.enqueue(fields)

    def single(self, window: Window) -> float:
        return asyncio.run(self._rate(self._one, window, 1))

    def batch(self, window: Window) -> dict[str, float]:
        ways = {f"{self.tasks} tasks": asyncio.run(self._rate(self._one, window, self.tasks))}
        if self.batch_size:
            ways[f"enqueue_many of {self.batch_size}"] = asyncio.run(self._rate(self._many, window, 1))
        return ways

    def fill(self, first: int, count: int) -> None:
        asyncio.run(self._fill(first, count))

    def fill_due(self, at_s: Sequence[float]) -> None:
        asyncio.run(self._fill_due(at_s))

    def put(self, fields: Fields, part: str) -> None:  # noqa: ARG002 - Some queues keep the setting with the payment.
        asyncio.run(self._put(fields))

    async def _rate(self, steps: pace.Steps, window: Window, tasks: int) -> float:
        async with self.connected():
            return await pace.rate_of_tasks(steps(), window, tasks)

    async def _fill(self, first: int, count: int) -> None:
        source = payments.endless(first)
        async with self.connected():
            for size in sizes(count, self.batch_size or 100):
                await self.enqueue_many(list(itertools.islice(source, size)))

    async def _fill_due(self, at_s: Sequence[float]) -> None:
        async with self.connected():
            for number, due_s in enumerate(at_s):
                await self.enqueue(*payments.due(number, due_s))

    async def _put(self, fields: Fields) -> None:
        async with self.connected():
            await self.enqueue(fields)

    def _one(self) -> pace.AsyncStep:
        source = payments.endless()

        async def step() -> int:
            await self.enqueue(next(source))
            return 1

        return step

    def _many(self) -> pace.AsyncStep:
        source = payments.endless(10_000_000)

        async def step() -> int:
            await self.enqueue_many(list(itertools.islice(source, self.batch_size)))
            return self.batch_size

        return step


class AsyncPeer(AsyncClient, Peer):
    """A queue with an asyncio client only."""


def sizes(count: int, most: int) -> list[int]:
    """`count` cut into pieces of at most `most`."""
    return [min(most, count - start) for start in range(0, count, most)]
