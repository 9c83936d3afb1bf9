"""The subjects that proofs are tried on, and the server that they need."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SUBJECTS = Path(__file__).parent.parent / "prove_subjects"


@pytest.fixture
def redis_server() -> None:
    """There is a Redis on this machine."""
    if not shutil.which("redis-server") and not shutil.which("valkey-server"):
        message = "NOT RUN: no redis-server on this machine (make servers)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture
def postgres_server() -> None:
    """There is a Postgres on this machine."""
    if not shutil.which("postgres") and not list(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
        message = "NOT RUN: no postgres on this machine (make servers)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture
def queues(redis_server: None) -> Iterator[Any]:  # noqa: ARG001 - it must be there.
    """The module of queues."""
    sys.path.insert(0, str(SUBJECTS))
    yield importlib.import_module("queues")
    sys.path.remove(str(SUBJECTS))
    sys.modules.pop("queues")
