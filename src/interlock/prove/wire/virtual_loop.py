"""An event loop of the standard library's in virtual time, without what a real one needs for a real network.

A module's own kind of loop keeps all that it does differently, and is only given a virtual selector.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVarTuple, Unpack

from interlock.prove.clock import steady_s
from interlock.prove.wire.controlled_socket import ControlledSocket
from interlock.prove.wire.transport import ControlledTransport

if TYPE_CHECKING:
    import socket
    from collections import deque
    from collections.abc import Callable

    from interlock.prove.scheduler import Run

Ts = TypeVarTuple("Ts")


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time, whose connections need no selector.

    Attributes:
        streams: Its open connections.
    """

    streams: list[ControlledTransport]
    _current: Callable[[], Run | None]
    _ready: deque[asyncio.Handle]
    _ssock: socket.socket | None
    _csock: socket.socket | None
    _ensure_resolved: Any

    @classmethod
    def take(cls, loop: Any, current: Callable[[], Run | None]) -> None:
        """Makes one of a loop of the standard library's that is being made."""
        loop.__class__, loop._current, loop.streams = cls, current, []  # noqa: SLF001 - it is one.

    def time(self) -> float:
        """Virtual time, as `time.monotonic` shows it."""
        run = self._current()
        return super().time() if run is None else steady_s(run)

    def add_signal_handler(self, sig: int, callback: Callable[[Unpack[Ts]], Any], *args: *Ts) -> None:
        """As always; only a signal needs the pipe by which a loop is woken."""
        if self._ssock is None:
            above: Any = super()
            above._make_self_pipe()  # noqa: SLF001 - as when it is made.
        super().add_signal_handler(sig, callback, *args)

    async def sock_connect(self, sock: Any, address: Any) -> None:
        """Connects, at once."""
        if not isinstance(sock, ControlledSocket):
            await super().sock_connect(sock, address)
            return
        found = await self._ensure_resolved(address, family=sock.family, type=sock.type, proto=sock.proto, loop=self)
        sock.connect(found[0][4])

    def is_busy(self) -> bool:
        """Whether it has something left to do by itself, which a lane may have given it."""
        if not self._ready:
            for stream in self.streams:
                stream.notice()  # It may have been told something.
        return bool(self._ready)

    def _make_socket_transport(
        self, sock: Any, protocol: Any, waiter: Any = None, *, extra: Any = None, server: Any = None
    ) -> Any:
        if isinstance(sock, ControlledSocket):
            return ControlledTransport(self, sock, protocol, waiter, extra)
        above: Any = super()
        return above._make_socket_transport(sock, protocol, waiter, extra=extra, server=server)  # noqa: SLF001 - as always.

    def _make_self_pipe(self) -> None:
        self._ssock = self._csock = None

    def _close_self_pipe(self) -> None:
        if self._ssock is not None:
            above: Any = super()
            above._close_self_pipe()  # noqa: SLF001 - as always.
