"""The metrics: what is counted, what is told of the queue, and what is not told when nobody knows."""

from __future__ import annotations

import builtins
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from servers import RedisServer, free_port

from retryqueue import PaymentConflict, Policy, RetryQueue, Succeeded, Worker, protocol
from retryqueue.events import Attempted, BreakerMoved, Claimed, Enqueued, LeasesLost, Told
from retryqueue.prometheus import DepthCollector, MissingPrometheus, PrometheusHook, serve
from retryqueue.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry

    from retryqueue import Lease, Payment
    from retryqueue.events import Event

try:
    import prometheus_client
except ImportError:
    pytest.skip("metrics are not tested: prometheus_client is not installed", allow_module_level=True)


@pytest.fixture
def registry() -> CollectorRegistry:
    return prometheus_client.CollectorRegistry()


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, {"queue": "payments", **labels})


# --- The hook


def test_every_counter_begins_at_zero_so_that_the_first_event_is_an_increase(registry: CollectorRegistry) -> None:
    PrometheusHook(registry)
    assert value(registry, "retryqueue_enqueued_total", answer="conflict") == 0
    assert value(registry, "retryqueue_attempts_total", outcome="ambiguous") == 0
    assert value(registry, "retryqueue_attempt_seconds_count") == 0
    assert value(registry, "retryqueue_verdicts_total", transition="bury", answer="lost") == 0
    assert value(registry, "retryqueue_leases_lost_total") == 0
    assert value(registry, "retryqueue_claimed_total") == 0
    assert value(registry, "retryqueue_breaker_open") == 0


def test_each_event_is_counted_where_it_belongs(registry: CollectorRegistry) -> None:
    hook = PrometheusHook(registry)
    events: list[Event] = [Enqueued("new"), Enqueued("new"), Claimed(7), Attempted("declined", 2, 1500.0), Told("bury", "ok")]
    for event in [*events, LeasesLost(3), BreakerMoved(is_open=True)]:
        hook(event)
    assert value(registry, "retryqueue_enqueued_total", answer="new") == 2
    assert value(registry, "retryqueue_claimed_total") == 7
    assert value(registry, "retryqueue_attempts_total", outcome="declined") == 1
    assert value(registry, "retryqueue_attempt_seconds_sum") == 1.5
    assert value(registry, "retryqueue_attempt_seconds_bucket", le="1.0") == 0
    assert value(registry, "retryqueue_attempt_seconds_bucket", le="2.5") == 1
    assert value(registry, "retryqueue_verdicts_total", transition="bury", answer="ok") == 1
    assert value(registry, "retryqueue_leases_lost_total") == 3
    assert value(registry, "retryqueue_breaker_open") == 1
    hook(BreakerMoved(is_open=False))
    assert value(registry, "retryqueue_breaker_open") == 0


def test_hooks_of_several_queues_and_of_one_queue_share_a_registry(registry: CollectorRegistry) -> None:
    for hook in (PrometheusHook(registry), PrometheusHook(registry), PrometheusHook(registry, queue="refunds")):
        hook(Claimed(1))
    assert value(registry, "retryqueue_claimed_total") == 2
    assert value(registry, "retryqueue_claimed_total", queue="refunds") == 1


def test_without_a_registry_the_process_s_own_one_is_used() -> None:
    hook = PrometheusHook(queue="own-registry")
    hook(Claimed(1))
    assert hook.registry is prometheus_client.REGISTRY
    assert value(prometheus_client.REGISTRY, "retryqueue_claimed_total", queue="own-registry") == 1


def test_a_queue_and_a_worker_count_what_really_happens(
    server: RedisServer, payment: Callable[..., Payment], registry: CollectorRegistry
) -> None:
    hook, charged = PrometheusHook(registry), threading.Event()

    def charge(lease: Lease) -> Succeeded:
        if lease.key == "order-2":
            charged.set()
        return Succeeded("ch_1")

    with RetryQueue(server.url, durability="ignore", hook=hook) as queue:
        queue.enqueue(payment())
        queue.enqueue(payment())
        with pytest.raises(PaymentConflict):
            queue.enqueue(payment(amount_minor=1))
        queue.enqueue(payment("order-2"), delay_ms=50)
        worker = Worker(server.url, charge, policy=Policy(), concurrency=1, durability="ignore", hook=hook)
        working = threading.Thread(target=worker.run)
        working.start()
        assert charged.wait(20)
        worker.stop()
        working.join(20)
    answers = [value(registry, "retryqueue_enqueued_total", answer=answer) for answer in ("new", "duplicate", "conflict")]
    assert answers == [2, 1, 1]
    assert value(registry, "retryqueue_claimed_total") == 2
    assert value(registry, "retryqueue_attempts_total", outcome="succeeded") == 2
    assert value(registry, "retryqueue_attempt_seconds_count") == 2
    assert value(registry, "retryqueue_verdicts_total", transition="succeed", answer="ok") == 2


def test_without_prometheus_client_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch, queue: RetryQueue) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: Any, **named: Any) -> Any:
        if name.startswith("prometheus_client"):
            raise ModuleNotFoundError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", absent)
    for make in (PrometheusHook, lambda: DepthCollector(queue)):
        with pytest.raises(MissingPrometheus, match=r"retryqueue\[prometheus\]"):
            make()


def test_importing_the_module_does_not_import_prometheus_client() -> None:
    code = "import sys, retryqueue.prometheus; sys.exit('prometheus_client' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"], check=False)
    assert done.returncode == 0


# --- The collector


def test_the_collector_tells_the_status_at_the_time_of_the_scrape(
    queue: RetryQueue, server: RedisServer, payment: Callable[..., Payment], registry: CollectorRegistry
) -> None:
    registry.register(DepthCollector(queue))
    assert value(registry, "retryqueue_up") == 1
    assert value(registry, "retryqueue_payments", state="scheduled") == 0
    assert value(registry, "retryqueue_workers") == 0
    assert value(registry, "retryqueue_next_lease_end_seconds") is None, "there is no lease"
    assert value(registry, "retryqueue_lag_seconds") == 0

    queue.enqueue_many([payment("order-1"), payment("order-2")])
    with server.client() as client:  # Due since long ago, whatever the clock says.
        client.zadd("{payments:0}:due", {"order-2": 1})
    talking = Server(server.url, patience_s=5, connections=1)
    shard = talking.carry(queue.operations.shards())[0]
    talking.carry(queue.operations.ask(protocol.claim(shard, Policy(), "worker-1", "1", 1)))
    talking.close()
    queue.pause()
    assert value(registry, "retryqueue_payments", state="scheduled") == 1
    assert value(registry, "retryqueue_payments", state="leased") == 1
    assert value(registry, "retryqueue_workers") == 1
    assert value(registry, "retryqueue_paused") == 1
    ends_s = value(registry, "retryqueue_next_lease_end_seconds")
    assert ends_s is not None
    assert 0 < ends_s <= 30
    with server.client() as client:
        client.zadd("{payments:0}:leased", {"order-2": 1})
        client.zadd("{payments:0}:due", {"order-1": 1})
        client.zadd("{payments:0}:workers", {"worker-1": 1})
    overdue_s = value(registry, "retryqueue_next_lease_end_seconds")
    assert overdue_s is not None
    assert overdue_s < -1e9
    assert (value(registry, "retryqueue_lag_seconds") or 0) > 1e9
    assert value(registry, "retryqueue_workers") == 0


def only_up_is_told(registry: CollectorRegistry) -> bool:
    told = {sample.name: sample.value for metric in registry.collect() for sample in metric.samples}
    return told == {"retryqueue_up": 0.0}


def test_a_server_that_does_not_answer_is_down_and_no_number_is_made_up(registry: CollectorRegistry) -> None:
    with RetryQueue(f"redis://127.0.0.1:{free_port()}", patience_s=0.1) as queue:
        registry.register(DepthCollector(queue))
        assert only_up_is_told(registry)


def test_a_server_that_refuses_is_down_too(registry: CollectorRegistry) -> None:
    with RedisServer() as own, RetryQueue(own.url, patience_s=0.1) as queue:
        with own.client() as client:
            client.config_set("requirepass", "secret")
        registry.register(DepthCollector(queue))
        assert only_up_is_told(registry)


def test_a_server_that_hangs_does_not_hold_up_the_scrape_and_is_back_when_it_answers(registry: CollectorRegistry) -> None:
    with RedisServer() as own, RetryQueue(own.url, durability="ignore") as queue:
        registry.register(DepthCollector(queue, timeout_s=0.2))
        assert value(registry, "retryqueue_up") == 1
        own.pause()
        threads = threading.active_count()
        for _ in range(3):
            assert only_up_is_told(registry)
        assert threading.active_count() == threads + 1, "one call waits, however many scrapes there are"
        own.resume()
        for _ in range(100):
            if value(registry, "retryqueue_up") == 1:
                break
        assert value(registry, "retryqueue_payments", state="scheduled") == 0


def test_registering_a_collector_asks_no_server(registry: CollectorRegistry) -> None:
    class Untouchable(RetryQueue):
        def status(self) -> Any:
            raise AssertionError

    with Untouchable("redis://127.0.0.1:1") as queue:
        registry.register(DepthCollector(queue))
    assert only_up_is_told(registry)


def test_metrics_are_served_until_they_are_stopped(registry: CollectorRegistry) -> None:
    PrometheusHook(registry)
    port = free_port()
    stop = serve(registry, "127.0.0.1", port)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as reply:
        assert b"retryqueue_claimed_total" in reply.read()
    stop()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10)
