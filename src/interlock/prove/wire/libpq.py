"""psycopg under control: it waits where we can act, and connects to a port of ours, behind which the proof's server is.

libpq is C and makes its own sockets. But psycopg never lets it block: whenever an answer is needed, it asks `psycopg.waiting`.
There we take what was sent off the other end of the connection, carry it out, and put the answer there.
"""

from __future__ import annotations

import asyncio
import fcntl
import select
import socket
import struct
import termios
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from interlock.prove.effect import Effect, Uncontrolled
from interlock.prove.wire.event_loop import on_a_lane

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from interlock.prove.scheduler import Run
    from interlock.prove.wire.network import Network, Wire

READ, WRITE = 1, 2  # As in `psycopg._enums`.
_PATIENCE_S = 1.0
_MOST = 1 << 16
# While a schedule runs, the names stand for controlled ones.
_RealSocket, _select, _real_poll = socket.socket, select.select, select.poll


class _End:
    """The other end of one of libpq's connections."""

    def __init__(self, far: socket.socket, near: int, peer: Any, wire: Wire) -> None:
        self.far, self.peer, self.wire = far, peer, wire
        self._near = near
        self._outbox = b""
        far.settimeout(0)

    def wait(self, run: Run, wanted: int, seconds: float | None) -> int:
        """What libpq may do now, of what it wants; nothing if the time is over."""
        if self.far.fileno() < 0:
            return wanted  # It will see for itself that the connection is broken.
        data = self._received()
        if data:
            self._exchange(data)
            return wanted
        self._flush()
        if wanted & WRITE or self._outbox or _select([self._near], [], [], 0)[0]:
            return wanted
        run.wait(seconds, Effect("wait", f"wait for {self.wire.expects or 'data'}"), until=self.wire.has_news)
        if not self.wire.has_news():
            return 0
        told = self.wire.news()
        self._outbox += told
        self._flush()
        if not told:  # The server has hung up.
            self.far.close()
        return wanted

    def close_if_left(self) -> None:
        """At its end libpq waits for nothing, so that nobody has told us of it."""
        if self.far.fileno() < 0:
            return
        try:
            data = self.far.recv(5, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or data[:1] == b"X":
            self.wire.close()

    def _received(self) -> bytes:
        if data := self._come():
            return data
        # Even within a machine a packet can be late, when the machine is busy: what libpq has sent is waited for.
        while self._on_its_way() and not _select([self.far], [], [], _PATIENCE_S)[0]:
            pass
        return self._come()

    def _come(self) -> bytes:
        """What has come by now."""
        data = b""
        with suppress(OSError):
            while len(some := self.far.recv(_MOST)) == _MOST:
                data += some
            data += some
        return data

    def _exchange(self, data: bytes) -> None:
        try:
            self._outbox += self.wire.sent(data)
        except Uncontrolled:
            raise
        except OSError:  # The connection breaks.
            self.far.close()
            self.wire.close()
        else:
            self._flush()

    def _on_its_way(self) -> bool:
        """Whether something that libpq has sent has not come yet."""
        (size,) = struct.unpack("i", fcntl.ioctl(self._near, termios.TIOCOUTQ, b"\0" * 4))
        return bool(size)

    def _flush(self) -> None:
        """Gives libpq as much as fits, and lets it arrive."""
        with suppress(OSError):
            while self._outbox:
                self._outbox = self._outbox[self.far.send(self._outbox) :]
                _select([self._near], [], [], _PATIENCE_S)


class Port:
    """Where libpq connects to.

    Args:
        network: Who is where.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._listener = _RealSocket(socket.AF_INET)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.address: tuple[str, int] = self._listener.getsockname()
        self._ends: dict[int, _End] = {}

    def end(self, descriptor: int) -> _End:
        """The other end of one of libpq's sockets."""
        here = _name_of(descriptor)
        found = self._ends.get(descriptor)
        if found is None or found.peer != here:
            far = self._accepted(here)
            found = self._ends[descriptor] = _End(far, descriptor, here, self._network.wire(self.address))
        return found

    def _accepted(self, peer: Any) -> socket.socket:
        while True:
            far, come = self._listener.accept()
            if come == peer:
                return far
            far.close()  # Nobody of ours.

    def close_those_left(self) -> None:
        """Ends connections whose client has gone without a word."""
        ends = {end.far.fileno(): end for end in self._ends.values() if end.far.fileno() >= 0}
        poll = _real_poll()
        for number in ends:
            poll.register(number, select.POLLIN)
        for number, _ in poll.poll(0):
            ends[number].close_if_left()

    def forget(self) -> None:
        """Ends all connections."""
        for end in self._ends.values():
            end.far.close()
        self._ends = {}

    def close(self) -> None:
        """Nobody can connect any more."""
        self.forget()
        self._listener.close()


def _name_of(descriptor: int) -> Any:
    """The address of one of libpq's own sockets. It stays open, and Python asks nothing about one of which all is said."""
    near = _RealSocket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, descriptor)
    try:
        return near.getsockname()
    finally:
        near.detach()


@contextmanager
def controlled_libpq(network: Network, port: Port) -> Generator[None]:
    """Lets psycopg wait under control while a schedule runs."""
    try:
        waiting: Any = import_module("psycopg.waiting")
        errors: Any = import_module("psycopg.errors")
    except ModuleNotFoundError:
        yield
        return
    stand_ins = _stand_ins(network.run, port, waiting, getattr(errors, "_WaitTimeout", TimeoutError))
    real = {name: getattr(waiting, name) for name in stand_ins}
    generators: Any = import_module("psycopg.generators")
    real_connect = generators.connect

    def connect(conninfo: str) -> Any:
        run = network.run()
        if run is not None:
            check_it_is_ours(run, port, _parameters(conninfo))
        return real_connect(conninfo)

    for name, instead in stand_ins.items():
        setattr(waiting, name, instead)
    generators.connect = connect
    try:
        yield
    finally:
        generators.connect = real_connect
        for name, function in real.items():
            setattr(waiting, name, function)


def check_it_is_ours(run: Run, port: Port, asked: Mapping[str, Any]) -> None:
    """A connection elsewhere is none of the contract's.

    Raises:
        Uncontrolled: If the parameters of a connection lead elsewhere.
    """
    host, number = asked.get("hostaddr") or asked.get("host") or "the local server", asked.get("port") or "5432"
    if (host, str(number)) != (port.address[0], str(port.address[1])):
        raise run.uncontrolled(f"a Postgres connection to {host} port {number}, which the contract does not know")


@lru_cache(maxsize=64)
def _parameters(conninfo: str) -> Mapping[str, Any]:
    """What it names. libpq goes through all that it knows of for that, in a tenth of a millisecond."""
    asked: Mapping[str, Any] = import_module("psycopg.conninfo").conninfo_to_dict(conninfo)
    return asked


def _stand_ins(current: Callable[[], Run | None], port: Port, waiting: Any, timed_out: type[Exception]) -> dict[str, Any]:
    """The four ways in which psycopg waits: for a connection or for a statement, blocking or in an event loop."""

    def stand_in(name: str, driven: Callable[..., Any]) -> Callable[..., Any]:
        real = getattr(waiting, name)

        def wait(gen: Any, *descriptor: int, **options: Any) -> Any:
            run = current()
            if run is None:
                return real(gen, *descriptor, **options)

            def turn(asked: Any) -> int:
                where, wanted = (descriptor[0], asked) if descriptor else asked
                ready = port.end(where).wait(run, wanted, options.get("timeout"))
                if not ready:
                    raise timed_out
                return ready

            return driven(run, gen, turn)

        return wait

    ways = {"wait": _driven, "wait_conn": _driven, "wait_async": _driven_beside, "wait_conn_async": _driven_beside}
    return {name: stand_in(name, driven) for name, driven in ways.items()}


def _driven(_: Run, gen: Any, turn: Callable[[Any], int]) -> Any:
    """A generator's result, whose every wait is a turn."""
    try:
        wanted = next(gen)
        while True:
            wanted = gen.send(turn(wanted))
    except StopIteration as end:
        return end.value


async def _driven_beside(run: Run, gen: Any, turn: Callable[[Any], int]) -> Any:
    """The same while the event loop goes on with something else."""
    loop = asyncio.get_running_loop()
    try:
        wanted = next(gen)
        while True:
            wanted = gen.send(await on_a_lane(run, loop, lambda wanted=wanted: turn(wanted)))  # type: ignore[misc]
    except StopIteration as end:
        return end.value
