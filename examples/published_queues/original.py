"""The queue that was deployed on 17 October 2024, re-created. Do not use it: `README.md` says what is wrong, and where."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any

import redis
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

QUEUE = "payment_retry_queue"
IDEMPOTENCY = "payment_idempotency"
REQUIRED_FIELDS = ("user_id", "amount", "currency", "payment_method_id")
IDEMPOTENCY_LIFE_S = 24 * 60 * 60


class PaymentRetryQueue:
    """Retries failed payments with exponential backoff.

    Args:
        client: A client of redis-py.
        charge: Charges a payment, and says whether the provider took the money.
        retry_delay_s: The delay before the first retry.
        max_retries: How often a payment is retried.
    """

    def __init__(
        self,
        client: redis.Redis,
        charge: Callable[[Any], bool],
        *,
        retry_delay_s: float = 60,
        max_retries: int = 5,
    ) -> None:
        self._redis = client
        self._charge = charge
        self._retry_delay_s = retry_delay_s
        self._max_retries = max_retries

    @retry(
        retry=retry_if_exception_type((redis.ConnectionError, redis.TimeoutError)),
        stop=stop_after_attempt(3),
        wait=wait_exponential(multiplier=1, min=4, max=10),
    )
    def enqueue(self, payment: dict[str, Any]) -> bool:
        """Adds a failed payment to the queue; says whether it was added.

        Raises:
            ValueError: If a required field is missing.
        """
        missing = [name for name in REQUIRED_FIELDS if name not in payment]
        if missing:
            raise ValueError("missing: " + ", ".join(missing))

        key = f"{IDEMPOTENCY}:{self._idempotency_key(payment)}"
        if self._redis.exists(key):
            logger.info("%s is queued already", key)
            return False
        self._redis.zadd(QUEUE, {json.dumps({"retry_count": 0, **payment}): time.time() + self._retry_delay_s})
        self._redis.set(key, "queued", ex=IDEMPOTENCY_LIFE_S)
        return True

    def process_retries(self) -> int:
        """Retries every payment that is due; returns how many were paid."""
        now = time.time()
        due: Any = self._redis.zrangebyscore(QUEUE, 0, now)
        return sum(self._process(item, now) for item in due)

    def _process(self, item: bytes, now: float) -> bool:
        try:
            payment = json.loads(item)
            if self._charge(payment):
                self._redis.zrem(QUEUE, item)
                return True
            self._reschedule(item, payment, now)
        except json.JSONDecodeError:
            logger.exception("not a payment")
            self._redis.zrem(QUEUE, item)
        except Exception:
            logger.exception("a retry failed")
        return False

    def _reschedule(self, item: bytes, payment: dict[str, Any], now: float) -> None:
        """Schedules the next retry, with exponential backoff."""
        payment["retry_count"] += 1
        if payment["retry_count"] >= self._max_retries:
            logger.error("giving up on %s after %d retries", payment["user_id"], payment["retry_count"])
            self._redis.zrem(QUEUE, item)
            return
        self._redis.zadd(QUEUE, {item: now + self._retry_delay_s * payment["retry_count"]})

    def _idempotency_key(self, payment: dict[str, Any]) -> str:
        """Names a retry, so that it is not queued twice."""
        return f"{payment['user_id']}:{int(time.time())}"


def demo(client: redis.Redis, report: Callable[[str], None] = print) -> None:
    """Enqueues a payment five times and processes what is due."""
    queue = PaymentRetryQueue(client, charge=lambda _: True)
    payment = {"user_id": "user_123", "amount": 49.99, "currency": "USD", "payment_method_id": "pm_456"}
    for number in range(1, 6):
        queue.enqueue(payment)
        report(f"enqueued {number}")
    report(f"processed {queue.process_retries()}")
