"""Unit tests for the payment retry queue."""

from typing import Any

import pytest
import redis

from shop.context import Shop
from shop.payments import retry_queue
from shop.payments.retry_queue import DEAD_LETTER_KEY, IDEMPOTENCY_PREFIX, MAX_RETRIES, PaymentRetryQueue
from tests.conftest import FakeBank

START_S = 1_729_175_820.0


class Clock:
    """A clock that moves one second for each request."""

    def __init__(self) -> None:
        self.now_s = START_S

    def time(self) -> float:
        return self.now_s

    def next_request(self) -> None:
        self.now_s += 1.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(retry_queue, "time", clock)
    return clock


@pytest.fixture
def queue(shop: Shop) -> PaymentRetryQueue:
    return shop.retries


def payment(number: int = 1, user_id: str = "user-1") -> dict[str, Any]:
    return {
        "order_id": f"order-{number}",
        "user_id": user_id,
        "amount_minor": 1240,
        "currency": "EUR",
        "payment_method_id": "pm_visa",
    }


def test_enqueue_stores_the_payment(queue: PaymentRetryQueue) -> None:
    assert queue.enqueue(payment())
    assert queue.pending() == 1


@pytest.mark.parametrize("field", ["order_id", "user_id", "amount_minor", "currency", "payment_method_id"])
def test_enqueue_rejects_missing_fields(queue: PaymentRetryQueue, field: str) -> None:
    incomplete = payment()
    del incomplete[field]
    with pytest.raises(ValueError, match=field):
        queue.enqueue(incomplete)


def test_the_same_retry_is_enqueued_once(queue: PaymentRetryQueue, clock: Clock) -> None:
    assert queue.enqueue(payment())
    assert not queue.enqueue(payment())
    assert queue.pending() == 1


def test_many_payments_of_one_user_are_all_stored(queue: PaymentRetryQueue, clock: Clock) -> None:
    for number in range(60):
        assert queue.enqueue(payment(number))
        clock.next_request()
    assert queue.pending() == 60


def test_idempotency_keys_expire_after_a_day(queue: PaymentRetryQueue, redis_client: redis.Redis) -> None:
    queue.enqueue(payment())
    [key] = redis_client.keys(f"{IDEMPOTENCY_PREFIX}:*")
    assert 86_390 < redis_client.ttl(key) <= 86_400


def test_due_payments_are_charged_and_removed(queue: PaymentRetryQueue, bank: FakeBank, clock: Clock) -> None:
    for number in range(3):
        queue.enqueue(payment(number))
        clock.next_request()
    assert queue.process_retries() == 3
    assert (queue.pending(), len(bank.charged)) == (0, 3)


def test_a_failed_retry_is_kept(queue: PaymentRetryQueue, bank: FakeBank) -> None:
    queue.enqueue(payment())
    bank.status_code = 503
    assert queue.process_retries() == 0
    assert queue.pending() == 1


def test_payments_are_given_up_after_the_last_retry(
    queue: PaymentRetryQueue, bank: FakeBank, redis_client: redis.Redis
) -> None:
    queue.enqueue(payment())
    bank.status_code = 503
    for _ in range(MAX_RETRIES):
        queue.process_retries()
    assert (queue.pending(), redis_client.llen(DEAD_LETTER_KEY)) == (0, 1)


def test_transient_redis_errors_are_retried(
    queue: PaymentRetryQueue, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = [redis.ConnectionError("connection reset"), redis.ConnectionError("connection reset")]
    real_set = redis_client.set

    def flaky_set(*args: Any, **kwargs: Any) -> Any:
        if errors:
            raise errors.pop()
        return real_set(*args, **kwargs)

    monkeypatch.setattr(redis_client, "set", flaky_set)
    assert queue.enqueue(payment())
