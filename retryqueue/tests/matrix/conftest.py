"""A real server that keeps an append-only file (`everysec`), a provider with a Redis of its own, and the three queues."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from published_queues import fixed as fixed_module
from published_queues import original as original_module
from servers import RedisServer

from matrix.ledger import Ledger
from matrix.subject import Ours, Published

if TYPE_CHECKING:
    from collections.abc import Iterator

Told = Callable[[str, str], None]


@pytest.fixture(scope="session", autouse=True)
def _quiet() -> None:
    """Some rows make the published queues log thousands of errors."""
    logging.getLogger("published_queues").setLevel(logging.CRITICAL)


@pytest.fixture(scope="session")
def running_server() -> Iterator[RedisServer]:
    """One server for all rows that do not harm it."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def running_ledger() -> Iterator[str]:
    """The provider's address."""
    with RedisServer(appendonly="no") as server:
        yield server.url


@pytest.fixture
def ledger(running_ledger: str) -> Iterator[Ledger]:
    """A provider that has charged nothing yet."""
    with Ledger(running_ledger) as ledger:
        ledger.clear()
        yield ledger


@pytest.fixture
def original(server: RedisServer) -> Iterator[Published]:
    """The queue of the incident, empty."""
    queue = Published(original_module, server.url)
    yield queue
    queue.close()


@pytest.fixture
def fixed(server: RedisServer) -> Iterator[Published]:
    """The correction that was published, empty."""
    queue = Published(fixed_module, server.url)
    yield queue
    queue.close()


@pytest.fixture
def ours(server: RedisServer) -> Iterator[Ours]:
    """Ours, empty."""
    queue = Ours(server.url)
    yield queue
    queue.close()


@pytest.fixture
def told(record_property: Callable[[str, object], None]) -> Told:
    """Writes what was measured of a queue into the table."""
    return record_property
