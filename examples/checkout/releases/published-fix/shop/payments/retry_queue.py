"""Redis-backed retry queue for payments that could not be completed.

Payments whose charge failed are stored in a Redis sorted set, scored by the time at which they become due. A worker
periodically processes due payments, retries the charge and either completes the payment, reschedules it with backoff,
or moves it to the dead-letter queue once the maximum number of retries has been reached.
"""

import json
import logging
import time
import uuid
from collections.abc import Callable
from typing import Any

import redis
from tenacity import retry, stop_after_attempt, wait_exponential

from shop.payments.provider import Charge, OutcomeUnknown, PaymentDeclined, Provider

logger = logging.getLogger(__name__)

QUEUE_KEY = "payments:retry:queue"
DEAD_LETTER_KEY = "payments:retry:dead"
IDEMPOTENCY_PREFIX = "payments:retry:idempotency"

REQUIRED_FIELDS = ("order_id", "user_id", "amount_minor", "currency", "payment_method_id")
IDEMPOTENCY_TTL_S = 24 * 60 * 60
MAX_RETRIES = 5
BATCH_SIZE = 100


class PaymentRetryQueue:
    """Queue of failed payments that will be retried with backoff.

    Each retry is protected by a unique idempotency key. The key and the payment are stored atomically, so a payment is
    either fully enqueued or not at all, even with many concurrent producers.
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

    def enqueue(self, payment: dict[str, Any]) -> bool:
        """Add a failed payment to the queue.

        Args:
            payment: Payment with all of ``REQUIRED_FIELDS``.

        Returns:
            True if the payment was enqueued, False if its idempotency key is already in use.

        Raises:
            ValueError: If a required field is missing.
        """
        missing = [field for field in REQUIRED_FIELDS if field not in payment]
        if missing:
            raise ValueError(f"payment is missing {', '.join(missing)}")

        return self._store({"retry_count": 0, **payment, "enqueued_at": time.time()})

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

    @retry(stop=stop_after_attempt(3), wait=wait_exponential(multiplier=0.1, max=2))
    def _store(self, payment: dict[str, Any]) -> bool:
        """Store the payment and its idempotency key in one transaction."""
        key = f"{IDEMPOTENCY_PREFIX}:{self._generate_idempotency_key(payment)}"
        with self._redis.pipeline() as pipe:
            try:
                pipe.watch(key)  # type: ignore[no-untyped-call]
                if pipe.exists(key):
                    logger.info("Idempotency key %s is already in use, skipping", key)
                    return False
                pipe.multi()
                pipe.set(key, payment["order_id"], ex=IDEMPOTENCY_TTL_S)
                pipe.zadd(QUEUE_KEY, {json.dumps(payment, sort_keys=True): self._due_at(payment)})
                pipe.execute()
            except redis.WatchError:
                logger.info("Concurrent enqueue detected for %s, trying again", key)
                return self._store(payment)
        logger.info("Enqueued payment for order %s", payment["order_id"])
        return True

    def _process(self, item: str) -> bool:
        """Retry a single payment and update the queue accordingly."""
        payment = json.loads(item)
        try:
            self._charge(payment)
        except (PaymentDeclined, OutcomeUnknown) as error:
            logger.warning("Retry of order %s failed: %r", payment["order_id"], error)
            self._reschedule(item, payment)
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
        self._provider.charge(charge, idempotency_key=self._generate_idempotency_key(payment))

    def _reschedule(self, item: str, payment: dict[str, Any]) -> None:
        """Atomically schedule the next retry, or give up after the maximum number of retries."""
        payment["retry_count"] += 1
        with self._redis.pipeline() as pipe:
            pipe.zrem(QUEUE_KEY, item)
            if payment["retry_count"] >= MAX_RETRIES:
                pipe.lpush(DEAD_LETTER_KEY, json.dumps(payment, sort_keys=True))
                logger.error("Giving up on order %s after %d retries", payment["order_id"], payment["retry_count"])
            else:
                pipe.zadd(QUEUE_KEY, {item: self._due_at(payment)})
            pipe.execute()

    def _due_at(self, payment: dict[str, Any]) -> float:
        """Return the time of the next retry, with a delay that grows with each retry."""
        retry_count: int = payment["retry_count"]
        return time.time() + self._retry_delay_s * (retry_count + 1)

    def _generate_idempotency_key(self, payment: dict[str, Any]) -> str:
        """Generate a collision-free idempotency key.

        Combines the user with a nanosecond timestamp and a random suffix, so that no two retries share a key.
        """
        return f"{payment['user_id']}:{time.time_ns()}:{uuid.uuid4().hex[:8]}"
