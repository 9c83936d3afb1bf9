"""Ordering and paying."""

from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from prometheus_client import REGISTRY

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


def test_a_repeat_after_a_lost_answer_pays_once(client: TestClient, customer: dict[str, str], bank: FakeBank) -> None:
    order, bank.status_code = tea(), 500
    assert client.post("/checkout", json=order, headers=customer).status_code == 503
    bank.status_code = 201
    assert client.post("/checkout", json=order, headers=customer).status_code == 200
    assert len(bank.charged) == 1


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nobody"}])
def test_a_stranger_orders_nothing(client: TestClient, headers: dict[str, str]) -> None:
    assert client.post("/checkout", json=tea(), headers=headers).status_code == 401
