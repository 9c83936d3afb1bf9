"""streaq: sixteen tasks at once drained more than its 256."""

# mypy: disable-error-code="import-not-found, import-untyped"
# ruff: noqa: D102 - The base class says what each method does.
from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from streaq import Worker

from benchmarks.peers import witness
from benchmarks.peers.base import AsyncPeer, Facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from benchmarks.peers.payments import Fields


async def charge(payment: dict[str, Any]) -> None:
    """Charges nothing."""
    if hold_s := witness.executed(payment["details"]):
        await asyncio.sleep(hold_s)


class Streaq(AsyncPeer):
    """Deduplicates by the task's id, in `enqueue_many` as well."""

    facts = Facts(
        packages=("streaq", "coredis"),
        deduplicates="task id",
        worker="16 tasks at once, no results",
        drain_jobs=4_000,
        lateness="looks every half second (fixed)",
        recovery="idle timeout 5 s",
    )
    batch_size = 500

    async def open(self) -> None:
        self._start(60)
        await self._worker.__aenter__()

    async def close(self) -> None:
        await self._worker.__aexit__(None, None, None)

    async def enqueue(self, fields: Fields, delay_ms: int = 0) -> None:
        task = self._charge.enqueue(fields)
        task.id = fields["key"]
        await (task.start(delay=timedelta(milliseconds=delay_ms)) if delay_ms else task)

    async def enqueue_many(self, batch: Sequence[Fields]) -> None:
        tasks = [self._charge.enqueue(fields) for fields in batch]
        for task, fields in zip(tasks, batch, strict=True):
            task.id = fields["key"]
        await self._worker.enqueue_many(tasks)

    def work(self, part: str) -> None:
        self._start(5 if part == "recovery" else 60)
        self._worker.run_sync()

    def unfinished(self, redis: Redis) -> int:
        return int(redis.xlen("streaq:default:queues:normal"))

    def _start(self, idle_timeout_s: float) -> None:
        self._worker = Worker(self.url, concurrency=16, idle_timeout=idle_timeout_s)
        self._charge = self._worker.task(charge, name="charge", ttl=0, silent=True)


ADAPTER = Streaq
