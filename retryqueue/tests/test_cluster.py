"""A queue on a cluster of six real nodes, some of which are killed, stopped or robbed of a slot meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import pytest
import redis
import redis.asyncio
from servers import free_port
from topologies import Cluster, Ledger, Working, debian_redis, wait_until

from retryqueue import AsyncRetryQueue, Policy, QueueUnavailable, RetryQueue, ShardMismatch, State, Worker, shift
from retryqueue.shards import Shard, shard_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from topologies import Node

    from retryqueue import Payment

SHARDS = 16
# A worker that is killed or cut off is not what is tested here, so leases are short.
POLICY = Policy(lease_ms=3_000, backoff_base_ms=50, backoff_cap_ms=200)


@pytest.fixture(scope="module")
def six_nodes() -> Iterator[Cluster]:
    """One cluster for all tests of this file."""
    with Cluster(debian_redis()) as cluster:
        yield cluster


@pytest.fixture
def cluster(six_nodes: Cluster) -> Cluster:
    """A cluster that is whole and holds nothing."""
    six_nodes.heal()
    six_nodes.flush()
    return six_nodes


@pytest.fixture
def on_cluster(cluster: Cluster) -> Iterator[RetryQueue]:
    """A queue on the cluster whose callers wait for a failover."""
    with RetryQueue(cluster.url, policy=POLICY, durability="ignore", patience_s=90) as queue:
        yield queue


def worker_on(cluster: Cluster, ledger: Ledger, concurrency: int = 8) -> Worker:
    return Worker(cluster.url, ledger.charge, policy=POLICY, concurrency=concurrency, durability="ignore")


def of_shard(number: int, count: int) -> list[str]:
    """Keys of payments that lie on one shard."""
    keys = (f"order-{i}" for i in range(1_000_000))
    found = (key for key in keys if shard_of(key, SHARDS) == number)
    return [next(found) for _ in range(count)]


def key_of(shard: int) -> str:
    return Shard("payments", shard).key("items")


def lies_on(cluster: Cluster, node: Node) -> list[int]:
    """The shards on one node."""
    return [number for number in range(SHARDS) if cluster.primary_of(key_of(number)) is node]


def has_charged(ledger: Ledger, count: int) -> bool:
    return len(ledger.charges) == count


def is_done(queue: RetryQueue) -> bool:
    counts = queue.status().counts
    return counts[State.SCHEDULED] == counts[State.LEASED] == 0


def enqueue_slowly(queue: RetryQueue, payments: Sequence[Payment], acknowledged: dict[str, float]) -> None:
    """Enqueues one after the other, and writes down when each was acknowledged."""
    for payment in payments:
        queue.enqueue(payment)
        acknowledged[payment.key] = time.monotonic()


def test_a_queue_on_a_cluster_lies_on_sixteen_shards_on_all_of_its_primaries(
    cluster: Cluster, on_cluster: RetryQueue, payment: Callable[..., Payment]
) -> None:
    on_cluster.enqueue_many([payment(f"order-{i}") for i in range(200)])

    assert on_cluster.shards() == SHARDS
    stored = {node: node.ask("DBSIZE") for node in cluster.primaries()}
    assert all(stored.values()), stored
    assert all(lies_on(cluster, node) for node in cluster.primaries())


def test_threads_and_tasks_enqueue_on_all_nodes_and_a_worker_charges_everything_once(
    cluster: Cluster, on_cluster: RetryQueue, payment: Callable[..., Payment]
) -> None:
    async def enqueue_as_tasks() -> set[str]:
        async with AsyncRetryQueue(cluster.url, policy=POLICY, durability="ignore") as queue:
            receipts = await asyncio.gather(*(queue.enqueue(payment(f"order-{i}")) for i in range(100, 300)))
            return {receipt.answer for receipt in receipts}

    with ThreadPoolExecutor(16) as threads:
        by_threads = list(threads.map(lambda i: on_cluster.enqueue(payment(f"order-{i}")).answer, range(200)))
    by_tasks = asyncio.run(enqueue_as_tasks())
    ledger = Ledger()
    with Working(worker_on(cluster, ledger)):
        wait_until(lambda: is_done(on_cluster), "all payments are settled")

    assert set(by_threads) == {"new"}
    assert by_tasks == {"new", "duplicate"}
    assert len(ledger.charges) == 300
    assert all(len(references) == 1 for references in ledger.charges.values())
    assert on_cluster.status().counts[State.SUCCEEDED] == 300


def test_a_worker_hears_of_a_payment_on_any_node(
    cluster: Cluster, on_cluster: RetryQueue, payment: Callable[..., Payment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shift, "LONGEST_SLEEP_S", 3600.0)
    ledger = Ledger()
    with Working(worker_on(cluster, ledger)):
        for number in range(SHARDS):
            on_cluster.enqueue(payment(of_shard(number, 1)[0]))
            wait_until(partial(has_charged, ledger, number + 1), f"shard {number} is heard of")


def test_a_second_process_cannot_ask_for_another_number_of_shards(
    cluster: Cluster, on_cluster: RetryQueue, payment: Callable[..., Payment]
) -> None:
    on_cluster.enqueue(payment())

    with RetryQueue(cluster.url, shards=8, durability="ignore") as second, pytest.raises(ShardMismatch, match="16 shards"):
        second.enqueue(payment())
    with RetryQueue(cluster.url, shards=16, durability="ignore") as third:
        assert third.enqueue(payment()).answer == "duplicate"


def test_clients_of_redis_py_for_a_cluster_are_accepted(cluster: Cluster, payment: Callable[..., Payment]) -> None:
    port = cluster.nodes[1].port

    async def by_task() -> str:
        async with (
            redis.asyncio.RedisCluster(host="127.0.0.1", port=port) as client,
            AsyncRetryQueue(client, durability="ignore") as queue,
        ):
            return (await queue.enqueue(payment())).answer

    with (
        redis.RedisCluster(host="127.0.0.1", port=port) as client,
        RetryQueue(client, durability="ignore") as queue,
    ):
        assert queue.enqueue(payment()).answer == "new"
        assert queue.shards() == SHARDS
    assert asyncio.run(by_task()) == "duplicate"


def test_scripts_that_all_primaries_forget_are_taught_again(
    cluster: Cluster, on_cluster: RetryQueue, payment: Callable[..., Payment]
) -> None:
    ledger = Ledger()
    with Working(worker_on(cluster, ledger)):
        for round_ in range(3):
            on_cluster.enqueue_many([payment(f"order-{round_}-{i}") for i in range(100)])
            for node in cluster.primaries():
                node.ask("SCRIPT", "FLUSH")
        wait_until(lambda: len(ledger.charges) == 300 and is_done(on_cluster), "all payments are settled")


def test_one_of_six_nodes_is_killed_while_two_thousand_payments_are_charged(
    cluster: Cluster, on_cluster: RetryQueue, payment: Callable[..., Payment]
) -> None:
    payments = [payment(f"order-{i}") for i in range(2000)]
    acknowledged: dict[str, float] = {}
    ledger = Ledger(takes_s=0.002)
    victim = cluster.primary_of(key_of(0))
    struck = set(lies_on(cluster, victim))
    with Working(worker_on(cluster, ledger)) as working:
        producers = [
            threading.Thread(target=enqueue_slowly, args=(on_cluster, payments[start::4], acknowledged)) for start in range(4)
        ]
        for producer in producers:
            producer.start()
        wait_until(lambda: len(ledger.charges) > 200, "the worker is at work")
        victim.kill()
        killed_at_s = time.monotonic()
        for producer in producers:
            producer.join()
        wait_until(cluster.is_whole, "a replica has become primary")
        wait_until(lambda: is_done(on_cluster), "all payments are settled")
        lost = [key for key in acknowledged if on_cluster.inspect(key) is None]
        again = [on_cluster.enqueue(payment(key)).answer for key in lost]
        wait_until(lambda: is_done(on_cluster), "what was lost is settled")
        assert working.goes_on

    print(
        f"{len(acknowledged)} acknowledged, {len(lost)} of them lost with the primary; the longest time without a charge was "
        f"{ledger.longest_gap_s:.1f} s"
    )
    assert len(acknowledged) == 2000
    # Replication is asynchronous: what the primary had acknowledged and not sent on yet, dies with it; and nothing else.
    assert all(shard_of(key, SHARDS) in struck and acknowledged[key] < killed_at_s for key in lost)
    assert again == ["new"] * len(lost)
    assert len(ledger.charges) == 2000
    assert {key: charges for key, charges in ledger.charges.items() if len(charges) > 1} == {}
    assert on_cluster.status().counts[State.SUCCEEDED] == 2000


def test_what_the_replica_had_not_received_is_lost_with_the_primary_and_charged_once_all_the_same(
    cluster: Cluster, on_cluster: RetryQueue, payment: Callable[..., Payment]
) -> None:
    keys = of_shard(0, 20)
    primary = cluster.primary_of(key_of(0))
    replica = next(node for node in cluster.nodes if node.ask("ROLE")[2] == primary.port)
    on_cluster.enqueue_many([payment(key) for key in keys[:10]])
    cluster.pass_on()
    replica.pause()
    primary.ask("CLIENT", "KILL", "TYPE", "REPLICA")  # Or it would find in its socket what it has not read.
    ledger = Ledger()
    on_cluster.enqueue_many([payment(key) for key in keys[10:]])
    with Working(worker_on(cluster, ledger)):
        wait_until(lambda: len(ledger.charges) == 20 and is_done(on_cluster), "all twenty are paid")
    primary.kill()
    replica.resume()
    wait_until(cluster.is_whole, "the replica has become primary")

    assert [on_cluster.inspect(key) is None for key in keys] == [False] * 10 + [True] * 10
    assert [receipt.answer for receipt in on_cluster.enqueue_many([payment(key) for key in keys])] == (
        ["duplicate"] * 10 + ["new"] * 10
    )
    with Working(worker_on(cluster, ledger)):  # Charges all of them again, under the keys that the provider knows.
        wait_until(lambda: is_done(on_cluster), "all twenty are paid again")
    assert len(ledger.asked) == 40
    assert all(len(references) == 1 for references in ledger.charges.values())


@pytest.mark.parametrize("number", range(3))
def test_each_of_the_primaries_may_hang_and_is_left_for_its_replica(
    cluster: Cluster, on_cluster: RetryQueue, payment: Callable[..., Payment], number: int
) -> None:
    ledger = Ledger()
    hung = cluster.primaries()[number]
    with Working(worker_on(cluster, ledger)) as working:
        on_cluster.enqueue_many([payment(f"order-{i}") for i in range(100)])
        wait_until(lambda: len(ledger.charges) == 100, "the worker is at work")
        hung.pause()
        try:
            for i in range(100, 200):
                on_cluster.enqueue(payment(f"order-{i}"))
            wait_until(lambda: len(ledger.charges) == 200 and is_done(on_cluster), "all payments are settled")
        finally:
            hung.resume()
        assert working.goes_on
    assert all(len(references) == 1 for references in ledger.charges.values())


def test_a_slot_moves_to_another_node_key_by_key_while_its_payments_are_charged(
    cluster: Cluster, on_cluster: RetryQueue, payment: Callable[..., Payment]
) -> None:
    keys = of_shard(0, 300)
    acknowledged: dict[str, float] = {}
    ledger = Ledger(takes_s=0.002)
    producer = threading.Thread(target=enqueue_slowly, args=(on_cluster, [payment(key) for key in keys], acknowledged))
    with Working(worker_on(cluster, ledger)) as working:
        producer.start()
        wait_until(lambda: len(ledger.charges) > 20, "the worker is at work")
        source, target, slot = cluster.move_slot(key_of(0))
        while cluster.move_keys(source, target, slot, most=1):
            time.sleep(0.2)  # So that calls meet with a slot whose keys are on both sides.
        cluster.end_move(target, slot)
        producer.join()
        wait_until(lambda: len(ledger.charges) == 300 and is_done(on_cluster), "all payments are settled")
        assert working.goes_on

    assert cluster.primary_of(key_of(0)) is target
    assert all(len(references) == 1 for references in ledger.charges.values())
    assert on_cluster.status().counts[State.SUCCEEDED] == 300


def test_a_worker_outlives_the_whole_cluster_and_producers_are_told_that_it_is_away(
    cluster: Cluster, on_cluster: RetryQueue, payment: Callable[..., Payment]
) -> None:
    ledger = Ledger()
    with (
        Working(worker_on(cluster, ledger)) as working,
        RetryQueue(cluster.url, durability="ignore", patience_s=0.5) as hasty,
    ):
        on_cluster.enqueue(payment("before"))
        wait_until(lambda: "before" in ledger.charges, "the worker is at work")
        for node in cluster.nodes:
            node.kill()
        with pytest.raises(QueueUnavailable):
            hasty.enqueue(payment("after"))
        time.sleep(1)
        assert working.goes_on
        cluster.heal()
        assert on_cluster.enqueue(payment("after")).key == "after"
        wait_until(lambda: "after" in ledger.charges, "the worker goes on")


def test_a_queue_is_made_before_its_cluster_is_there(payment: Callable[..., Payment]) -> None:
    nowhere = f"redis+cluster://127.0.0.1:{free_port()}"

    async def by_task() -> None:
        async with AsyncRetryQueue(nowhere, durability="ignore", patience_s=0.2) as queue:
            await queue.enqueue(payment())

    with RetryQueue(nowhere, durability="ignore", patience_s=0.2) as queue, pytest.raises(QueueUnavailable):
        queue.enqueue(payment())
    with pytest.raises(QueueUnavailable):
        asyncio.run(by_task())
