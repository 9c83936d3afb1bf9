"""Ports for the servers of tests that have to be told one."""

from __future__ import annotations

import socket
from contextlib import suppress
from random import SystemRandom

_PORTS = SystemRandom()  # Not that of `random`, which begins anew with each test and in each process of a run.


def free_port() -> int:
    """A port that nobody listens on, below those that clients are given: one of them could have it before the server does."""
    while True:
        port = _PORTS.randrange(10_000, 30_000)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
