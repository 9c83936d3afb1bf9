"""A socket whose other end is in this process: what is sent becomes effects, what is received are their replies.

A client that blocks does so as a worker of the schedule. An event loop does not block: what it sends is carried out on a lane
of its worker, and its selector learns when a reply is there.
"""

from __future__ import annotations

import asyncio
import errno
import io
import os
import socket
from typing import TYPE_CHECKING, Any, Self
from weakref import ref

from interlock.prove.effect import Effect, Uncontrolled
from interlock.prove.wire.tls import Certified
from interlock.prove.worker import Crashed

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.scheduler import Run
    from interlock.prove.wire.network import Network, Wire
    from interlock.prove.worker import Worker

_PEEK = int(socket.MSG_PEEK)  # With the flag itself, Python makes a new flag of each answer.
_by_descriptor: dict[int, ref[ControlledSocket]] = {}  # Each takes itself out, when it is closed or cleared away.


def controlled(descriptor: int) -> ControlledSocket | None:
    """The socket of a descriptor, if it is one of ours."""
    found = _by_descriptor.get(descriptor)
    return None if found is None else found()


class ControlledSocket(Certified):
    """Stands in for `socket.socket`.

    Attributes:
        peer: Where it is connected to, if it is.
        tell: Is called when something has come, for whoever does not ask.
    """

    def __init__(self, network: Network, family: int, kind: int, proto: int) -> None:
        super().__init__()
        self.family = socket.AF_INET if family == -1 else family
        self.type = socket.SOCK_STREAM if kind == -1 else kind
        self.proto = max(proto, 0)
        self._network = network
        self._made_in = network.run()
        self._wire: Wire | None = None
        self.peer: Any = None
        self._inbox = b""
        self._outbox = b""
        self._lane: Worker | None = None
        self._broken: OSError | None = None
        self._timeout: float | None = socket.getdefaulttimeout()
        self._event = -1
        self._files = 0
        self._is_closed = self._is_gone = self._has_ended = False
        self.tell: Callable[[], None] | None = None

    def connect(self, address: Any) -> None:
        """Connects."""
        self._mute()
        self._wire = self._network.wire(address)
        self.peer = address

    def connect_ex(self, address: Any) -> int:
        """Connects; answers with an error number."""
        try:
            self.connect(address)
        except Uncontrolled:
            raise
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def sendall(self, data: Any, flags: int = 0) -> None:  # noqa: ARG002 - as a socket has it.
        """Sends. Whatever breaks the connection is told by the next receive, as networks do."""
        run = self._mute()
        if self._is_closed or self._wire is None:
            raise OSError(errno.EBADF, "Bad file descriptor")
        if self._broken is not None or run is not self._made_in:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        self._outbox += bytes(data)
        if self._timeout != 0 or asyncio._get_running_loop() is None:  # noqa: SLF001 - who is asking.
            self._exchange()
        elif self._lane is None or self._lane.is_over:
            self._exchange_beside(run)

    def send(self, data: Any, flags: int = 0) -> int:
        """Sends all of it."""
        self.sendall(data, flags)
        return len(data)

    def sendmsg(self, buffers: Any, *_: Any) -> int:
        """Sends all of them."""
        return self.send(b"".join(bytes(buffer) for buffer in buffers))

    def recv(self, size: int, flags: int = 0) -> bytes:
        """What has come."""
        if self._mute() is not self._made_in:
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        if not self._inbox and not self.has_come():
            self._await()
        if self._inbox:
            data = self._inbox[:size]
            if not flags & _PEEK:
                self._inbox = self._inbox[size:]
            return data
        if self._broken is not None:
            raise self._broken
        if self._has_ended:
            return b""
        raise OSError(errno.EBADF, "Bad file descriptor")

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        """What has come, into a buffer."""
        view = memoryview(buffer)
        data = self.recv(size or len(view), flags)
        view[: len(data)] = data
        return len(data)

    def has_come(self) -> bool:
        """Whether a receive would answer at once."""
        if self._is_left_over:
            return True
        if not self._inbox and not self._has_ended and self._wire is not None:
            try:
                self._hear(self._wire)
            except OSError as error:
                self._broken = error
        return bool(self._inbox) or self._has_ended or self._broken is not None or self._is_closed

    def _hear(self, wire: Wire) -> None:
        """Takes what the other end says by itself; if that is nothing, it has hung up."""
        if wire.has_news():
            told = wire.news()
            self._inbox += told
            self._has_ended = not told

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
        """A real descriptor on which nothing ever comes, for those who ask whether there is anything to read."""
        if self._event < 0 and not self._is_gone:
            self._event = os.eventfd(0, os.EFD_NONBLOCK)
            _by_descriptor[self._event] = ref(self)
        return self._event

    def settimeout(self, value: float | None) -> None:
        """How long a receive waits, in virtual time."""
        self._timeout = value

    def gettimeout(self) -> float | None:
        """What was set."""
        return self._timeout

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - as a socket has it.
        """As `settimeout`."""
        self._timeout = None if flag else 0.0

    def getblocking(self) -> bool:
        """Whether a receive waits."""
        return self._timeout != 0

    def getpeername(self) -> Any:
        """Where it is connected to."""
        if self.peer is None:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
        return self.peer

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

    def bind(self, address: Any) -> None:
        """Whoever calls a module from outside would have to be under control as well."""
        raise self._run().uncontrolled(f"the module listens on {address!r}, or sends from there")

    def sendto(self, _: Any, *address: Any) -> int:
        """Datagrams may be lost, doubled or overtake each other, and here nothing would happen to them."""
        raise self._run().uncontrolled(f"a datagram to {address[-1]!r}")

    @property
    def expects(self) -> str:
        """What a client that receives now waits for, for people; empty if nothing will ever come."""
        return self._wire.expects if self._wire is not None else ""

    @property
    def _is_left_over(self) -> bool:
        """Whether it is of a schedule that is over: a module keeps clients for all of its instances, as processes do not."""
        return self._network.run() is not self._made_in

    def _mute(self) -> Run:
        """The schedule. Whoever is no worker any more does nothing: an instance that is cleared away, and says goodbye."""
        run = self._network.run()
        if run is None or (run.here() is None and (run is not self._made_in or run.is_here)):
            raise Crashed
        return run

    def _exchange(self) -> None:
        """Lets the other end answer what was sent."""
        assert self._wire is not None  # noqa: S101 - it is connected.
        while self._outbox:
            data, self._outbox = self._outbox, b""
            self._wire.patience_s = self._timeout or None
            try:
                self._inbox += self._wire.sent(data)
            except Uncontrolled:
                raise
            except OSError as error:
                self._broken, self._outbox = error, b""
            if self.tell is not None:
                self.tell()

    def _exchange_beside(self, run: Run) -> None:
        """The same while the event loop goes on with something else."""
        if self._lane is None:
            self._lane = run.lane(run.main(run.current()))
        run.start(self._lane, self._work)

    def _work(self) -> None:
        self._exchange()
        if self._is_gone and self._wire is not None:  # It was closed meanwhile.
            self._wire.close()

    def _await(self) -> None:
        """Waits for as long as was set, in virtual time."""
        if self._timeout == 0:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        if self._timeout is None and not self.expects:
            raise self._run().uncontrolled("a client waits for data that it has not asked for")
        self._run().wait(self._timeout, Effect("wait", f"wait for {self.expects or 'data'}"), until=self.has_come)
        if not self.has_come():
            raise TimeoutError("timed out")

    def _lost(self, reason: str) -> Exception:
        return self._run().uncontrolled(reason)

    def _run(self) -> Run:
        run = self._network.run()
        if run is None:
            raise OSError(errno.ENETDOWN, "Network is down")  # The schedule is over.
        return run

    def _decref_socketios(self) -> None:
        self._files -= 1
        if self._is_closed and not self._files:
            self._let_go()

    def _let_go(self) -> None:
        if self._is_gone:
            return
        self._is_gone = True
        if self._event >= 0:
            _by_descriptor.pop(self._event, None)
            os.close(self._event)
            self._event = -1
        if self._wire is not None and (self._lane is None or self._lane.is_over):
            self._wire.close()
        elif self._wire is not None:
            self._wire.leave()  # It is still at work.

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self._files = 0
        self._let_go()
