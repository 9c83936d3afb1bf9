"""A real server for the tests of this folder; without one they fail, they are not skipped."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from servers import RedisServer, binaries

from retryqueue import Payment, RetryQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


# Started in the background by a shell, the tests would ignore Ctrl-C, and so would every program that they stop with it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# How long anything takes says nothing on a machine that does other things as well.
settings.register_profile("on a shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("on a shared machine")


@pytest.fixture(scope="session", params=sorted(binaries()) or ["none"])
def running_server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """One running server of each kind that this machine has, for all tests."""
    with RedisServer(binary=binaries().get(request.param)) as server:
        yield server


@pytest.fixture
def server(running_server: RedisServer) -> RedisServer:
    """A server that holds nothing."""
    with running_server.client() as client:
        client.flushall()
    return running_server


@pytest.fixture
def queue(server: RedisServer) -> Iterator[RetryQueue]:
    """A queue that holds nothing."""
    with RetryQueue(server.url, durability="ignore") as queue:
        yield queue


@pytest.fixture
def payment() -> Callable[..., Payment]:
    """Makes a payment that differs from an ordinary one in the given fields."""

    def make(key: str = "order-1", **changed: object) -> Payment:
        usual = {"user_id": "user-1", "amount_minor": 4999, "currency": "EUR", "payment_method_id": "pm_1"}
        return Payment.from_fields(key, {**usual, **changed})

    return make
