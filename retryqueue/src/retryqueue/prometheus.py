"""Metrics for Prometheus: `PrometheusHook` counts what a process does, `DepthCollector` tells how the queue is.

    hook = PrometheusHook()
    worker = Worker(server, charge, hook=hook)
    hook.registry.register(DepthCollector(RetryQueue(server)))

Needs the extra `retryqueue[prometheus]`. Which metrics there are, stands in `dashboards/retryqueue.json`, all of them.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from retryqueue.errors import RetryQueueError
from retryqueue.events import Attempted, BreakerMoved, Claimed, Enqueued, LeasesLost, Told
from retryqueue.states import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
    from prometheus_client.core import GaugeMetricFamily

    from retryqueue.events import Event
    from retryqueue.queue import RetryQueue
    from retryqueue.states import Status

logger = logging.getLogger("retryqueue")

# A worker that is there asks at least every 5 s, unless each of its charges takes longer than this.
WORKER_SEEN_WITHIN_MS = 60_000
SCRAPE_TIMEOUT_S = 3.0
# Providers answer within some tenths of a second, or not for many.
BUCKETS_S = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0)


def workers_seen(status: Status) -> list[str]:
    """The workers that have asked for work within the last minute, sorted."""
    return sorted(name for name, at_ms in status.workers.items() if status.now_ms - at_ms <= WORKER_SEEN_WITHIN_MS)


class MissingPrometheus(RetryQueueError, ImportError):
    """The package that the metrics are made with is not installed."""


@dataclass(frozen=True, slots=True)
class _Metrics:
    """The metrics of one registry, shared by the hooks of all queues."""

    enqueued: Counter
    claimed: Counter
    attempts: Counter
    seconds: Histogram
    verdicts: Counter
    lost: Counter
    breaker: Gauge


_METRICS: WeakKeyDictionary[CollectorRegistry, _Metrics] = WeakKeyDictionary()
_METRICS_LOCK = threading.Lock()


class PrometheusHook:
    """Counts what happens in this process. Give it to a `RetryQueue`, a `Worker`, or both.

    Args:
        registry: Where the metrics are registered; by default the process's own. Hooks of several queues may share one.
        queue: The queue's name, for the label `queue`.

    Attributes:
        registry: The same.

    Raises:
        MissingPrometheus: If prometheus_client is not installed.
    """

    def __init__(self, registry: CollectorRegistry | None = None, queue: str = "payments") -> None:
        client = _client()
        self.registry: CollectorRegistry = client.REGISTRY if registry is None else registry
        self._queue = queue
        with _METRICS_LOCK:
            found = _METRICS.get(self.registry)
            self._metrics = found or _made(self.registry)
            _METRICS[self.registry] = self._metrics
        self._begin()

    def __call__(self, event: Event) -> None:
        """Counts an event."""
        metrics, queue = self._metrics, self._queue
        match event:
            case Enqueued(answer):
                metrics.enqueued.labels(queue, answer).inc()
            case Claimed(payments):
                metrics.claimed.labels(queue).inc(payments)
            case Attempted(outcome, _, duration_ms):
                metrics.attempts.labels(queue, outcome).inc()
                metrics.seconds.labels(queue).observe(duration_ms / 1000)
            case Told(transition, answer):
                metrics.verdicts.labels(queue, transition, answer).inc()
            case LeasesLost(leases):
                metrics.lost.labels(queue).inc(leases)
            case BreakerMoved(is_open):
                metrics.breaker.labels(queue).set(is_open)

    def _begin(self) -> None:
        """Starts every counter at 0: the first of its kind would otherwise be no increase."""
        metrics, queue = self._metrics, self._queue
        for answer in ("new", "duplicate", "conflict"):
            metrics.enqueued.labels(queue, answer)
        for outcome in ("succeeded", "declined", "ambiguous"):
            metrics.attempts.labels(queue, outcome)
        for transition in ("succeed", "reschedule", "bury", "release"):
            for answer in ("ok", "again", "lost"):
                metrics.verdicts.labels(queue, transition, answer)
        for metric in (metrics.claimed, metrics.seconds, metrics.lost, metrics.breaker):
            metric.labels(queue)


class DepthCollector:
    """Tells how a queue is, asked anew at each scrape. Register it: `registry.register(DepthCollector(queue))`.

    While the server does not answer, `retryqueue_up` is 0 and nothing else is told: a number would be made up.

    Args:
        queue: The queue. It is asked in a thread.
        timeout_s: How long a scrape waits for the server.

    Raises:
        MissingPrometheus: If prometheus_client is not installed.
    """

    def __init__(self, queue: RetryQueue, *, timeout_s: float = SCRAPE_TIMEOUT_S) -> None:
        _client()
        self._queue = queue
        self._name = queue.operations.name
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._asking: _Asking | None = None

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """The metrics without values, so that registering does not ask the server."""
        return [_gauge(name) for name in _GAUGES]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The metrics as they are now."""
        status = self._status()
        up = _gauge("retryqueue_up")
        up.add_metric([self._name], 0 if status is None else 1)
        return [up, *(_depths(status, self._name) if status else [])]

    def _status(self) -> Status | None:
        """The status; none if there is no answer. A call that is still waiting for one is waited for, not made again."""
        with self._lock:
            if self._asking is None:
                self._asking = _Asking(self._queue)
            asking = self._asking
            asking.join(self._timeout_s)
            if asking.is_alive():
                return None
            self._asking = None
            return asking.status


class _Asking(threading.Thread):
    """One call for the status, in a thread: a server that hangs must not hold up the scrape of everything else."""

    def __init__(self, queue: RetryQueue) -> None:
        super().__init__(name="retryqueue-status", daemon=True)
        self._queue = queue
        self.status: Status | None = None
        self.start()

    def run(self) -> None:
        try:
            self.status = self._queue.status()
        except Exception as error:  # noqa: BLE001 - whatever it is, the server has not told; `retryqueue_up` says so.
            logger.warning("no status of the queue for the metrics: %s", error)


def serve(registry: CollectorRegistry, host: str, port: int) -> Callable[[], None]:
    """Serves a registry over HTTP in a thread; gives a function that ends it.

    Raises:
        OSError: If the port is taken.
        MissingPrometheus: If prometheus_client is not installed.
    """
    server, thread = _client().start_http_server(port, addr=host, registry=registry)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop


def _client() -> Any:
    try:
        import prometheus_client  # noqa: PLC0415 - an extra, and slow to import.
    except ImportError as error:
        raise MissingPrometheus(
            "metrics need the package prometheus_client, which comes with the extra: pip install 'retryqueue[prometheus]'"
        ) from error
    return prometheus_client


def _made(registry: CollectorRegistry) -> _Metrics:
    client = _client()

    def counter(name: str, told: str, *labels: str) -> Counter:
        made: Counter = client.Counter(name, told, ["queue", *labels], registry=registry)
        return made

    return _Metrics(
        enqueued=counter("retryqueue_enqueued", "Payments offered, by the queue's answer", "answer"),
        claimed=counter("retryqueue_claimed", "Payments that workers were given"),
        attempts=counter("retryqueue_attempts", "Attempts that have ended, by what the charge function said", "outcome"),
        seconds=client.Histogram(
            "retryqueue_attempt_seconds", "How long the charge function took", ["queue"], registry=registry, buckets=BUCKETS_S
        ),
        verdicts=counter("retryqueue_verdicts", "Verdicts that the server has taken", "transition", "answer"),
        lost=counter("retryqueue_leases_lost", "Leases that ran out while their worker was still charging"),
        breaker=client.Gauge(
            "retryqueue_breaker_open", "1 while a worker claims nothing because the provider does not answer", ["queue"],
            registry=registry, multiprocess_mode="livemax",
        ),
    )  # fmt: skip


_GAUGES = {
    "retryqueue_up": "1 if the server has answered",
    "retryqueue_payments": "Payments in each state; succeeded ones as long as their keys live",
    "retryqueue_paused": "1 while workers are given nothing",
    "retryqueue_lag_seconds": "How long the first payment that is due has been waiting",
    "retryqueue_next_lease_end_seconds": "How long until the first lease ends; below 0 if nobody has taken it back",
    "retryqueue_workers": "Workers that have asked for work within the last minute",
}


def _gauge(name: str) -> GaugeMetricFamily:
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415 - an extra.

    labels = ["queue", "state"] if name == "retryqueue_payments" else ["queue"]
    return GaugeMetricFamily(name, _GAUGES[name], labels=labels)


def _depths(status: Status, queue: str) -> Iterable[GaugeMetricFamily]:
    payments = _gauge("retryqueue_payments")
    for state in State:
        payments.add_metric([queue, str(state)], status.counts[state])
    ends_ms = status.next_lease_end_ms
    values = {
        "retryqueue_paused": float(status.paused),
        "retryqueue_lag_seconds": status.lag_ms / 1000,
        "retryqueue_next_lease_end_seconds": None if ends_ms is None else (ends_ms - status.now_ms) / 1000,
        "retryqueue_workers": len(workers_seen(status)),
    }
    gauges = [payments]
    for name, value in values.items():
        if value is not None:
            gauges.append(_gauge(name))
            gauges[-1].add_metric([queue], value)
    return gauges
