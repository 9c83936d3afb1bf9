"""What is promised of a payment whose charge is to be retried: `interlock prove contracts/payments.py`.

Agreed on before there was a retry queue. Checkout hands a payment over by `schedule_retry`, and a worker calls `process_retries`.
"""

import time
from collections.abc import Callable
from typing import Any

import redis
from interlock.prove.contract import contract
from interlock.prove.provider import Provider as Bank
from interlock.prove.world import World

from shop.checkout import schedule_retry
from shop.context import Shop
from shop.orders import Order
from shop.payments.provider import open_provider
from shop.payments.retry_queue import PaymentRetryQueue

RETRY_DELAY_S = 60.0
PROVIDER = "http://api.pay.example"


@contract(workers=1, faults=0)
def two_payments_in_one_second_are_two(world: World) -> None:
    """One person buys two things at once, and both charges have to be retried."""
    bank, shop = opened(world)
    world.given(lambda: schedule_retry(shop(), order("tea")))
    world.given(lambda: schedule_retry(shop(), order("teapot")))
    world.run(lambda: work(shop()))
    world.check(bank.charged_once("tea"), bank.charged_once("teapot"))


@contract(workers=2, faults=1)
def a_retried_payment_is_charged_once(world: World) -> None:
    """Whatever crashes, and however two workers take turns."""
    bank, shop = opened(world)
    world.given(lambda: schedule_retry(shop(), order("tea")))
    world.run(lambda: work(shop()))
    world.check(bank.charged_once("tea"))


def opened(world: World) -> tuple[Bank, Callable[[], Shop]]:
    """The provider's ledger, and the shop in the process that asks."""
    no_database: Any = None  # Whose orders these are, the contract knows.

    def open_shop() -> Shop:
        client = redis.Redis.from_url(world.redis_url, decode_responses=True)
        provider = open_provider(PROVIDER, "secret")
        return Shop(
            no_database,
            provider,
            PaymentRetryQueue(client, provider, lambda order_id: None, retry_delay_s=RETRY_DELAY_S),
        )

    bank: Bank = world.provider(f"{PROVIDER}/charges", payment_of=lambda request: request.json()["payment_method_id"])
    return bank, world.subject(open_shop)


def work(shop: Shop) -> None:
    """A worker that comes when the first retry is due; no time passes."""
    time.sleep(RETRY_DELAY_S)
    shop.retries.process_retries()


def order(name: str) -> Order:
    """An order of the same customer; the provider sees its payment method, which is named like it."""
    bought = {"checkout_id": f"checkout-{name}", "sku": name, "quantity": 1, "amount_minor": 1240}
    return Order(id=f"order-{name}", user_id="u1", payment_method_id=name, **bought)
