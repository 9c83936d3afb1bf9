"""One small adapter for each queue; every one runs in a process, and where need be an environment, of its own."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.peers.base import Peer

OURS = "retryqueue"
PEERS = ("rq", "arq", "saq", "dramatiq", "celery", "huey", "taskiq", "streaq")


def adapter(name: str, url: str) -> Peer:
    """The adapter of the queue called `name`, for the server at `url`. Raises ImportError where the queue is not installed."""
    made: Peer = importlib.import_module(f"benchmarks.peers.{name}").ADAPTER(url)
    return made
