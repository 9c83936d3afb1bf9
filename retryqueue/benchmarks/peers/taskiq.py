"""taskiq with the stream broker of taskiq-redis, the one that acknowledges; delayed tasks through its list of schedules."""

# mypy: disable-error-code="import-not-found, import-untyped"
# ruff: noqa: D102 - The base class says what each method does.
from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from taskiq import TaskiqScheduler
from taskiq.api import run_receiver_task, run_scheduler_task
from taskiq_redis import ListRedisScheduleSource, RedisStreamBroker

from benchmarks.peers import witness
from benchmarks.peers.base import AsyncPeer, Facts

if TYPE_CHECKING:
    from redis import Redis

    from benchmarks.peers.payments import Fields


async def charge(payment: dict[str, Any]) -> None:
    """Charges nothing."""
    if hold_s := witness.executed(payment["details"]):
        await asyncio.sleep(hold_s)


class Taskiq(AsyncPeer):
    """An acknowledged entry stays in the stream."""

    facts = Facts(
        packages=("taskiq", "taskiq-redis", "redis"),
        worker="stream broker, 100 tasks at once, no results",
        drain_jobs=12_000,
        lateness="looks every second (whole seconds only)",
        recovery="idle timeout 5 s",
        recovery_skipped="not on an idle queue: it claims again only after a new message",
    )

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._durable: dict[str, int] = {}

    async def open(self) -> None:
        self._broker = RedisStreamBroker(self.url, consumer_id="0", **self._durable)
        self._schedules = ListRedisScheduleSource(self.url)
        self._charge = self._broker.register_task(charge, task_name="charge")
        await self._broker.startup()

    async def close(self) -> None:
        await self._schedules.shutdown()
        await self._broker.shutdown()

    async def enqueue(self, fields: Fields, delay_ms: int = 0) -> None:
        if delay_ms:
            at = datetime.now(UTC) + timedelta(milliseconds=delay_ms)
            await self._charge.schedule_by_time(self._schedules, at, fields)
        else:
            await self._charge.kiq(fields)

    def work(self, part: str) -> None:
        if part == "recovery":
            self._durable = {"idle_timeout": 5_000, "unacknowledged_lock_timeout": 5}
        asyncio.run(self._work(part))

    async def _work(self, part: str) -> None:
        async with self.connected():
            receiving = run_receiver_task(self._broker, run_startup=False)
            if part == "lateness":
                scheduler = TaskiqScheduler(self._broker, [self._schedules])
                second = timedelta(seconds=1)
                await asyncio.gather(receiving, run_scheduler_task(scheduler, interval=second, loop_interval=second))
            await receiving

    def unfinished(self, redis: Redis) -> int:
        group = redis.xinfo_groups("taskiq")[0]
        return int(group["pending"]) + int(group["lag"])


ADAPTER = Taskiq
