"""One fresh redis-server, `appendonly yes` and `appendfsync everysec`, in a temporary folder; nothing else is ever touched."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "127.0.0.1"


class Server:
    """The server on this port of the loopback interface."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"redis://{HOST}:{port}/0"

    def empty(self) -> None:
        """Removes all data, and the log of how it came to be."""
        self.command("FLUSHALL")
        self.command("BGREWRITEAOF")
        while self.info("persistence")["aof_rewrite_in_progress"] != "0":
            time.sleep(0.02)

    def memory_bytes(self) -> int:
        """What the data and the server itself take (`used_memory`), for comparison with a later reading."""
        time.sleep(0.3)  # Closed connections give their buffers back within a few turns of the server's clock.
        return int(self.info("memory")["used_memory"])

    def info(self, section: str) -> dict[str, str]:
        """One section of INFO."""
        pairs = (line.partition(":") for line in self.command("INFO", section).splitlines())
        return {name: value for name, _, value in pairs if value}

    def command(self, *words: str) -> str:
        """Sends one command on a connection of its own; answers the reply's text. Raises RuntimeError with an error reply."""
        request = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        with socket.create_connection((HOST, self.port), timeout=30) as connection, connection.makefile("rb") as replies:
            connection.sendall(request.encode())
            reply = replies.readline().decode().strip()
            if reply.startswith("-"):
                raise RuntimeError(reply[1:])
            return replies.read(int(reply[1:])).decode() if reply.startswith("$") else reply[1:]


@contextmanager
def started(program: str) -> Iterator[Server]:
    """A server run with `program` (a name on the path or a path), ended afterwards."""
    with tempfile.TemporaryDirectory(prefix="queue-benchmark-") as folder:
        port = _free_port()
        words = f"--bind {HOST} --port {port} --appendonly yes --appendfsync everysec --auto-aof-rewrite-percentage 0".split()
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen([program, *words, "--save", "", "--dir", folder], stdout=log, stderr=log)  # noqa: S603
        try:
            yield _answering(Server(port), process)
        finally:
            process.terminate()
            process.wait(30)


def _answering(server: Server, process: subprocess.Popen[bytes]) -> Server:
    until_s = time.monotonic() + 10
    while time.monotonic() < until_s and process.poll() is None:
        try:
            server.command("PING")
        except OSError:
            time.sleep(0.05)
        else:
            return server
    raise RuntimeError("the server did not start")


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        port: int = taken.getsockname()[1]
        return port
