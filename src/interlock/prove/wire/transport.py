"""A stream of an event loop over a controlled socket: what comes is handed over at once, with no selector in between.

The other end is in this process, so that nothing has to be asked whether something has come: whoever has put it there tells the
loop. Its protocol is told of all else as asyncio's own transport does it, in the same order.
"""

from __future__ import annotations

import asyncio
from asyncio import trsock
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interlock.prove.wire.controlled_socket import ControlledSocket

_MOST = 256 * 1024  # As asyncio's own reads at once.
_LOW, _HIGH = 16 * 1024, 64 * 1024  # Of its buffer, unless told otherwise; here nothing is ever kept in one.


class ControlledTransport(asyncio.Transport):
    """Stands in for the transport of a TCP connection.

    Args:
        loop: Whose.
        sock: A socket that is connected.
        protocol: Is told what comes.
        waiter: Is told when the protocol has been told of the connection.
        extra: What else is known of it.
    """

    _start_tls_compatible = True

    def __init__(
        self,
        loop: Any,
        sock: ControlledSocket,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None,
        extra: dict[str, Any] | None,
    ) -> None:
        super().__init__(
            {
                "peername": sock.peer,
                **(extra or {}),
                "socket": trsock.TransportSocket(cast("Any", sock)),
                "sockname": sock.getsockname(),
            }
        )
        self._loop = loop
        self._sock = sock
        self._protocol: Any = protocol
        self._delivery: asyncio.Handle | None = asyncio.Handle(self._deliver, (), loop)
        self._has_begun = self._is_paused = self._is_due = self._is_closing = self._has_ended = False
        loop.call_soon(protocol.connection_made, self)
        loop.call_soon(self._begin, waiter)

    def notice(self) -> None:
        """Something may have come."""
        if not self._is_due and self.is_reading() and self._has_begun and self._sock.has_come():
            self._is_due = True
            self._loop._ready.append(self._delivery)  # noqa: SLF001 - as a loop does with what its selector tells.

    def is_reading(self) -> bool:
        """Whether it hands over what comes."""
        return not (self._is_closing or self._is_paused)

    def pause_reading(self) -> None:
        """From now on what comes is kept."""
        self._is_paused = True

    def resume_reading(self) -> None:
        """From now on what comes is handed over, and what has come."""
        if not self._is_closing and self._is_paused:
            self._is_paused = False
            self.notice()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """From now on another one is told, as after `start_tls`."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who is told."""
        return cast("asyncio.BaseProtocol", self._protocol)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Sends all of it."""
        if not isinstance(data, bytes | bytearray | memoryview):  # pyright: ignore[reportUnnecessaryIsInstance] - as asyncio does.
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if not data or self._has_ended:
            return
        try:
            self._sock.sendall(data)
        except OSError as error:
            self._end(error)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Sends all of them."""
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """As TCP can."""
        return True

    def write_eof(self) -> None:
        """There is no other end to tell."""

    def get_write_buffer_size(self) -> int:
        """Nothing is kept."""
        return 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """What they are by default."""
        return _LOW, _HIGH

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Of a buffer that is always empty."""

    def is_closing(self) -> bool:
        """Whether it is closed, or will be soon."""
        return self._is_closing

    def close(self) -> None:
        """Closes it; nothing has to be sent before."""
        if not self._is_closing:
            self._end(None)

    def abort(self) -> None:
        """Closes it."""
        self._end(None)

    def _begin(self, waiter: asyncio.Future[None] | None) -> None:
        """The protocol knows of the connection."""
        self._has_begun = True
        self._sock.tell = self._heed
        self._heed()
        if waiter is not None and not waiter.cancelled():
            waiter.set_result(None)

    def _heed(self) -> None:
        """Something has been said to the other end, which may have answered, or will say more by itself."""
        if self._sock.expects and self not in self._loop.listening:
            self._loop.listening.append(self)
        self.notice()

    def _deliver(self) -> None:
        self._is_due = False
        if self._has_ended or self._is_paused:
            return
        try:
            data = self._sock.recv(_MOST)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(error)
            return
        try:
            self._hand_over(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the end of the connection.
            told = {"message": "Fatal error: protocol.data_received() call failed.", "exception": error}
            self._loop.call_exception_handler({**told, "transport": self, "protocol": self._protocol})
            self._end(error)
        self.notice()  # There may be more.

    def _hand_over(self, data: bytes) -> None:
        if not data:
            self._hang_up()
            return
        if not isinstance(self._protocol, asyncio.BufferedProtocol):
            self._protocol.data_received(data)
            return
        left = memoryview(data)
        while left:
            buffer = memoryview(self._protocol.get_buffer(len(left)))
            size = min(len(buffer), len(left))
            buffer[:size] = left[:size]
            self._protocol.buffer_updated(size)
            left = left[size:]

    def _hang_up(self) -> None:
        """The other end has; a protocol may want to go on writing."""
        self._is_paused = True
        if not self._protocol.eof_received():
            self.close()

    def _end(self, error: Exception | None) -> None:
        if not self._has_ended:
            self._is_closing = self._has_ended = True
            self._loop.call_soon(self._lose, error)

    def _lose(self, error: Exception | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._sock.tell = None
            self._sock.close()
            if self in self._loop.listening:
                self._loop.listening.remove(self)
            self._delivery = self._protocol = None
