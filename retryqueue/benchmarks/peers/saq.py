"""saq: ten jobs at once drained more than its hundred."""

# mypy: disable-error-code="import-not-found, import-untyped"
# ruff: noqa: D102 - The base class says what each method does.
from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from saq import Queue, Worker

from benchmarks.peers import witness
from benchmarks.peers.base import AsyncPeer, Facts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

    from benchmarks.peers.payments import Fields

TIMERS = {
    "drain": {},
    "lateness": {"schedule": 1},  # Whole seconds: the timer is also the expiry of a lock.
    "recovery": {"schedule": 1, "sweep": 1},
}


async def charge(_: Mapping[str, Any], *, payment: Mapping[str, Any]) -> None:
    """Charges nothing."""
    if hold_s := witness.executed(payment["details"]):
        await asyncio.sleep(hold_s)


class Saq(AsyncPeer):
    """Deduplicates every enqueue by the job's key."""

    facts = Facts(
        packages=("saq", "redis"),
        deduplicates="key",
        worker="10 jobs at once, no results",
        drain_jobs=7_000,
        lateness="looks every second (whole seconds only)",
        recovery="5 retries, timeout 5 s, sweep every second",
    )

    async def open(self) -> None:
        self._queue = Queue.from_url(self.url)
        await self._queue.connect()

    async def close(self) -> None:
        await self._queue.disconnect()

    async def enqueue(self, fields: Fields, delay_ms: int = 0) -> None:
        scheduled = time.time() + delay_ms / 1000 if delay_ms else 0
        await self._queue.enqueue(
            "charge", key=fields["key"], payment=fields, scheduled=scheduled, retries=5, timeout=5, ttl=-1
        )

    def work(self, part: str) -> None:
        async def run() -> None:
            await Worker(Queue.from_url(self.url), [charge], concurrency=10, timers=TIMERS[part]).start()

        asyncio.run(run())

    def unfinished(self, redis: Redis) -> int:
        return int(redis.zcard("saq:default:incomplete"))


ADAPTER = Saq
