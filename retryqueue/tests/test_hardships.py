"""What went wrong once, or would have: each of these stood in the way of a payment."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import time
from concurrent.futures import Future
from contextlib import closing
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest
import redis
from redis.exceptions import ConnectionError as RedisConnectionError

from retryqueue import (
    Ambiguous,
    Breaker,
    Declined,
    InvalidPayment,
    Lease,
    Payment,
    Policy,
    QueueUnavailable,
    RetryQueue,
    State,
    Succeeded,
    Worker,
    protocol,
)
from retryqueue.card_numbers import safe_reason
from retryqueue.coalescing import ThreadCoalescer
from retryqueue.conversation import Patience, patient
from retryqueue.settlement import verdict
from retryqueue.shards import Shard

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from servers import RedisServer

FAST = Policy(lease_ms=60_000, backoff_base_ms=1)
PAYMENT = Payment(key="order-1", user_id="u", amount_minor=1, currency="EUR", payment_method_id="pm")


def payments(count: int) -> list[Payment]:
    usual: dict[str, Any] = {"user_id": "u", "amount_minor": 1, "currency": "EUR", "payment_method_id": "pm"}
    return [Payment(key=f"order-{number}", **usual) for number in range(count)]


def until(holds: Callable[[], object], within_s: float = 60.0) -> None:
    ends_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < ends_s, "it did not come true"
        time.sleep(0.01)


def test_a_worker_that_is_made_before_a_fork_is_another_worker_in_each_child(server: RedisServer, queue: RetryQueue) -> None:
    queue.enqueue_many(payments(64))
    context = multiprocessing.get_context("fork")
    told: Any = context.Queue()

    def charge(lease: Lease) -> Succeeded:
        told.put((lease.key, lease.attempt))
        time.sleep(0.02)
        return Succeeded("ch")

    worker = Worker(server.url, charge, policy=FAST, durability="ignore", concurrency=2)
    children = [context.Process(target=worker.run) for _ in range(3)]
    for child in children:
        child.start()
    until(lambda: queue.status().counts[State.SUCCEEDED] == 64)
    for child in children:
        child.terminate()
        child.join()
    attempts = [told.get(timeout=60) for _ in range(64)]

    assert len(set(attempts)) == 64
    assert told.empty()


def test_a_worker_works_once_at_a_time(server: RedisServer) -> None:
    worker = Worker(server.url, lambda _: Succeeded("ch"), durability="ignore")

    async def twice() -> None:
        first = asyncio.create_task(worker.serve())
        await asyncio.sleep(0.1)
        with pytest.raises(RuntimeError, match="at work already"):
            await worker.serve()
        worker.stop()
        await first

    asyncio.run(twice())


def test_a_worker_that_is_cancelled_tells_what_it_has_charged(server: RedisServer, queue: RetryQueue) -> None:
    queue.enqueue(PAYMENT)
    begun = Event()

    def charge(_: Lease) -> Succeeded:
        begun.set()
        time.sleep(0.3)
        return Succeeded("ch_paid")

    async def cancelled() -> float:
        work = asyncio.create_task(Worker(server.url, charge, durability="ignore").serve())
        await asyncio.to_thread(begun.wait)
        work.cancel()
        longest_s, last_s = 0.0, time.monotonic()
        while not work.done():
            await asyncio.sleep(0.01)
            longest_s, last_s = max(longest_s, time.monotonic() - last_s), time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await work
        return longest_s

    asyncio.run(cancelled())

    found = queue.inspect("order-1")
    assert found is not None
    assert (found.state, found.note) == (State.SUCCEEDED, "ch_paid")


def test_a_full_server_refuses_new_payments_and_settles_those_it_has(server: RedisServer, queue: RetryQueue) -> None:
    queue.enqueue_many(payments(50))
    hasty = RetryQueue(server.url, durability="ignore", patience_s=0.2)
    with server.client() as client, hasty:
        claim = protocol.claim(Shard("payments", 0), FAST, "worker", "1", 50)
        leases = queue._server.carry(queue.operations.ask(claim)).leases
        try:
            client.config_set("maxmemory", "1mb")
            with pytest.raises(QueueUnavailable, match="maxmemory"):
                hasty.enqueue(PAYMENT)
            verdicts = [protocol.Verdict(lease, "succeed", ("ch",)) for lease in leases]
            call = protocol.settle(Shard("payments", 0), FAST, "succeed", verdicts)

            answers = hasty._server.carry(hasty.operations.ask(call))

            assert answers == ["ok"] * 50
            assert hasty.status().counts[State.SUCCEEDED] == 50
            assert hasty.inspect("order-1") is not None
        finally:
            client.config_set("maxmemory", 0)


def test_an_account_that_may_not_publish_enqueues_and_works(server: RedisServer) -> None:
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "till", "on", ">secret", "~*", "resetchannels", "+@all")
    address = server.url.replace("redis://", "redis://till:secret@")
    with RetryQueue(address, durability="ignore") as queue:
        assert queue.enqueue(PAYMENT).answer == "new"
        tried: list[int] = []

        def charge(lease: Lease) -> Succeeded | Declined:
            tried.append(lease.attempt)
            return Declined("not now") if lease.attempt == 1 else Succeeded("ch")

        worker = Worker(address, charge, policy=FAST, durability="ignore")
        thread = Thread(target=worker.run)
        thread.start()
        until(lambda: queue.status().counts[State.SUCCEEDED] == 1)
        worker.stop()
        thread.join()

    assert tried == [1, 2]


def test_a_claim_that_arrives_after_a_later_one_leases_nothing(queue: RetryQueue) -> None:
    queue.enqueue_many(payments(3))

    def claimed(number: str) -> list[str]:
        call = protocol.claim(Shard("payments", 0), FAST, "worker", number, 1)
        return [lease.key for lease in queue._server.carry(queue.operations.ask(call)).leases]

    first, second, late = claimed("1"), claimed("2"), claimed("1")

    assert (len(first), len(second), late) == (1, 1, [])


def test_a_claim_sweeps_a_hundred_keys_whatever_it_may_take_and_says_when_to_come_back(queue: RetryQueue) -> None:
    queue.enqueue_many(payments(150))
    shard, short = Shard("payments", 0), Policy()

    def ask(call: protocol.Call[Any]) -> Any:
        return queue._server.carry(queue.operations.ask(call))

    for number in (1, 2):
        leases = ask(protocol.claim(shard, short, "worker", str(number), 100)).leases
        ask(protocol.settle(shard, short, "succeed", [protocol.Verdict(lease, "succeed", ("ch",)) for lease in leases]))
    client: Any = queue._server.client
    for key, _ in client.zrange(shard.key("paid"), 0, -1, withscores=True):
        client.zadd(shard.key("paid"), {key: 1})
    first = ask(protocol.claim(shard, short, "worker", "3", 1))

    assert first.next_in_ms == 0
    assert queue.status().counts[State.SUCCEEDED] == 50


def test_whatever_counts_as_final_is_final() -> None:
    lease = Lease(PAYMENT, 1, 1, 0, limit=5)
    final: Any = 1

    assert verdict(lease, Declined("stolen_card", final=final), FAST, random.Random(1)).transition == "bury"


def test_a_kind_of_success_is_a_success(server: RedisServer, queue: RetryQueue) -> None:
    class Captured(Succeeded):
        pass

    queue.enqueue_many(payments(30))
    breaker = Breaker(after=5)
    worker = Worker(server.url, lambda _: Captured("ch"), policy=FAST, durability="ignore", breaker=breaker)
    thread = Thread(target=worker.run)
    thread.start()
    until(lambda: queue.status().counts[State.SUCCEEDED] == 30)
    worker.stop()
    thread.join()

    assert not breaker.is_open


def test_those_who_wait_behind_a_call_do_not_wait_for_an_absent_server_again() -> None:
    calls: list[int] = []

    def send(asked: Sequence[int]) -> list[int]:
        calls.append(len(asked))
        until(lambda: len(coalescer._waiting) == 299)
        raise QueueUnavailable("gone")

    coalescer = ThreadCoalescer[int, int](send)
    told: list[Future[int]] = [Future() for _ in range(300)]

    def ask(number: int) -> None:
        try:
            told[number].set_result(coalescer.ask(number))
        except QueueUnavailable as error:
            told[number].set_exception(error)

    threads = [Thread(target=ask, args=(number,)) for number in range(300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(isinstance(one.exception(), QueueUnavailable) for one in told)
    assert calls == [1]


@pytest.mark.parametrize(
    "text", ["Error connecting: username=u,password=S3CRET.", "no server at redis://u:S3CRET@h:1/0", "password=S3CRET)"]
)
def test_a_login_in_an_error_of_redis_is_not_passed_on(text: str) -> None:
    def failing() -> Generator[Any, Any, None]:
        raise RedisConnectionError(text)
        yield

    with closing(patient(failing, Patience(0), "asking")) as talk, pytest.raises(QueueUnavailable) as caught:
        next(talk)

    assert "S3CRET" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_what_a_terminal_would_obey_is_no_part_of_a_reason() -> None:
    assert safe_reason("bad\x1b]0;pwn\x07 card\nnext") == "bad ]0;pwn card next"
    assert len(safe_reason("4 " * 1_000_000)) <= 500


def test_a_card_number_in_a_wrong_place_is_not_repeated_in_the_error() -> None:
    with pytest.raises(InvalidPayment) as caught:
        Payment.from_fields("k", {"user_id": "u", "amount_minor": "4111111111111111", "currency": "4111 1111 1111 1111"})

    assert "4111" not in str(caught.value)


def test_one_name_is_as_good_as_a_list_of_one() -> None:
    fields = {"order_id": 7, "user_id": "u", "amount_minor": 1, "currency": "EUR", "payment_method_id": "pm"}

    assert Payment.identified_by("order_id", fields) == Payment.identified_by(("order_id",), fields)


def test_a_charge_function_that_returns_nothing_is_told_of(
    server: RedisServer, queue: RetryQueue, caplog: pytest.LogCaptureFixture
) -> None:
    queue.enqueue(PAYMENT)
    nothing: Any = lambda _: None  # noqa: E731 - what people forget.
    worker = Worker(server.url, nothing, policy=Policy(backoff_base_ms=1), durability="ignore")
    thread = Thread(target=worker.run)
    thread.start()
    until(lambda: queue.status().counts[State.RECONCILE] == 1)
    worker.stop()
    thread.join()

    assert any("the charge function returned no outcome" in record.message for record in caplog.records)


def test_a_stamp_of_a_clock_that_was_ahead_is_not_relied_on(queue: RetryQueue) -> None:
    queue.enqueue(PAYMENT)
    shard = Shard("payments", 0)

    def ask(call: protocol.Call[Any]) -> Any:
        return queue._server.carry(queue.operations.ask(call))

    lease = ask(protocol.claim(shard, FAST, "worker", "1", 1)).leases[0]
    ask(protocol.settle(shard, FAST, "reschedule", [verdict(lease, Ambiguous("timeout"), FAST, random.Random(1))]))
    client: Any = queue._server.client
    ahead = """
        local list = cmsgpack.unpack(redis.call('HGET', KEYS[1], ARGV[1]))
        list[8] = list[8] + 3 * 3600000
        redis.call('HSET', KEYS[1], ARGV[1], cmsgpack.pack(list))
    """
    client.eval(ahead, 1, shard.key("items"), PAYMENT.key)
    time.sleep(0.02)
    claim = ask(protocol.claim(shard, FAST, "worker", "2", 1))
    found = queue.inspect(PAYMENT.key)

    assert claim.leases == ()
    assert found is not None
    assert found.state is State.RECONCILE


def test_redis_errors_that_are_no_refusal_are_waited_out(server: RedisServer) -> None:
    with RetryQueue(server.url, durability="ignore", patience_s=0.2) as queue:
        server.pause()
        try:
            with pytest.raises(QueueUnavailable):
                queue.enqueue(PAYMENT)
        finally:
            server.resume()
        until(lambda: _answers(server))

        assert queue.enqueue(PAYMENT).answer in {"new", "duplicate"}


def _answers(server: RedisServer) -> bool:
    try:
        with server.client() as client:
            return bool(client.ping())
    except redis.RedisError:
        return False
