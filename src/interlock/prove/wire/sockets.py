"""Stands in for `socket.socket` while a schedule runs: what the module's clients connect to is under control.

Between a client and the world there is always a socket. Standing there, nothing of the client has to be known, and what it
does by itself, such as sending a command again after a lost reply, is seen like everything else.
"""

from __future__ import annotations

import errno
import io
import os
import socket
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, Self

from interlock.prove.effect import Uncontrolled

if TYPE_CHECKING:
    from collections.abc import Generator

    from interlock.prove.scheduler import Run


_RealSocket = socket.socket


class Wire(Protocol):
    """One connection's protocol."""

    def sent(self, data: bytes) -> bytes:
        """Takes what the client sends; answers with what it will receive."""
        ...

    def close(self) -> None:
        """The client has closed its end."""
        ...


class Network(Protocol):
    """Who is where."""

    def run(self) -> Run | None:
        """The schedule that is running."""
        ...

    def wire(self, address: object) -> Wire:
        """A new connection to an address.

        Raises:
            Uncontrolled: If nobody there is under control.
        """
        ...

    def numbered(self, host: str) -> str | None:
        """The number that a controlled host goes by; none if it is not controlled."""
        ...


class ControlledSocket:
    """A socket whose other end is in this process."""

    def __init__(self, network: Network, family: int, kind: int, proto: int) -> None:
        self.family, self.type, self.proto = family, kind, proto
        self._network = network
        self._wire: Wire | None = None
        self._peer: Any = None
        self._inbox = b""
        self._broken: OSError | None = None
        self._timeout: float | None = None
        self._event = os.eventfd(0, os.EFD_NONBLOCK)  # Something real for those who ask whether there is anything to read.
        self._files = 0
        self._is_closed = False

    def connect(self, address: Any) -> None:
        """Connects."""
        self._wire = self._network.wire(address)
        self._peer = address

    def connect_ex(self, address: Any) -> int:
        """Connects; answers with an error number."""
        self.connect(address)
        return 0

    def sendall(self, data: Any, flags: int = 0) -> None:  # noqa: ARG002 - as a socket has it.
        """Sends. Whatever breaks the connection is told by the next receive, as networks do."""
        if self._is_closed or self._wire is None:
            raise OSError(errno.EBADF, "Bad file descriptor")
        if self._broken is not None:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        try:
            self._inbox += self._wire.sent(bytes(data))
        except Uncontrolled:
            raise
        except OSError as error:
            self._broken = error

    def send(self, data: Any, flags: int = 0) -> int:
        """Sends all of it."""
        self.sendall(data, flags)
        return len(data)

    def recv(self, size: int, flags: int = 0) -> bytes:
        """What has come."""
        if self._inbox:
            data = self._inbox[:size]
            if not flags & socket.MSG_PEEK:
                self._inbox = self._inbox[size:]
            return data
        if self._broken is not None:
            raise self._broken
        if self._is_closed:
            raise OSError(errno.EBADF, "Bad file descriptor")
        if self._timeout == 0:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        run = self._network.run()
        reason = "a client waits for data that it has not asked for"
        raise Uncontrolled(reason) if run is None else run.uncontrolled(reason)

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        """What has come, into a buffer."""
        view = memoryview(buffer)
        data = self.recv(size or len(view), flags)
        view[: len(data)] = data
        return len(data)

    def makefile(self, mode: str = "r", buffering: int | None = None, **_: Any) -> Any:
        """A file over it, as `http.client` reads answers from."""
        self._files += 1
        itself: Any = self  # A file calls nothing of a socket that is not here.
        raw = socket.SocketIO(itself, "r" if "r" in mode else "w")
        return io.BufferedReader(raw) if "r" in mode and buffering != 0 else raw

    def close(self) -> None:
        """Closes it, once nobody reads from it any more."""
        self._is_closed = True
        if not self._files:
            self._let_go()

    def detach(self) -> int:
        """Gives the descriptor away."""
        return self.fileno()

    def fileno(self) -> int:
        """A real descriptor on which nothing ever comes."""
        return self._event

    def settimeout(self, value: float | None) -> None:
        """Only whether it is 0 matters: nothing takes time here."""
        self._timeout = value

    def gettimeout(self) -> float | None:
        """What was set."""
        return self._timeout

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - as a socket has it.
        """As `settimeout`."""
        self._timeout = None if flag else 0.0

    def getpeername(self) -> Any:
        """Where it is connected to."""
        return self._peer

    def getsockname(self) -> Any:
        """Some address."""
        return ("127.0.0.1", 1)

    def setsockopt(self, *_: Any) -> None:
        """There is nothing to tune."""

    def getsockopt(self, *_: Any) -> int:
        """No option is set, and no error is pending."""
        return 0

    def shutdown(self, how: int) -> None:
        """There is no other end to tell."""

    def getpeercert(self, binary_form: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002, ARG002 - as a TLS socket has it.
        """No certificate: TLS is taken off for controlled hosts."""
        return {}

    def version(self) -> str:
        """As a TLS socket would say."""
        return "TLSv1.3"

    def selected_alpn_protocol(self) -> None:
        """HTTP/1.1."""

    def _decref_socketios(self) -> None:
        self._files -= 1
        if self._is_closed and not self._files:
            self._let_go()

    def _let_go(self) -> None:
        if self._event >= 0:
            os.close(self._event)
            self._event = -1
            if self._wire is not None:
                self._wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self._files = 0
        self._let_go()


@contextmanager
def controlled_sockets(network: Network) -> Generator[None]:
    """Gives controlled sockets to whoever makes one while a schedule runs."""
    real_lookup, real_wrap = socket.getaddrinfo, ssl.SSLContext.wrap_socket

    class Socket(_RealSocket):
        def __new__(cls, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> Any:  # noqa: A002 - as a socket has it.
            if network.run() is None or fileno is not None:
                return super().__new__(cls)
            return ControlledSocket(network, family, type, proto)

    def lookup(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        run = network.run()
        if run is None:
            return real_lookup(host, port, *args, **options)
        number = network.numbered(_text(host))
        if number is None:
            raise run.uncontrolled(f"a connection to {_text(host)!r}, which the contract does not know")
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (number, int(port or 0)))]

    def wrap(context: ssl.SSLContext, sock: Any, *args: Any, **options: Any) -> Any:
        return sock if isinstance(sock, ControlledSocket) else real_wrap(context, sock, *args, **options)

    socket.socket, socket.getaddrinfo = Socket, lookup  # type: ignore[misc]
    ssl.SSLContext.wrap_socket = wrap  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        socket.socket, socket.getaddrinfo = _RealSocket, real_lookup  # type: ignore[misc]
        ssl.SSLContext.wrap_socket = real_wrap  # type: ignore[method-assign]


def _text(host: Any) -> str:
    return host.decode() if isinstance(host, bytes) else str(host)
