"""huey: four threads; no acknowledgement, no deduplication, no call for many."""

# mypy: disable-error-code="import-not-found, import-untyped"
# ruff: noqa: D102 - The base class says what each method does.
from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from huey import RedisHuey

from benchmarks.peers import witness
from benchmarks.peers.base import Facts, SyncPeer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

    from benchmarks.peers.payments import Fields


def charge(payment: Mapping[str, Any]) -> None:
    """Charges nothing."""
    time.sleep(witness.executed(payment["details"]))


class Huey(SyncPeer):
    """A task leaves Redis when it is taken, so whatever the worker holds dies with it."""

    facts = Facts(
        packages=("huey", "redis"),
        worker="4 threads, no results",
        drain_jobs=25_000,
        lateness="4 threads, looks every second (its shortest)",
        recovery="5 retries",
        recovery_skipped="no acknowledgement: a killed worker's task is lost",
    )
    threads = (2, 8)

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._huey = RedisHuey("benchmark", url=url, results=False)
        self._charge = self._huey.task(retries=5, name="charge")(charge)

    def enqueue(self, fields: Fields, delay_ms: int = 0) -> None:
        if delay_ms:
            self._charge.schedule((fields,), delay=delay_ms / 1000)
        else:
            self._charge(fields)

    def work(self, part: str) -> None:  # noqa: ARG002 - One setting serves all parts.
        self._huey.create_consumer(workers=4, worker_type="thread", periodic=False).run()

    def unfinished(self, redis: Redis) -> int:
        return int(redis.llen("huey.redis.benchmark"))


ADAPTER = Huey
