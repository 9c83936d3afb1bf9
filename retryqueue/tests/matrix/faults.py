"""What goes wrong around a queue: the clock of its module, its network, its server."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from unittest.mock import patch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType
    from typing import Self


class Clock:
    """Stands in for the module `time`, and moves only when told to.

    Attributes:
        now_s: The time, since the epoch.
    """

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def time(self) -> float:
        """Seconds since the epoch."""
        return self.now_s

    def time_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return int(self.now_s * 1e9)


@contextmanager
def clock_of(module: ModuleType | None) -> Iterator[Clock]:
    """Puts a clock into a published queue's hands. Ours has none that matters: only the server's."""
    clock = Clock(float(int(time.time())))
    if module is None:
        yield clock
        return
    with patch.object(module, "time", clock):
        yield clock


class Cutter:
    """A proxy before a server, which can lose the reply to a command that the server has carried out.

    The caller learns so late, as it would from a time-out: the connection is held for a while, and cut then.

    Args:
        port: The server's.
        held_s: How long.
    """

    def __init__(self, port: int, *, held_s: float = 0.3) -> None:
        self._server_port = port
        self._held_s = held_s
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._needle: bytes | None = None
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.cuts = 0
        self.url = f"redis://127.0.0.1:{self._listening.getsockname()[1]}/0"

    def cut(self, needle: bytes) -> None:
        """Loses the reply to the next request that holds these bytes."""
        self._needle = needle

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for one in self._sockets:
            _end(one)
        for thread in self._threads:
            thread.join()

    def _run(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):  # Closed: there is nothing more to accept.
            while True:
                caller, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                self._sockets += [caller, server]
                doomed = threading.Event()
                self._run(self._requests, caller, server, doomed)
                self._run(self._replies, caller, server, doomed)

    def _requests(self, caller: socket.socket, server: socket.socket, doomed: threading.Event) -> None:
        with suppress(OSError):
            while request := caller.recv(65536):
                if self._needle is not None and self._needle in request:
                    self._needle = None
                    doomed.set()
                server.sendall(request)
        _end(server)

    def _replies(self, caller: socket.socket, server: socket.socket, doomed: threading.Event) -> None:
        with suppress(OSError):
            while reply := server.recv(65536):
                if doomed.is_set():
                    self.cuts += 1
                    time.sleep(self._held_s)
                    break
                caller.sendall(reply)
        _end(caller)


def _end(one: socket.socket) -> None:
    with suppress(OSError):  # Ended already.
        one.shutdown(socket.SHUT_RDWR)
    one.close()
