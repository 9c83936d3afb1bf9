"""celery: the solo pool, which drains most; results off. No deduplication, no call for many."""

# mypy: disable-error-code="import-not-found, import-untyped"
# ruff: noqa: D102 - The base class says what each method does.
from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from celery import Celery

from benchmarks.peers import witness
from benchmarks.peers.base import Facts, SyncPeer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

    from benchmarks.peers.payments import Fields


def charge(payment: Mapping[str, Any]) -> None:
    """Charges nothing."""
    time.sleep(witness.executed(payment["details"]))


class CeleryPeer(SyncPeer):
    """Acknowledges early by default: fastest, and a killed worker's task is lost."""

    facts = Facts(
        packages=("celery", "kombu", "redis"),
        worker="solo pool, early acknowledgement, no results",
        drain_jobs=7_000,
        lateness="solo pool (holds delayed tasks in memory)",
        recovery="acks_late, visibility timeout 5 s",
        recovery_skipped="90 s in a trial with a timeout of 10 s: above the cap",
    )
    threads = (2, 8)

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._app = Celery("benchmark", broker=url)
        self._app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True, worker_hijack_root_logger=False)
        self._charge = self._app.task(charge, name="charge")

    def enqueue(self, fields: Fields, delay_ms: int = 0) -> None:
        self._charge.apply_async((fields,), countdown=delay_ms / 1000 if delay_ms else None)

    def work(self, part: str) -> None:
        if part == "recovery":
            self._app.conf.update(
                task_acks_late=True, task_reject_on_worker_lost=True, broker_transport_options={"visibility_timeout": 5}
            )
        self._app.worker_main(
            ["worker", "--pool=solo", "--loglevel=ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"]
        )

    def unfinished(self, redis: Redis) -> int:
        return int(redis.llen("celery")) + int(redis.hlen("unacked"))


ADAPTER = CeleryPeer
