"""The two published payment retry queues in all twelve scenarios. Run with `interlock prove`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis
import requests

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from published_queues import fixed, original

from interlock.prove.contracts import RetryQueue, contract

if TYPE_CHECKING:
    from interlock.prove.contracts import Payment
    from interlock.prove.world import World

PROVIDER = "http://api.pay.example/charges"


def charge(payment: dict[str, Any]) -> bool:
    """Charges over HTTP, as the shop does."""
    return requests.post(PROVIDER, json=payment, timeout=5).ok


def published(world: World, kind: Any) -> RetryQueue:
    """What both queues promise."""
    queue = world.subject(lambda: kind(redis.Redis.from_url(world.redis_url), charge))

    def enqueue(payment: Payment) -> None:
        fields = {"user_id": payment.user, "amount": payment.amount_minor, "currency": payment.currency}
        queue().enqueue({**fields, "payment_method_id": payment.method, "order_id": payment.key})

    def dead_letters() -> list[str]:
        found: Any = redis.Redis.from_url(world.redis_url).lrange("payment_dead_letters", 0, -1)
        return [json.loads(letter)["order_id"] for letter in found]

    return RetryQueue(
        world.provider(PROVIDER),
        enqueue=enqueue,
        process=lambda: queue().process_retries(),
        dead_letters=dead_letters,
        attempts=5,
        retry_after_s=(60, 120, 180, 240),
        due_after_s=60,
    )


@contract
def the_original(world: World) -> RetryQueue:
    """The queue that was deployed on 17 October 2024."""
    return published(world, original.PaymentRetryQueue)


@contract
def the_published_fix(world: World) -> RetryQueue:
    """Its correction."""
    return published(world, fixed.PaymentRetryQueue)
