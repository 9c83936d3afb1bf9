"""The servers of a load: a Redis that can be killed and comes back with what it had written, and a provider over HTTP.

Both listen on ports of this machine that only the processes of the load are told.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Any, cast

from interlock.core.errors import WorldError
from interlock.prove.clock import EPOCH_S
from interlock.prove.load.crew import Ended
from interlock.prove.server_clock import ServerClock, compiled_clock
from interlock.prove.wire.http_wire import MAY_GO_ON, Answer, asks_first, first_request, written
from interlock.prove.wire.redis_connection import Connection
from interlock.prove.wire.redis_server import THREADLESS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from interlock.prove.wire.http_wire import Request

START_TIMEOUT_S = 10.0
LOCALHOST = "127.0.0.1"
# As Redis has it by default; a load that needs more is told so.
CLIENTS_MAX = 10_000
_CONNECTED = re.compile(rb"connected_clients:(\d+)")
_IDLE = re.compile(rb" idle=(\d+)")


class LoadedRedis:
    """A Redis of a load: nobody else's, and gone afterwards.

    Args:
        binary: The server's program.
        folder: Where its files lie.
        clock: What it takes for the time.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, binary: str, folder: Path, clock: ServerClock) -> None:
        self.port = _free_port()
        self._folder = folder
        self._clock = clock
        self._command = [binary, "--bind", LOCALHOST, "--port", str(self.port), "--unixsocket", str(folder / "redis")]
        self._command += ["--dir", str(folder), "--save", "", "--appendonly", "yes", "--appendfsync", "always"]
        self._command += THREADLESS
        self._command += ["--maxclients", str(CLIENTS_MAX), "--tcp-backlog", "1024", "--loglevel", "warning"]
        self._start()

    def show(self, now_s: float) -> None:
        """Tells it the time of the load."""
        self._clock.show(EPOCH_S + now_s)

    def value(self, *command: str | bytes | int) -> Any:
        """The reply to a question of our own.

        Raises:
            Ended: If the server has, which nobody meant it to.
        """
        try:
            return self._own.value(*command)
        except OSError as error:
            raise Ended(f"the Redis under load has ended by itself: {error}") from error

    def agrees(self) -> bool:
        """Whether it takes the time of the load for the time; a binary that was linked statically, say, does not."""
        seconds, us = (int(part) for part in self.value("TIME"))
        return seconds * 10**6 + us == self._clock.shown_us

    def clients(self) -> int:
        """How many connections are open, without our own. Counted, as to write a list of a thousand holds up who calls."""
        found = _CONNECTED.search(self.value("INFO", "clients"))
        return int(found[1]) - 1 if found else 0

    def idle_s(self) -> list[int]:
        """For how long each connection has not been used, in the time of the load."""
        return [int(idle) for idle in _IDLE.findall(self.value("CLIENT", "LIST", "TYPE", "NORMAL"))]

    def is_name(self, key: str) -> bool:
        """Whether a key can stand for a single thing: a string, or one that has expired."""
        return self.value("TYPE", key) in {b"string", b"none"}

    def restart(self) -> None:
        """Is killed, and comes back with everything that it has acknowledged."""
        self._kill()
        self._start()

    def close(self) -> None:
        """Ends it."""
        self._kill()

    def _start(self) -> None:
        environment = {**os.environ, **self._clock.environment, "INTERLOCK_NO_SYNC": "1"}
        nowhere = subprocess.DEVNULL
        self._process = subprocess.Popen(self._command, stdin=nowhere, stdout=nowhere, stderr=nowhere, env=environment)
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while True:
            with suppress(OSError):
                own = Connection(self._folder / "redis")
                if own.value("PING") == b"PONG":
                    self._own = own
                    return
                own.close()  # It is reading what it had written.
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise WorldError(f"redis-server did not answer within {START_TIMEOUT_S:.0f} s")
            time.sleep(0.005)

    def _kill(self) -> None:
        self._own.close()
        self._process.kill()
        self._process.wait()
        (self._folder / "redis").unlink(missing_ok=True)


@contextmanager
def running_redis() -> Generator[LoadedRedis]:
    """A Redis for as long as the block lasts.

    Raises:
        WorldError: If there is none on this machine, it does not start, or it cannot be shown the time of a load.
    """
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    if binary is None:
        raise WorldError("no redis-server on this machine (apt-get install redis-server), and no load without one")
    library = compiled_clock()
    if library is None:
        raise WorldError(
            "no C compiler on this machine, so that Redis cannot be shown the time of a load (apt-get install gcc)"
        )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="interlock-")))
        clock = stack.enter_context(closing(ServerClock(folder, library, EPOCH_S)))
        redis = stack.enter_context(closing(LoadedRedis(binary, folder, clock)))
        if not redis.agrees():
            raise WorldError(f"{binary} cannot be shown the time of a load; is it linked statically?")
        yield redis


def _free_port() -> int:
    """A port that nobody listens on, below those that clients are given.

    One of them could have it otherwise, before the server does, or while it is away: also one that connects to itself.
    """
    ports = SystemRandom()
    while True:
        port = ports.randrange(10_000, 30_000)
        with suppress(OSError), socket.socket() as probe:
            probe.bind((LOCALHOST, port))
            return port


class Services:
    """What answers over HTTP under the names that the contract gives: in one thread, one request after the other.

    Args:
        answers: By host: what it answers.

    Attributes:
        port: Where it listens.
        conversations: The connections that are open.
        failed: What went wrong in an answer, if anything did.
    """

    def __init__(self, answers: Mapping[str, Callable[[Request], object]]) -> None:
        self._answers = answers
        self._listening = socket.create_server((LOCALHOST, 0), backlog=1024)
        self.port = int(self._listening.getsockname()[1])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._served, daemon=True)
        self.conversations: set[asyncio.BaseTransport] = set()
        self.failed: BaseException | None = None

    def start(self) -> None:
        """Answers from now on. What listens is there before, so that processes can be forked without this thread."""
        self._thread.start()

    def close(self) -> None:
        """Ends it, and all connections."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._listening.close()

    def _served(self) -> None:
        asyncio.set_event_loop(self._loop)
        serving = self._loop.create_server(lambda: _Conversation(self), sock=self._listening, backlog=1024)
        self._loop.run_until_complete(serving)
        self._loop.run_forever()
        for transport in self.conversations:
            transport.close()
        self._loop.run_until_complete(asyncio.sleep(0))  # In which they are closed.
        self._loop.close()

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self.conversations)

    def answered(self, request: Request) -> Answer:
        """The answer of the host that is asked."""
        host = request.headers.get("host", "").partition(":")[0]
        try:
            given = self._answers[host](request)
        except Exception as error:  # noqa: BLE001 - told as what it is; the module is answered all the same.
            self.failed = self.failed or error
            return Answer(500)
        if isinstance(given, Answer):
            return given
        status, body = cast("tuple[int, object]", given)
        return Answer(status, body)


class _Conversation(asyncio.Protocol):
    """One connection to the services.

    Args:
        services: Who answers.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._buffer = b""
        self._may_go_on = False
        self._hangs = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._services.conversations.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - as asyncio tells it.
        if self._transport is not None:
            self._services.conversations.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while not self._hangs and (found := first_request(self._buffer)) is not None:
            request, self._buffer = found
            self._may_go_on = False
            self._answer(request)
        if not self._may_go_on and b"\r\n\r\n" in self._buffer and asks_first(self._buffer):
            self._may_go_on = True
            self._write(MAY_GO_ON)

    def _answer(self, request: Request) -> None:
        answer = self._services.answered(request)
        self._hangs = answer.hangs
        if answer.hangs:
            return
        is_last = request.headers.get("connection", "").lower() == "close"
        self._write(written(request, answer, is_last=is_last))
        if is_last and self._transport is not None:
            self._transport.close()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)
