"""The queue of this repository under the contract for payment retry queues. Run with `interlock prove`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx

import retryqueue
from interlock.prove.contracts import RetryQueue, contract
from retryqueue.outcome import from_reply

if TYPE_CHECKING:
    from interlock.prove.contracts import Payment
    from interlock.prove.world import World

PROVIDER = "http://api.pay.example/charges"
POLICY = retryqueue.Policy(attempts=3, lease_ms=30_000, backoff_base_ms=60_000)


async def charge(lease: retryqueue.Lease) -> retryqueue.Outcome:
    """Charges over HTTP, under the key that the queue gives."""
    async with httpx.AsyncClient() as client:
        headers = {"Idempotency-Key": lease.provider_key}
        answer = await client.post(PROVIDER, json={"payment": lease.payment.key}, headers=headers)
    return from_reply(answer.status_code, answer.json(), is_first=lease.is_first)


@contract
def payments(world: World) -> RetryQueue:
    """Each is charged once, or set aside."""
    address = world.redis_url
    queue = world.subject(lambda: retryqueue.RetryQueue(address, policy=POLICY, shards=1, durability="ignore"))

    def enqueue(payment: Payment) -> None:
        queue().enqueue(
            retryqueue.Payment(
                key=payment.key,
                user_id=payment.user,
                amount_minor=payment.amount_minor,
                currency=payment.currency,
                payment_method_id=payment.method,
            )
        )

    async def process() -> None:
        worker = retryqueue.Worker(address, charge, policy=POLICY, concurrency=1, prefetch=0, shards=1, durability="ignore")
        work = asyncio.ensure_future(worker.serve())
        await asyncio.sleep(0.5)
        worker.stop()
        await work

    return RetryQueue(
        world.provider(PROVIDER),
        enqueue=enqueue,
        process=process,
        dead_letters=lambda: [item.payment.key for item in queue().items("dead") if item.payment],
        to_reconcile=lambda: [item.payment.key for item in queue().items("reconcile") if item.payment],
        attempts=3,
    )
