"""Payment retry queues under load: the incident's, its published fix, and this repository's own.

interlock prove --load examples/contracts/under_load.py
"""

from __future__ import annotations

import asyncio
import http.client
import json
import sys
import threading
from http import HTTPStatus
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import redis

import retryqueue
from interlock.prove.contracts import RetryQueue, contract
from interlock.prove.load.shapes import burst, steady
from retryqueue.outcome import from_reply
from retryqueue.states import State

if TYPE_CHECKING:
    from interlock.prove.contracts import Payment
    from interlock.prove.world import World

HOST = "api.pay.example"
LOADS = (burst(1000), steady(420, for_s=10))
POLICY = retryqueue.Policy(attempts=5)
_kept = threading.local()

# The package of that name, and not the file beside this one.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
original: Any = import_module("published_queues.original")
fixed: Any = import_module("published_queues.fixed")


def post(payment: dict[str, Any], key: str | None = None) -> tuple[int, dict[str, Any]]:
    """Asks for a charge, on a connection that each thread keeps."""
    if not hasattr(_kept, "connection"):
        _kept.connection = http.client.HTTPConnection(HOST, timeout=5)
    headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
    _kept.connection.request("POST", "/charges", json.dumps(payment), headers)
    answer = _kept.connection.getresponse()
    return answer.status, json.loads(answer.read())


def is_charged(payment: dict[str, Any]) -> bool:
    """Whether the provider has taken the money."""
    return post(payment)[0] == HTTPStatus.OK


def published(world: World, kind: Any) -> RetryQueue:
    """What both published queues promise."""
    connect = cast("Any", redis.Redis).from_url
    queue = world.subject(lambda: kind(connect(world.redis_url), is_charged, retry_delay_s=0))

    def enqueue(payment: Payment) -> None:
        fields = {"user_id": payment.user, "amount": payment.amount_minor, "currency": payment.currency}
        queue().enqueue({**fields, "payment_method_id": payment.method, "order_id": payment.key})

    def dead_letters() -> list[str]:
        found = connect(world.redis_url).lrange("payment_dead_letters", 0, -1)
        return [json.loads(letter)["order_id"] for letter in found]

    bank = world.provider(f"http://{HOST}/charges")
    return RetryQueue(bank, enqueue=enqueue, process=lambda: queue().process_retries(), dead_letters=dead_letters)


@contract(load=LOADS)
def the_original(world: World) -> RetryQueue:
    """The queue that was deployed on 17 October 2024. At one call a second it does well."""
    return published(world, original.PaymentRetryQueue)


@contract(load=LOADS)
def the_published_fix(world: World) -> RetryQueue:
    """Its correction. Nothing collides in it, and customers pay twice."""
    return published(world, fixed.PaymentRetryQueue)


def charge(lease: retryqueue.Lease) -> retryqueue.Outcome:
    """Charges under the key that the queue gives."""
    status, body = post({"payment": lease.payment.key}, lease.provider_key)
    return from_reply(status, body, is_first=lease.is_first)


async def until_nothing_is_due(queue: retryqueue.RetryQueue) -> None:
    """Waits until every payment that was due has been taken up."""
    is_due = True
    while is_due:
        await asyncio.sleep(0.01)
        is_due = await asyncio.to_thread(is_something_due, queue)


def is_something_due(queue: retryqueue.RetryQueue) -> bool:
    """Whether a payment waits to be taken up now."""
    status = queue.status()
    return status.next_due_ms is not None and status.next_due_ms <= status.now_ms


@contract(load=(burst(1000), steady(420, for_s=10, poll_every_s=1)))
def the_right_queue(world: World) -> RetryQueue:
    """The queue of this repository."""
    queue = world.subject(lambda: retryqueue.RetryQueue(world.redis_url, policy=POLICY, shards=1, durability="ignore"))

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
        worker = retryqueue.Worker(world.redis_url, charge, policy=POLICY, concurrency=8, shards=1, durability="ignore")
        work = asyncio.ensure_future(worker.serve())
        await until_nothing_is_due(queue())
        worker.stop()
        await work

    return RetryQueue(
        world.provider(f"http://{HOST}/charges"),
        enqueue=enqueue,
        process=process,
        dead_letters=lambda: [item.payment.key for item in queue().items(State.DEAD) if item.payment],
        to_reconcile=lambda: [item.payment.key for item in queue().items(State.RECONCILE) if item.payment],
    )
