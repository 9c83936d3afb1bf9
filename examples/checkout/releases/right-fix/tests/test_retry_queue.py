"""The retry queue keeps its promises: queued once, one worker at a time, charged once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from shop.context import Shop
from shop.payments import retry_queue
from shop.payments.provider import Charge
from shop.payments.retry_queue import (
    ATTEMPTS_MAX,
    DEAD,
    DUE,
    QUARANTINE,
    RECORD_PREFIX,
    Enqueued,
    Payment,
    PaymentChanged,
    PaymentRetryQueue,
)
from tests.conftest import FakeBank


@pytest.fixture
def queue(shop: Shop) -> PaymentRetryQueue:
    return shop.retries


def payment(number: int = 1, amount_minor: int = 1240) -> Payment:
    charge = Charge(amount_minor=amount_minor, currency="EUR", payment_method_id="pm_visa")
    return Payment(order_id=f"order-{number}", user_id="user-1", charge=charge)


def test_a_repeat_is_recognised_whenever_it_comes(queue: PaymentRetryQueue) -> None:
    assert [queue.enqueue(payment()) for _ in range(2)] == [Enqueued.NEW, Enqueued.KNOWN]
    queue.process_retries()
    assert queue.enqueue(payment()) == Enqueued.KNOWN
    assert queue.pending() == 0


def test_a_changed_payment_is_refused(queue: PaymentRetryQueue) -> None:
    queue.enqueue(payment())
    with pytest.raises(PaymentChanged):
        queue.enqueue(payment(amount_minor=1))


def test_payments_of_one_user_at_once_are_all_kept(queue: PaymentRetryQueue, bank: FakeBank) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(queue.enqueue, [payment(number) for number in range(80)]))
    assert (set(answers), queue.process_retries(), len(bank.charged)) == ({Enqueued.NEW}, 80, 80)


def test_two_workers_share_the_work(queue: PaymentRetryQueue, bank: FakeBank) -> None:
    for number in range(80):
        queue.enqueue(payment(number))
    with ThreadPoolExecutor(2) as pool:
        paid = sum(pool.map(lambda _: queue.process_retries(), range(2)))
    assert (paid, len(bank.charged)) == (80, 80)


def test_a_worker_that_dies_after_the_charge_does_not_charge_again(
    queue: PaymentRetryQueue, bank: FakeBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry_queue, "LEASE_MS", 0)
    queue.enqueue(payment())
    with monkeypatch.context() as patch:
        patch.setattr(queue, "_on_paid", lambda order_id: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            queue.process_retries()
    assert queue.process_retries() == 1
    assert list(bank.charged) == ["order-1"]


def test_a_worker_that_was_too_slow_changes_nothing(
    queue: PaymentRetryQueue, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry_queue, "LEASE_MS", 0)
    queue.enqueue(payment())
    slow, fast = queue._next(), queue._next()
    assert slow is not None and fast is not None
    queue._end(slow)
    assert queue.pending() == 1
    queue._end(fast)
    assert queue.pending() == 0


def test_silence_keeps_the_key_and_a_refusal_changes_it(
    queue: PaymentRetryQueue, bank: FakeBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry_queue, "BATCH_SIZE", 1)
    queue.enqueue(payment())
    for bank.status_code in (503, 402, 201):
        queue.process_retries()
    assert list(bank.charged) == ["order-1:2"]


def test_five_attempts_and_then_the_dead_letters(
    queue: PaymentRetryQueue, bank: FakeBank, redis_client: redis.Redis
) -> None:
    queue.enqueue(payment())
    bank.status_code = 503
    queue.process_retries()
    assert redis_client.hget(f"{RECORD_PREFIX}order-1", "attempt") == str(ATTEMPTS_MAX)
    assert (queue.pending(), redis_client.lrange(DEAD, 0, -1)) == (0, ["order-1"])


def test_a_payment_older_than_the_providers_memory_is_not_charged(
    queue: PaymentRetryQueue, bank: FakeBank, redis_client: redis.Redis
) -> None:
    queue.enqueue(payment())
    redis_client.hset(f"{RECORD_PREFIX}order-1", "since_ms", "0")
    queue.process_retries()
    assert (len(bank.charged), redis_client.lrange(DEAD, 0, -1)) == (0, ["order-1"])


def test_what_cannot_be_read_is_set_aside(queue: PaymentRetryQueue, bank: FakeBank, redis_client: redis.Redis) -> None:
    redis_client.zadd(DUE, {"no-record": 0, "bad-record": 0})
    redis_client.hset(f"{RECORD_PREFIX}bad-record", mapping={"payload": "[1]"})
    queue.enqueue(payment())
    assert queue.process_retries() == 1
    assert sorted(redis_client.lrange(QUARANTINE, 0, -1)) == ["bad-record", "no-record"]


def test_a_paid_payment_is_remembered_longer_than_any_retry(
    queue: PaymentRetryQueue, redis_client: redis.Redis
) -> None:
    queue.enqueue(payment())
    queue.process_retries()
    assert redis_client.pttl(f"{RECORD_PREFIX}order-1") > retry_queue.PROVIDER_WINDOW_MS


@pytest.mark.parametrize("amount_minor", [0, -5, 12.4])
def test_an_amount_that_is_none_is_refused(amount_minor: int) -> None:
    with pytest.raises(ValueError, match="minor units"):
        payment(amount_minor=amount_minor)
