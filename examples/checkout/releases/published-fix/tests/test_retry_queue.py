"""Unit tests for the payment retry queue."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from shop.context import Shop
from shop.payments.retry_queue import DEAD_LETTER_KEY, IDEMPOTENCY_PREFIX, MAX_RETRIES, PaymentRetryQueue
from tests.conftest import FakeBank


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


def test_no_idempotency_key_collisions_under_load(queue: PaymentRetryQueue, redis_client: redis.Redis) -> None:
    with ThreadPoolExecutor(max_workers=8) as pool:
        results = list(pool.map(queue.enqueue, [payment(number) for number in range(1000)]))
    keys = redis_client.keys(f"{IDEMPOTENCY_PREFIX}:*")
    assert all(results)
    assert len(set(keys)) == 1000


def test_idempotency_keys_expire_after_a_day(queue: PaymentRetryQueue, redis_client: redis.Redis) -> None:
    queue.enqueue(payment())
    [key] = redis_client.keys(f"{IDEMPOTENCY_PREFIX}:*")
    assert 86_390 < redis_client.ttl(key) <= 86_400


def test_due_payments_are_charged_and_removed(queue: PaymentRetryQueue, bank: FakeBank) -> None:
    for number in range(3):
        queue.enqueue(payment(number))
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
    queue.enqueue({**payment(), "retry_count": MAX_RETRIES - 1})
    bank.status_code = 503
    queue.process_retries()
    assert (queue.pending(), redis_client.llen(DEAD_LETTER_KEY)) == (0, 1)


def test_transient_redis_errors_are_retried(
    queue: PaymentRetryQueue, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = [redis.ConnectionError("connection reset"), redis.ConnectionError("connection reset")]
    real_pipeline = redis_client.pipeline

    def flaky_pipeline(*args: Any, **kwargs: Any) -> Any:
        if errors:
            raise errors.pop()
        return real_pipeline(*args, **kwargs)

    monkeypatch.setattr(redis_client, "pipeline", flaky_pipeline)
    assert queue.enqueue(payment())
