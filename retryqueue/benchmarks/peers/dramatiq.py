"""dramatiq: eight threads; no deduplication, no call for many."""

# mypy: disable-error-code="import-not-found, import-untyped"
# ruff: noqa: D102 - The base class says what each method does.
from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers import witness
from benchmarks.peers.base import Facts, SyncPeer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

    from benchmarks.peers.payments import Fields


def charge(payment: Mapping[str, Any]) -> None:
    """Charges nothing."""
    time.sleep(witness.executed(payment["details"]))


class Dramatiq(SyncPeer):
    """Has no key of its own for a message."""

    facts = Facts(
        packages=("dramatiq", "redis"),
        worker="8 threads",
        drain_jobs=8_000,
        lateness="8 threads, wakes up every 10 ms",
        recovery="heartbeat timeout 5 s, maintenance with every command",
    )
    threads = (2, 8)

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._charge = self._actor(RedisBroker(url=url))

    def enqueue(self, fields: Fields, delay_ms: int = 0) -> None:
        self._charge.send_with_options(args=(fields,), delay=delay_ms or None)

    def work(self, part: str) -> None:
        durable = {"heartbeat_timeout": 5_000, "maintenance_chance": 1_000_000} if part == "recovery" else {}
        broker = RedisBroker(url=self.url, **durable)
        self._actor(broker)
        dramatiq.Worker(broker, worker_threads=8, worker_timeout=10 if part == "lateness" else 1_000).start()
        while True:
            time.sleep(3600)

    def unfinished(self, redis: Redis) -> int:
        return int(redis.hlen("dramatiq:default.msgs"))

    @staticmethod
    def _actor(broker: RedisBroker) -> dramatiq.Actor:
        return dramatiq.actor(charge, broker=broker)


ADAPTER = Dramatiq
