"""Stands in for `socket.socket` while a schedule runs: what the module's clients connect to is under control.

Between a client and the world there is always a socket. Standing there, nothing of the client has to be known, and what it
does by itself, such as sending a command again after a lost reply, is seen like everything else.
"""

from __future__ import annotations

import gc
import socket
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from interlock.prove.watchdog import is_supervised
from interlock.prove.wire.controlled_socket import ControlledSocket
from interlock.prove.wire.event_loop import controlled_loops
from interlock.prove.wire.readiness import virtual_readiness
from interlock.prove.wire.tls import without_tls
from interlock.prove.worker import Crashed

if TYPE_CHECKING:
    from collections.abc import Generator

    from interlock.prove.wire.network import Network


_RealSocket = socket.socket
# Names under this one are the guard's own: nobody else has such hosts.
RESERVED = ".interlock"


@contextmanager
def controlled_sockets(network: Network) -> Generator[None]:
    """Gives controlled sockets to whoever makes one while a schedule runs."""
    real_lookup = socket.getaddrinfo

    class Socket(_RealSocket):
        def __new__(cls, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> Any:  # noqa: A002 - as a socket has it.
            if network.run() is None or fileno is not None:
                return super().__new__(cls)
            return ControlledSocket(network, family, type, proto)

    def lookup(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        run = network.run()
        if run is None:
            if _text(host).endswith(RESERVED):
                raise Crashed  # An instance that is cleared away, and says goodbye to a server that is gone.
            return real_lookup(host, port, *args, **options)
        number = network.numbered(_text(host))
        if number is None:
            raise run.uncontrolled(f"a connection to {_text(host)!r}, which the contract does not know")
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (number, int(port or 0)))]

    socket.socket, socket.getaddrinfo = Socket, lookup  # type: ignore[misc]
    try:
        with (
            without_tls(network.run, lambda sock: isinstance(sock, ControlledSocket)),
            controlled_loops(network.run),
            virtual_readiness(network.run),
            _ended_in_silence(),
        ):
            yield
    finally:
        socket.socket, socket.getaddrinfo = _RealSocket, real_lookup  # type: ignore[misc]


@contextmanager
def _ended_in_silence() -> Generator[None]:
    """What a worker has left open is closed by the end of its process, of which nobody is warned; nor of who was muted."""
    real_hook = sys.unraisablehook

    def hook(raised: sys.UnraisableHookArgs) -> None:
        if not isinstance(raised.exc_value, Crashed):
            real_hook(raised)

    sys.unraisablehook = hook
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            yield
        finally:
            if not is_supervised():  # It ends in the next moment, and a large heap takes seconds.
                gc.collect()
            sys.unraisablehook = real_hook


def _text(host: Any) -> str:
    return host.decode() if isinstance(host, bytes) else str(host)
