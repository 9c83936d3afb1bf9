"""retryqueue itself: one process with an asyncio worker; enqueue blocking, from threads, from tasks and in batches."""

# ruff: noqa: D102 - The base class says what each method does.
from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks.peers import witness
from benchmarks.peers.base import AsyncClient, Facts, SyncPeer
from retryqueue import AsyncRetryQueue, Payment, Policy, RetryQueue, State, Succeeded, Worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from benchmarks.peers.pace import Window
    from benchmarks.peers.payments import Fields
    from retryqueue import Lease

LEASE_S = 5
POLICY = Policy(lease_ms=LEASE_S * 1_000)


async def charge(lease: Lease) -> Succeeded:
    """Charges nothing."""
    if hold_s := witness.executed(lease.payment.details):
        await asyncio.sleep(hold_s)
    return Succeeded("ch_1")


class Retryqueue(SyncPeer):
    """Deduplicates every enqueue by the payment's key, batches included, and compares the payload; checks every field."""

    facts = Facts(
        packages=("retryqueue", "redis"),
        deduplicates="key, payload compared",
        worker="200 payments at once, asyncio",
        drain_jobs=150_000,
        recovery=f"lease {LEASE_S} s",
        lease_s=LEASE_S,
    )
    threads = (8, 50)
    batch_size = 5_000

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._queue = RetryQueue(url, policy=POLICY)

    def enqueue(self, fields: Fields, delay_ms: int = 0) -> None:
        self._queue.enqueue(Payment(**fields), delay_ms=delay_ms)

    def enqueue_many(self, batch: Sequence[Fields]) -> None:
        self._queue.enqueue_many(Payment(**fields) for fields in batch)

    def batch(self, window: Window) -> dict[str, float]:
        return super().batch(window) | _FromTasks(self.url).batch(window)

    def work(self, part: str) -> None:  # noqa: ARG002 - One setting serves all parts.
        Worker(self.url, charge, policy=POLICY, concurrency=200).run()

    def unfinished(self, redis: Redis) -> int:  # noqa: ARG002 - Its own client counts.
        counts = self._queue.status().counts
        return sum(count for state, count in counts.items() if state is not State.SUCCEEDED)


class _FromTasks(AsyncClient):
    """The asyncio client, for the part `batch`."""

    async def open(self) -> None:
        self._queue = AsyncRetryQueue(self.url, policy=POLICY)

    async def close(self) -> None:
        await self._queue.aclose()

    async def enqueue(self, fields: Fields, delay_ms: int = 0) -> None:
        await self._queue.enqueue(Payment(**fields), delay_ms=delay_ms)


ADAPTER = Retryqueue
