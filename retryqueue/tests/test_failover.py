"""A primary that dies or hangs under three sentinels; and what a server replies that is of no use just now."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from servers import free_port
from topologies import Ledger, Node, Sentinels, Working, debian_redis, wait_until

from retryqueue import AsyncRetryQueue, Policy, QueueUnavailable, RetryQueue, State, Worker, wakeup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from retryqueue import Payment

POLICY = Policy(lease_ms=3_000, backoff_base_ms=50, backoff_cap_ms=200)


@pytest.fixture
def sentinels() -> Iterator[Sentinels]:
    """A primary with a replica: new ones for each test, since sentinels are slow to find that all is well again."""
    with Sentinels(debian_redis()) as sentinels:
        yield sentinels


@pytest.fixture
def lone() -> Iterator[Node]:
    """One server of its own."""
    with Node(binary=debian_redis()) as node:
        yield node


class Load:
    """Enqueues payments in a thread until it is told to end; raises what went wrong there."""

    def __init__(self, queue: RetryQueue, payment: Callable[..., Payment]) -> None:
        self.acknowledged: list[str] = []
        self.longest_call_s = 0.0
        self._queue, self._payment = queue, payment
        self._ends = threading.Event()
        self._threads = ThreadPoolExecutor(1)
        self._running = self._threads.submit(self._enqueue)

    def end(self) -> None:
        """Waits for the last call."""
        self._ends.set()
        self._running.result()
        self._threads.shutdown()

    def _enqueue(self) -> None:
        while not self._ends.wait(0.003):
            began_s = time.monotonic()
            receipt = self._queue.enqueue(self._payment(f"order-{len(self.acknowledged)}"))
            self.acknowledged.append(receipt.key)
            self.longest_call_s = max(self.longest_call_s, time.monotonic() - began_s)


def is_done(queue: RetryQueue) -> bool:
    counts = queue.status().counts
    return counts[State.SCHEDULED] == counts[State.LEASED] == 0


@pytest.mark.parametrize("blow", ["killed", "stopped"])
def test_workers_and_producers_go_on_with_the_next_primary(
    sentinels: Sentinels, payment: Callable[..., Payment], blow: str
) -> None:
    ledger = Ledger(takes_s=0.005)
    before = sentinels.primary
    with (
        RetryQueue(sentinels.url, policy=POLICY, durability="ignore", patience_s=90) as queue,
        Working(Worker(sentinels.url, ledger.charge, policy=POLICY, durability="ignore")) as working,
    ):
        load = Load(queue, payment)
        wait_until(lambda: len(ledger.charges) > 100, "the worker is at work")
        before.kill() if blow == "killed" else before.pause()
        wait_until(lambda: sentinels.primary is not before, "the sentinels have chosen another primary")
        reached = len(ledger.charges)
        wait_until(lambda: len(ledger.charges) > reached + 100, "the worker is at work with the next primary")
        load.end()
        wait_until(lambda: is_done(queue), "all payments are settled")
        lost = [key for key in load.acknowledged if queue.inspect(key) is None]
        assert {queue.enqueue(payment(key)).answer for key in lost} <= {"new"}
        wait_until(lambda: is_done(queue), "what was lost is settled")
        assert working.goes_on

    print(
        f"{len(load.acknowledged)} acknowledged, {len(lost)} of them lost with the primary; the longest time without a charge "
        f"was {ledger.longest_gap_s:.1f} s, the longest call to enqueue took {load.longest_call_s:.1f} s"
    )
    assert set(ledger.charges) == set(load.acknowledged)
    assert all(len(references) == 1 for references in ledger.charges.values())


def test_tasks_enqueue_through_a_failover(sentinels: Sentinels, payment: Callable[..., Payment]) -> None:
    before = sentinels.primary

    async def enqueue() -> set[str]:
        async with AsyncRetryQueue(sentinels.url, durability="ignore", patience_s=90) as queue:
            await queue.enqueue(payment("first"))
            before.kill()
            receipts = await asyncio.gather(*(queue.enqueue(payment(f"order-{i}")) for i in range(50)))
            return {receipt.answer for receipt in receipts}

    assert asyncio.run(enqueue()) == {"new"}
    assert sentinels.primary is not before


def test_an_impatient_caller_is_told_and_may_enqueue_again(sentinels: Sentinels, payment: Callable[..., Payment]) -> None:
    sentinels.primary.pause()
    with (
        RetryQueue(sentinels.url, durability="ignore", patience_s=0.1) as hasty,
        RetryQueue(sentinels.url, durability="ignore", patience_s=90) as patient,
    ):
        with pytest.raises(QueueUnavailable, match="no answer from Redis"):
            hasty.enqueue(payment())
        assert patient.enqueue(payment()).answer in {"new", "duplicate"}
        assert patient.status().counts[State.SCHEDULED] == 1


def test_a_call_that_a_hanging_server_carries_out_late_is_the_same_payment_when_it_is_made_again(
    lone: Node, payment: Callable[..., Payment]
) -> None:
    with RetryQueue(lone.url, durability="ignore", patience_s=0.1) as queue:
        queue.enqueue(payment("earlier"))
        lone.pause()
        with pytest.raises(QueueUnavailable):
            queue.enqueue(payment())
        lone.resume()  # It finds the call in its socket.
        wait_until(lambda: queue.inspect("order-1"), "the call is carried out")
        assert queue.enqueue(payment()).answer == "duplicate"
        assert queue.status().counts[State.SCHEDULED] == 2


def _not_writable(node: Node) -> None:
    node.ask("REPLICAOF", "127.0.0.1", free_port())


def _cut_off(node: Node) -> None:
    node.ask("CONFIG", "SET", "replica-serve-stale-data", "no")
    _not_writable(node)


def _writable(node: Node) -> None:
    node.ask("REPLICAOF", "NO", "ONE")


PASSING = {
    "READONLY": (_not_writable, _writable),
    "MASTERDOWN": (_cut_off, _writable),
    "NOREPLICAS": (
        lambda node: node.ask("CONFIG", "SET", "min-replicas-to-write", 1),
        lambda node: node.ask("CONFIG", "SET", "min-replicas-to-write", 0),
    ),
    "OOM": (
        lambda node: node.ask("CONFIG", "SET", "maxmemory", "1mb"),
        lambda node: node.ask("CONFIG", "SET", "maxmemory", 0),
    ),
}


@pytest.mark.parametrize("reply", PASSING)
def test_a_reply_that_passes_is_waited_out_by_producers_and_workers(
    lone: Node, payment: Callable[..., Payment], reply: str
) -> None:
    begin, end = PASSING[reply]
    ledger = Ledger()
    with (
        RetryQueue(lone.url, durability="ignore", patience_s=90) as queue,
        RetryQueue(lone.url, durability="ignore", patience_s=0.2) as hasty,
        Working(Worker(lone.url, ledger.charge, durability="ignore")) as working,
        ThreadPoolExecutor(1) as thread,
    ):
        hasty.enqueue(payment("earlier"))
        wait_until(lambda: "earlier" in ledger.charges and is_done(queue), "the worker is at work")
        begin(lone)
        with pytest.raises(QueueUnavailable):
            hasty.enqueue(payment())
        waiting = thread.submit(queue.enqueue, payment())
        time.sleep(0.3)
        assert working.goes_on
        assert not waiting.done()
        end(lone)
        assert waiting.result().answer == "new"
        wait_until(lambda: "order-1" in ledger.charges, "the worker goes on")


def test_a_server_that_loads_its_data_is_waited_for(payment: Callable[..., Payment]) -> None:
    # Half a millisecond for each of 6000 commands; Redis looks up from loading after each 1024 of them.
    with Node(binary=debian_redis(), key_load_delay="500") as node, ThreadPoolExecutor(1) as thread:
        with RetryQueue(node.url, durability="ignore", patience_s=90) as queue:
            queue.enqueue(payment("earlier"))
            with node.client() as client, client.pipeline(transaction=False) as pipeline:
                for i in range(6000):
                    pipeline.set(f"other-{i}", i)
                pipeline.execute()
            wait_until(lambda: not node.ask("INFO", "persistence")["aof_pending_bio_fsync"], "all of it is written")
            node.kill()
            starting = thread.submit(node.start)
            assert queue.enqueue(payment("earlier")).answer == "duplicate"
            assert queue.enqueue(payment()).answer == "new"
            starting.result()
        assert b"DB loaded" in (node.folder / "log").read_bytes()


def test_a_worker_that_listens_to_a_hanging_server_listens_to_the_next_primary(
    sentinels: Sentinels, payment: Callable[..., Payment], caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger()
    before = sentinels.primary
    caplog.set_level(logging.DEBUG, "retryqueue")
    with (
        RetryQueue(sentinels.url, policy=POLICY, durability="ignore", patience_s=90) as queue,
        Working(Worker(sentinels.url, ledger.charge, policy=POLICY, durability="ignore")),
    ):
        queue.enqueue(payment("earlier"))
        wait_until(lambda: "earlier" in ledger.charges, "the worker is at work")
        before.pause()
        wait_until(lambda: sentinels.primary is not before, "the sentinels have chosen another primary")
        wait_until(lambda: f"no answer to a ping within {wakeup.QUIET_S} s" in caplog.text, "the listener gives up")
        wait_until(lambda: sentinels.primary.ask("PUBSUB", "NUMSUB", "{payments:0}:wake")[1] == 1, "it listens anew")
