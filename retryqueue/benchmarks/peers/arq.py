"""arq: its defaults (10 jobs at once, a look every half second) drain 200 jobs a second, so both are raised."""

# mypy: disable-error-code="import-not-found, import-untyped"
# ruff: noqa: D102 - The base class says what each method does.
from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from arq import Worker, create_pool
from arq.connections import RedisSettings
from arq.worker import func

from benchmarks.peers import witness
from benchmarks.peers.base import AsyncPeer, Facts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

    from benchmarks.peers.payments import Fields


async def charge(_: Mapping[str, Any], payment: Mapping[str, Any]) -> None:
    """Charges nothing."""
    if hold_s := witness.executed(payment["details"]):
        await asyncio.sleep(hold_s)


class Arq(AsyncPeer):
    """Deduplicates every enqueue by the job's id."""

    facts = Facts(
        packages=("arq", "redis"),
        deduplicates="_job_id",
        worker="1,000 jobs at once, looks every 10 ms, no results",
        drain_jobs=8_000,
        recovery="job timeout 5 s, looks every 10 ms",
    )

    async def open(self) -> None:
        self._pool = await create_pool(RedisSettings.from_dsn(self.url))

    async def close(self) -> None:
        await self._pool.aclose()

    async def enqueue(self, fields: Fields, delay_ms: int = 0) -> None:
        later = timedelta(milliseconds=delay_ms) if delay_ms else None
        await self._pool.enqueue_job("charge", fields, _job_id=fields["key"], _defer_by=later)

    def work(self, part: str) -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())
        Worker(
            [func(charge, name="charge")],
            redis_settings=RedisSettings.from_dsn(self.url),
            max_jobs=1_000,
            poll_delay=0.01,
            keep_result=0,
            log_results=False,
            job_timeout=5 if part == "recovery" else 300,
        ).run()

    def unfinished(self, redis: Redis) -> int:
        return int(redis.zcard("arq:queue"))


ADAPTER = Arq
