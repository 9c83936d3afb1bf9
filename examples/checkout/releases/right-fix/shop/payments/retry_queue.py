"""Payments whose outcome is unknown are asked for again until the provider answers; each is charged at most once.

Three promises hold whatever crashes, and each has one place:

- A payment is queued once. Its record is called what its order is called; a repeat is recognised, a change refused.
- A payment has one worker at a time. A claim is a lease with a number, the attempt; a worker whose lease ran out and
  whose item was claimed again has an old number and can change nothing more.
- A payment is charged once, even if two workers ask. The provider's key is the order and a generation, and the
  generation is raised, and stored, only after the provider refused for certain.

Every step is one Lua script on the server's clock. All keys share a hash tag, so a cluster keeps them together.
"""

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

import redis

from shop.payments import scripts
from shop.payments.provider import Charge, OutcomeUnknown, PaymentDeclined, Provider

DUE: Final = "{payments}:due"  # Sorted set: order id, scored by when it may be claimed, in ms.
DEAD: Final = "{payments}:dead"
QUARANTINE: Final = "{payments}:quarantine"
RECORD_PREFIX: Final = "{payments}:payment:"

ATTEMPTS_MAX: Final = 5
BATCH_SIZE: Final = 100
LEASE_MS: Final = 30_000  # Six times as long as the provider may take.
PROVIDER_WINDOW_MS: Final = 23 * 3_600_000  # The provider forgets a key after 24 h; asking then is a second charge.
REMEMBER_MS: Final = 48 * 3_600_000  # Longer than any retry can still be on its way.


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """What to charge, for which order of whom."""

    order_id: str
    user_id: str
    charge: Charge

    def __post_init__(self) -> None:
        """Raises ValueError if it cannot be charged."""
        if not (self.order_id and self.user_id and self.charge.currency and self.charge.payment_method_id):
            raise ValueError("a payment needs an order, a user, a currency and a payment method")
        if not isinstance(self.charge.amount_minor, int) or self.charge.amount_minor <= 0:
            raise ValueError("the amount must be a positive number of minor units")

    def encoded(self) -> str:
        """One spelling for one payment, so that two can be compared."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def decoded(cls, text: str) -> "Payment":
        """Raises ValueError, TypeError or KeyError if it is not a payment."""
        fields = json.loads(text)
        return cls(order_id=fields["order_id"], user_id=fields["user_id"], charge=Charge(**fields["charge"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A lease on one payment."""

    order_id: str
    attempt: int  # 1-based; also the fencing token.
    generation: int  # 1-based; how many different charges the provider was asked for.
    age_ms: int
    encoded: str


class Enqueued(StrEnum):
    """What became of an enqueue."""

    NEW = "new"
    KNOWN = "known"


class PaymentChanged(Exception):
    """The order is queued with another payment."""


def provider_key(order_id: str, generation: int = 1) -> str:
    """The idempotency key of a charge. Checkout asks first, with generation 1; the queue goes on from there."""
    # The first is the bare order id, as it was before there were generations: a charge that was on its way when this
    # was deployed is recognised.
    return order_id if generation == 1 else f"{order_id}:{generation}"


class PaymentRetryQueue:
    """The queue; any number of processes may enqueue and work on it."""

    def __init__(
        self, client: redis.Redis, provider: Provider, on_paid: Callable[[str], None], *, retry_delay_s: float = 60.0
    ) -> None:
        """`on_paid` gets the order's id, and may get it again after a crash. The first delay is doubled each time."""
        self._client = client
        self._provider = provider
        self._on_paid = on_paid
        self._retry_delay_s = retry_delay_s
        self._enqueue = client.register_script(scripts.ENQUEUE)
        self._claim = client.register_script(scripts.CLAIM)
        self._reschedule = client.register_script(scripts.RESCHEDULE)
        self._close = client.register_script(scripts.CLOSE)

    def enqueue(self, payment: Payment) -> Enqueued:
        """Queues a payment; may be repeated. Raises PaymentChanged, or redis.RedisError if it may not be stored."""
        encoded = payment.encoded()
        digest = hashlib.sha256(encoded.encode()).hexdigest()
        keys = [RECORD_PREFIX + payment.order_id, DUE]
        answer = self._enqueue(keys=keys, args=[payment.order_id, encoded, digest, self._delay_ms(1)])
        if answer == "conflict":
            raise PaymentChanged(payment.order_id)
        return Enqueued(str(answer))

    def process_retries(self) -> int:
        """Works on what is due, at most BATCH_SIZE payments; gives how many were paid."""
        paid = 0
        for _ in range(BATCH_SIZE):
            claim = self._next()
            if claim is None:
                break
            paid += self._process(claim)
        return paid

    def pending(self) -> int:
        """How many payments wait or are being worked on."""
        return int(self._client.zcard(DUE))

    def _next(self) -> Claim | None:
        answer = self._claim(keys=[DUE, QUARANTINE], args=[LEASE_MS, RECORD_PREFIX])
        if not answer:
            return None
        order_id, attempt, generation, age_ms, encoded = answer
        return Claim(order_id=order_id, attempt=attempt, generation=generation, age_ms=age_ms, encoded=encoded)

    def _process(self, claim: Claim) -> bool:
        """One attempt; whether it paid."""
        try:
            payment = Payment.decoded(claim.encoded)
        except (ValueError, TypeError, KeyError):
            self._end(claim, QUARANTINE)
            return False
        if claim.attempt > ATTEMPTS_MAX or claim.age_ms > PROVIDER_WINDOW_MS:
            self._end(claim, DEAD)
            return False
        return self._attempt(claim, payment)

    def _attempt(self, claim: Claim, payment: Payment) -> bool:
        try:
            self._provider.charge(payment.charge, idempotency_key=provider_key(claim.order_id, claim.generation))
        except PaymentDeclined:
            self._later(claim, claim.generation + 1)
            return False
        except OutcomeUnknown:
            self._later(claim, claim.generation)
            return False
        # First the order, then the queue: after a crash in between it is asked for, and noted, once more.
        self._on_paid(claim.order_id)
        self._end(claim)
        return True

    def _later(self, claim: Claim, generation: int) -> None:
        if claim.attempt >= ATTEMPTS_MAX:
            self._end(claim, DEAD)
            return
        keys = [RECORD_PREFIX + claim.order_id, DUE]
        delay_ms = self._delay_ms(claim.attempt + 1)
        self._reschedule(keys=keys, args=[claim.order_id, claim.attempt, generation, delay_ms])

    def _end(self, claim: Claim, moved_to: str = "") -> None:
        keys = [RECORD_PREFIX + claim.order_id, DUE, *([moved_to] if moved_to else [])]
        self._close(keys=keys, args=[claim.order_id, claim.attempt, REMEMBER_MS])

    def _delay_ms(self, attempt: int) -> int:
        """Doubled for each attempt; spread over its second half, so that an outage does not end in a stampede."""
        return int(self._retry_delay_s * 1000 * 2 ** (attempt - 1) * random.uniform(0.5, 1.0))
