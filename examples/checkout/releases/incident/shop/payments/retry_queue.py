"""Redis-backed retry queue for payments that could not be completed.

Payments whose charge failed are stored in a Redis sorted set, scored by the time at which they become due. A worker
periodically processes due payments, retries the charge and either completes the payment, reschedules it with backoff,
or moves it to the dead-letter queue once the maximum number of retries has been reached.
"""

import json
import logging
import time
from collections.abc import Callable
from typing import Any

import redis
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential

from shop.payments.provider import Charge, OutcomeUnknown, PaymentDeclined, Provider

logger = logging.getLogger(__name__)

QUEUE_KEY = "payments:retry:queue"
DEAD_LETTER_KEY = "payments:retry:dead"
IDEMPOTENCY_PREFIX = "payments:retry:idempotency"

REQUIRED_FIELDS = ("order_id", "user_id", "amount_minor", "currency", "payment_method_id")
IDEMPOTENCY_TTL_S = 24 * 60 * 60
MAX_RETRIES = 5
BATCH_SIZE = 100

with_redis_retry = retry(
    retry=retry_if_exception_type(redis.RedisError),
    stop=stop_after_attempt(3),
    wait=wait_exponential(multiplier=0.1, max=2),
    reraise=True,
)


class PaymentRetryQueue:
    """Queue of failed payments that will be retried with backoff.

    Each retry is protected by an idempotency key, so the same retry is never enqueued twice and the provider can
    recognise a repeated charge.
    """

    def __init__(
        self,
        redis_client: redis.Redis,
        provider: Provider,
        on_paid: Callable[[str], None],
        *,
        retry_delay_s: float = 60.0,
    ) -> None:
        """Initialize the queue.

        Args:
            redis_client: Client with ``decode_responses=True``.
            provider: Payment provider used to retry charges.
            on_paid: Called with the order id once its payment has succeeded.
            retry_delay_s: Base delay between retries, in seconds.
        """
        self._redis = redis_client
        self._provider = provider
        self._on_paid = on_paid
        self._retry_delay_s = retry_delay_s

    @with_redis_retry
    def enqueue(self, payment: dict[str, Any]) -> bool:
        """Add a failed payment to the queue.

        Args:
            payment: Payment with all of ``REQUIRED_FIELDS``.

        Returns:
            True if the payment was enqueued, False if this retry is already queued.

        Raises:
            ValueError: If a required field is missing.
        """
        missing = [field for field in REQUIRED_FIELDS if field not in payment]
        if missing:
            raise ValueError(f"payment is missing {', '.join(missing)}")

        idempotency_key = self._generate_idempotency_key(payment["user_id"])
        if not self._redis.set(f"{IDEMPOTENCY_PREFIX}:{idempotency_key}", "1", nx=True, ex=IDEMPOTENCY_TTL_S):
            logger.info("Retry %s is already queued, skipping", idempotency_key)
            return False

        self._schedule({**payment, "idempotency_key": idempotency_key, "retry_count": 0})
        logger.info("Enqueued payment for order %s", payment["order_id"])
        return True

    def process_retries(self) -> int:
        """Process all payments that are currently due.

        Returns:
            Number of payments that were charged successfully.
        """
        due = self._redis.zrangebyscore(QUEUE_KEY, "-inf", time.time(), start=0, num=BATCH_SIZE)
        return sum(self._process(str(item)) for item in due)

    def pending(self) -> int:
        """Return the number of payments that are waiting for a retry."""
        return int(self._redis.zcard(QUEUE_KEY))

    def _process(self, item: str) -> bool:
        """Retry a single payment and update the queue accordingly."""
        payment = json.loads(item)
        try:
            self._charge(payment)
        except (PaymentDeclined, OutcomeUnknown) as error:
            logger.warning("Retry of order %s failed: %r", payment["order_id"], error)
            self._redis.zrem(QUEUE_KEY, item)
            self._reschedule(payment)
            return False
        self._redis.zrem(QUEUE_KEY, item)
        self._on_paid(payment["order_id"])
        return True

    def _charge(self, payment: dict[str, Any]) -> None:
        """Charge the payment, letting the provider detect duplicates."""
        charge = Charge(
            amount_minor=payment["amount_minor"],
            currency=payment["currency"],
            payment_method_id=payment["payment_method_id"],
        )
        self._provider.charge(charge, idempotency_key=payment["idempotency_key"])

    def _reschedule(self, payment: dict[str, Any]) -> None:
        """Schedule the next retry, or give up after the maximum number of retries."""
        retry_count = payment["retry_count"] + 1
        if retry_count >= MAX_RETRIES:
            self._redis.lpush(DEAD_LETTER_KEY, json.dumps(payment, sort_keys=True))
            logger.error("Giving up on order %s after %d retries", payment["order_id"], retry_count)
            return
        self._schedule({**payment, "retry_count": retry_count})

    def _schedule(self, payment: dict[str, Any]) -> None:
        """Store the payment, due after a delay that grows with each retry."""
        due_at = time.time() + self._retry_delay_s * (payment["retry_count"] + 1)
        self._redis.zadd(QUEUE_KEY, {json.dumps(payment, sort_keys=True): due_at})

    def _generate_idempotency_key(self, user_id: str) -> str:
        """Generate a unique idempotency key for a retry."""
        return f"{user_id}:{int(time.time())}"
