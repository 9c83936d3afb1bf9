"""Where the sockets of a loaded process lead, what a call sends on them, and what goes wrong.

The names that the contract gives lead to the servers of the load. Any other address is refused: a module under load must not
reach what is in use. All of this is put into a process that was forked for the load, and ends with it.
"""

from __future__ import annotations

import errno
import random
import socket
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from interlock.prove.load.servers import LOCALHOST
from interlock.prove.load.timeline import own_time
from interlock.prove.passers_by import KNOWN_CLIENTS, connections

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from interlock.prove.load.timeline import Timeline

_STRIKES_ONE_IN = 100
_RealSocket = cast("Any", socket.socket.__base__)  # The one that is written in C.
_real_getaddrinfo = socket.getaddrinfo
_RESET = "Connection reset by peer"


@dataclass(slots=True)
class Wiring:
    """The network of one process.

    Attributes:
        ports: By host: where it leads.
        redis_port: Which of them is the Redis.
        timeline: Tells whether something may go wrong now.
        faults: What may: `reset` and `lost reply`.
        seed: Of when it does.
        strangers: What the module wanted to connect to besides.
        struck: Which faults did strike, and how often.
        has_asked: Whether anything was sent to a server while calls were made.
    """

    ports: Mapping[str, int]
    redis_port: int
    timeline: Timeline
    faults: tuple[str, ...] = ()
    seed: int = 0
    strangers: set[str] = field(default_factory=set[str])
    struck: Counter[str] = field(default_factory=Counter[str])
    has_asked: bool = False
    _redis_files: set[int] = field(default_factory=set[int])
    _losing: set[int] = field(default_factory=set[int])  # Whose next reply is lost.
    _chance: random.Random = field(default_factory=random.Random)

    def install(self) -> None:
        """Puts it into this process."""
        self._chance.seed(self.seed)
        for module, function, client in (*KNOWN_CLIENTS, ("psycopg.generators", "connect", "psycopg")):
            if hasattr(sys.modules.get(module), function):
                setattr(sys.modules[module], function, self._refusing(client))
        socket.getaddrinfo = self._getaddrinfo
        kind = cast("Any", socket.socket)
        for name in ("connect", "connect_ex"):
            setattr(kind, name, self._connecting(getattr(_RealSocket, name)))
        for name in ("send", "sendall"):
            setattr(kind, name, self._sending(getattr(_RealSocket, name)))
        kind.sendmsg = self._sending_parts(_RealSocket.sendmsg)
        kind.sendto = self._sending_to(_RealSocket.sendto)
        for name in ("recv", "recv_into"):
            setattr(kind, name, self._receiving(getattr(_RealSocket, name)))

    def _getaddrinfo(self, host: Any, port: Any, *args: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name in self.ports:
            return _real_getaddrinfo(LOCALHOST, self.ports[name], *args, **options)
        if name not in {LOCALHOST, "localhost", None}:
            self.strangers.add(f"{name}:{port}")
            raise socket.gaierror(socket.EAI_NONAME, f"{name}: the contract does not name it, so a load does not reach it")
        return _real_getaddrinfo(host, port, *args, **options)

    def _refusing(self, client: str) -> Callable[..., Any]:
        def refused(*_: Any, **__: Any) -> Any:
            self.strangers.add(f"{client}'s server")
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"{client} connects in C, which a load does not lead anywhere")

        return refused

    def _connecting(self, connect: Callable[[socket.socket, Any], Any]) -> Callable[[socket.socket, Any], Any]:
        return lambda one, address: self._connected(one, address, connect)

    def _connected(self, one: socket.socket, address: Any, connect: Callable[[socket.socket, Any], Any]) -> Any:
        if one.family is socket.AF_UNIX or address[:2] not in {(LOCALHOST, port) for port in self.ports.values()}:
            self.strangers.add(str(address))
            raise ConnectionRefusedError(errno.ECONNREFUSED, "the contract does not name it, so a load does not reach it")
        marked = self._redis_files.add if address[1] == self.redis_port else self._redis_files.discard
        marked(one.fileno())
        self._losing.discard(one.fileno())
        return connect(one, address)

    def passers_by(self) -> set[str]:
        """Where connections lead that no function of Python has made: those of clients in C that are still open."""
        own = {(LOCALHOST, port) for port in self.ports.values()}
        return {f"{host} port {port}" for host, port in connections() if (host, port) not in own}

    def _sending_parts(self, send: Callable[..., Any]) -> Callable[..., Any]:
        """For `sendmsg`, by which asyncio sends what it has several parts of."""

        def sent_whole(one: socket.socket, data: bytes, *args: Any) -> Any:
            return send(one, [data], *args)

        whole = self._sending(sent_whole)

        def sent(one: socket.socket, parts: Iterable[bytes], *args: Any) -> Any:
            return whole(one, b"".join(parts), *args)

        return sent

    def _sending_to(self, send: Callable[..., Any]) -> Callable[..., Any]:
        def sent(one: socket.socket, data: Any, *args: Any) -> Any:
            if one.type is socket.SOCK_STREAM:
                return send(one, data, *args)
            self.strangers.add(str(args[-1]))
            raise ConnectionRefusedError(errno.ECONNREFUSED, "the contract does not name it, so a load does not reach it")

        return sent

    def _sending(self, send: Callable[..., Any]) -> Callable[..., Any]:
        def sent(one: socket.socket, data: Any, *args: Any) -> Any:
            self.has_asked = self.has_asked or self.timeline.are_calls_made
            if one.fileno() not in self._redis_files:
                return send(one, data, *args)
            own = own_time.get()
            if own is not None:
                if own.sent is not None:
                    own.sent.append(bytes(data))
                self._strike(one)
            return send(one, data, *args)

        return sent

    def _strike(self, one: socket.socket) -> None:
        if not self.faults or not self.timeline.are_calls_made or self._chance.randrange(_STRIKES_ONE_IN):
            return
        fault = self._chance.choice(self.faults)
        self.struck[fault] += 1
        if fault == "lost reply":
            self._losing.add(one.fileno())
        else:
            _RealSocket.shutdown(one, socket.SHUT_RDWR)
            raise ConnectionResetError(errno.ECONNRESET, _RESET)

    def _receiving(self, receive: Callable[..., Any]) -> Callable[..., Any]:
        def received(one: socket.socket, *args: Any) -> Any:
            found = receive(one, *args)
            if self._losing and one.fileno() in self._losing:
                self._losing.discard(one.fileno())
                _RealSocket.shutdown(one, socket.SHUT_RDWR)
                raise ConnectionResetError(errno.ECONNRESET, _RESET)
            return found

        return received
