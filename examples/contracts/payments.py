"""Contracts for three retry queues: the two published ones, and one that is right. Run with `interlock prove`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis
import requests

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from published_queues import fixed, original

from interlock.prove import contract

if TYPE_CHECKING:
    from interlock.prove.world import World

PROVIDER = "http://api.pay.example/charges"
PAYMENT = {"user_id": "u1", "amount": 4999, "currency": "EUR", "payment_method_id": "pm_1", "order_id": "p1"}


def charge(payment: dict[str, Any], key: str | None = None) -> bool:
    """Charges over HTTP, as the shop does."""
    headers = {"Idempotency-Key": key} if key else {}
    return requests.post(PROVIDER, json=payment, headers=headers, timeout=5).ok


class LeasedQueue:
    """A queue that is right for one attempt: a lease that one worker gets, and a key that names the payment."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url, decode_responses=True)

    def enqueue(self, order: str) -> None:
        """Stores a payment."""
        self._redis.sadd("payments", order)

    def process_retries(self) -> None:
        """Charges what nobody else is charging."""
        for order in self._redis.smembers("payments"):
            is_ours = self._redis.set(f"lease:{order}", "1", nx=True, px=30_000)
            if is_ours and charge(
                {**PAYMENT, "order_id": order}, f"charge:{order}"
            ):  # Else its lease ends, and it comes again.
                self._redis.srem("payments", order)


def published(world: World, kind: Any) -> None:
    """What both published queues promise."""
    bank = world.provider(PROVIDER)
    queue = world.subject(lambda: kind(redis.Redis.from_url(world.redis_url), charge, retry_delay_s=0))
    world.given(lambda: queue().enqueue(PAYMENT))
    world.run(lambda: queue().process_retries())
    world.check(bank.charged_once("p1"))


@contract(workers=2, faults=1)
def the_original_charges_once(world: World) -> None:
    """It does not."""
    published(world, original.PaymentRetryQueue)


@contract(workers=2, faults=1)
def the_published_fix_charges_once(world: World) -> None:
    """It does not either."""
    published(world, fixed.PaymentRetryQueue)


@contract(workers=2, faults=1)
def a_leased_queue_charges_once(world: World) -> None:
    """It does."""
    bank = world.provider(PROVIDER)
    queue = world.subject(LeasedQueue, world.redis_url)
    world.given(lambda: queue().enqueue("p1"))
    world.run(lambda: queue().process_retries())
    world.check(bank.charged_once("p1"))
