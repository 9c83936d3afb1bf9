"""rq: one SimpleWorker, which runs jobs in its own process (the default forks for each job and is far slower)."""

# mypy: disable-error-code="import-not-found, import-untyped"
# ruff: noqa: D102 - The base class says what each method does.
from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from redis import Redis
from rq import Queue, Retry, SimpleWorker
from rq.registry import StartedJobRegistry

from benchmarks.peers import witness
from benchmarks.peers.base import Facts, SyncPeer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.peers.payments import Fields


def charge(payment: Mapping[str, Any]) -> None:
    """Charges nothing."""
    time.sleep(witness.executed(payment["details"]))


class Rq(SyncPeer):
    """Deduplicates single enqueues; `enqueue_many` has no such option."""

    facts = Facts(
        packages=("rq", "redis"),
        deduplicates="job_id with unique=True",
        worker="SimpleWorker, no results",
        drain_jobs=2_000,
        lateness="SimpleWorker with scheduler (looks once a second)",
        recovery="Retry(3), job timeout 5 s, worker TTL 20 s, maintenance every 5 s",
        recovery_skipped="a dead job counts as running for 60 s beyond its timeout: above the cap",
    )
    batch_size = 500

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._redis = Redis.from_url(url)
        self._queue = Queue(connection=self._redis)

    def enqueue(self, fields: Fields, delay_ms: int = 0) -> None:
        if delay_ms:
            self._queue.enqueue_in(timedelta(milliseconds=delay_ms), charge, fields, job_id=fields["key"], result_ttl=0)
        else:
            self._queue.enqueue(charge, fields, job_id=fields["key"], unique=True, result_ttl=0)

    def enqueue_many(self, batch: Sequence[Fields]) -> None:
        self._queue.enqueue_many(
            [Queue.prepare_data(charge, (fields,), job_id=fields["key"], result_ttl=0) for fields in batch]
        )

    def put(self, fields: Fields, part: str) -> None:
        durable = {"job_timeout": 5, "retry": Retry(3)} if part == "recovery" else {}
        self._queue.enqueue(charge, fields, job_id=fields["key"], result_ttl=0, **durable)

    def work(self, part: str) -> None:
        settings = {"worker_ttl": 20, "maintenance_interval": 5} if part == "recovery" else {}
        SimpleWorker([self._queue], connection=self._redis, **settings).work(
            with_scheduler=part == "lateness", logging_level="ERROR"
        )

    def unfinished(self, redis: Redis) -> int:
        return int(Queue(connection=redis).count) + int(redis.zcard(StartedJobRegistry(connection=redis).key))


ADAPTER = Rq
