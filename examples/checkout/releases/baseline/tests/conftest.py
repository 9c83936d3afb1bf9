"""A whole shop for each test, with a payment provider that does what the test tells it to."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from shop.app import create_app
from shop.context import Shop
from shop.database import open_database
from shop.payments.provider import Provider


class FakeBank:
    """Answers charges; remembers them by idempotency key, as the provider does."""

    def __init__(self) -> None:
        self.status_code = 201
        self.charged: dict[str, int] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """One charge over HTTP."""
        if self.status_code == httpx.codes.CREATED:
            self.charged[request.headers["Idempotency-Key"]] = 1
        return httpx.Response(self.status_code)


@pytest.fixture
def bank() -> FakeBank:
    """The payment provider's side."""
    return FakeBank()


@pytest.fixture
def shop(tmp_path: Path, bank: FakeBank) -> Iterator[Shop]:
    """A shop on a fresh database."""
    with httpx.Client(transport=httpx.MockTransport(bank), base_url="https://api.pay.example") as http:
        sessions = open_database(f"sqlite:///{tmp_path}/shop.db")
        yield Shop(sessions, Provider(http))
        sessions.kw["bind"].dispose()


@pytest.fixture
def client(shop: Shop) -> Iterator[TestClient]:
    """A visitor's browser."""
    with TestClient(create_app(shop)) as client:
        yield client


@pytest.fixture
def customer(client: TestClient) -> dict[str, str]:
    """The headers of somebody who signed up."""
    token = client.post("/sign-up", json={"email": "ada@example.com"}).json()["token"]
    return {"Authorization": f"Bearer {token}"}
