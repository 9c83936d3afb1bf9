"""Ordering and paying."""

from unittest.mock import Mock
from uuid import uuid4

import httpx
import pytest
import redis
from fastapi.testclient import TestClient
from prometheus_client import REGISTRY

from shop.context import Shop
from shop.payments.retry_queue import PaymentRetryQueue
from tests.conftest import FakeBank


def completed() -> float:
    return REGISTRY.get_sample_value("shop_orders_completed_total") or 0.0


def tea(sku: str = "sencha", checkout_id: str | None = None) -> dict[str, str | int]:
    return {"checkout_id": checkout_id or str(uuid4()), "sku": sku, "quantity": 2, "payment_method_id": "pm_visa"}


def test_an_order_is_paid_and_counted(client: TestClient, customer: dict[str, str]) -> None:
    before = completed()
    receipt = client.post("/checkout", json=tea(), headers=customer)
    assert (receipt.status_code, receipt.json()["status"], receipt.json()["amount_minor"]) == (200, "paid", 1240)
    assert completed() == before + 1


def test_pressing_the_button_twice_pays_once(client: TestClient, customer: dict[str, str], bank: FakeBank) -> None:
    order = tea()
    receipts = [client.post("/checkout", json=order, headers=customer).json() for _ in range(2)]
    assert receipts[0] == receipts[1]
    assert len(bank.charged) == 1


def test_a_checkout_cannot_change_its_order(client: TestClient, customer: dict[str, str]) -> None:
    checkout_id = str(uuid4())
    client.post("/checkout", json=tea("sencha", checkout_id), headers=customer)
    assert client.post("/checkout", json=tea("teapot", checkout_id), headers=customer).status_code == 409


def test_a_declined_payment_says_so(client: TestClient, customer: dict[str, str], bank: FakeBank) -> None:
    bank.status_code = 402
    assert client.post("/checkout", json=tea(), headers=customer).status_code == 402


def test_a_failed_payment_is_retried(client: TestClient, customer: dict[str, str], bank: FakeBank, shop: Shop) -> None:
    order, bank.status_code = tea(), 500
    assert client.post("/checkout", json=order, headers=customer).json()["status"] == "retrying"
    bank.status_code = 201
    assert shop.retries.process_retries() == 1
    assert client.post("/checkout", json=order, headers=customer).json()["status"] == "paid"
    assert len(bank.charged) == 1


def test_a_charge_whose_answer_was_lost_is_not_made_again(
    client: TestClient, customer: dict[str, str], bank: FakeBank, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def charge_in_silence(bank: FakeBank, request: httpx.Request) -> httpx.Response:
        bank.charged[request.headers["Idempotency-Key"]] = 1
        return httpx.Response(500)

    with monkeypatch.context() as patch:
        patch.setattr(FakeBank, "__call__", charge_in_silence)
        assert client.post("/checkout", json=tea(), headers=customer).json()["status"] == "retrying"
    assert shop.retries.process_retries() == 1
    assert len(bank.charged) == 1


def test_an_order_that_is_retried_is_not_charged_beside_the_queue(
    client: TestClient, customer: dict[str, str], bank: FakeBank, shop: Shop
) -> None:
    order, bank.status_code = tea(), 500
    client.post("/checkout", json=order, headers=customer)
    bank.status_code = 201
    assert client.post("/checkout", json=order, headers=customer).json()["status"] == "retrying"
    assert (len(bank.charged), shop.retries.pending()) == (0, 1)


def test_a_retry_that_redis_refused_is_scheduled_by_the_next_press(
    client: TestClient, customer: dict[str, str], bank: FakeBank, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, bank.status_code = tea(), 500
    with monkeypatch.context() as patch:
        patch.setattr(PaymentRetryQueue, "enqueue", Mock(side_effect=redis.ConnectionError("refused")))
        assert client.post("/checkout", json=order, headers=customer).status_code == 503
    assert client.post("/checkout", json=order, headers=customer).json()["status"] == "retrying"
    assert shop.retries.pending() == 1


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nobody"}])
def test_a_stranger_orders_nothing(client: TestClient, headers: dict[str, str]) -> None:
    assert client.post("/checkout", json=tea(), headers=headers).status_code == 401
