"""Sees connections that pass by the controlled sockets: those of clients that are C throughout.

What a C library connects, no function of Python knows of. Some of these libraries are known by name; of the others it is seen
that a schedule has left a connection open that nobody here has made.
"""

from __future__ import annotations

import os
import socket
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISSOCK
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from interlock.prove.scheduler import Run

# Module, function, and what people call it.
KNOWN_CLIENTS = (
    ("psycopg2", "_connect", "psycopg2"),
    ("MySQLdb", "connect", "mysqlclient"),
    ("MySQLdb", "Connect", "mysqlclient"),
    ("pymssql", "connect", "pymssql"),
    ("pyodbc", "connect", "pyodbc"),
    ("oracledb", "connect", "oracledb"),
    ("confluent_kafka", "Producer", "confluent-kafka"),
    ("confluent_kafka", "Consumer", "confluent-kafka"),
    ("grpc", "insecure_channel", "grpc"),
    ("grpc", "secure_channel", "grpc"),
    ("uvloop", "new_event_loop", "uvloop"),
    ("pycurl", "Curl", "pycurl"),
)
_OPEN = "/proc/self/fd" if Path("/proc/self/fd").is_dir() else ""
_STANDARD_ERROR = 2
_RealSocket = socket.socket  # While a schedule runs, the name stands for controlled ones.


@contextmanager
def known_clients_seen(current: Callable[[], Run | None]) -> Generator[None]:
    """Ends a schedule in which one of the known C clients is used, for as long as the block lasts."""
    changed: list[tuple[Any, str, Any]] = []
    for module_name, function, client in KNOWN_CLIENTS:
        module = sys.modules.get(module_name)
        real = getattr(module, function, None)
        if real is not None:
            changed.append((module, function, real))
            setattr(module, function, _refusing(current, real, client))
    try:
        yield
    finally:
        for module, function, real in changed:
            setattr(module, function, real)


def _refusing(current: Callable[[], Run | None], real: Any, client: str) -> Callable[..., Any]:
    def instead(*args: Any, **options: Any) -> Any:
        run = current()
        if run is not None and run.here() is not None:
            raise run.uncontrolled(f"{client} makes connections of its own in C, which pass by this guard")
        return real(*args, **options)

    return instead


def cut_off() -> None:
    """Takes from this process, a copy of another one, the connections that the other one has open.

    A module that has connected when it was imported would go on using its connection, past this guard and on a server that is
    in use. Here it finds the connection broken; in the other process it is what it was.
    """
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        for number in [int(name) for name, inode in _sockets().items() if inode]:
            if number > _STANDARD_ERROR and number != ours.fileno() and _leads_somewhere(number):
                os.dup2(ours.fileno(), number, inheritable=False)


def _leads_somewhere(number: int) -> bool:
    """Whether a descriptor is a connection to something with an address, as the ends of a pair have none."""
    try:
        with _RealSocket(fileno=os.dup(number)) as one:
            return one.type == socket.SOCK_STREAM and bool(one.getpeername())
    except OSError:
        return False


def connections() -> list[tuple[str, int]]:
    """Where all connections of this process lead, over the network or to this machine itself."""
    found: list[tuple[str, int]] = []
    for number in [number for number, inode in _sockets().items() if inode]:
        with suppress(OSError), _RealSocket(fileno=os.dup(int(number))) as one:
            if one.type == socket.SOCK_STREAM and one.family in {socket.AF_INET, socket.AF_INET6}:
                found.append(one.getpeername()[:2])
    return found


class Passers:
    """The connections of this process, from schedule to schedule."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def begin(self) -> None:
        """A schedule begins: what is open now is nobody's business."""
        if _numbers() != [*self._known]:
            self._known = _sockets()

    def new(self, ours: tuple[str, int] | None) -> str:
        """Where a connection leads that has been made since, and not by us; empty if there is none.

        Args:
            ours: The port at which the proof's own Postgres is found.
        """
        before, self._known = {0, *self._known.values()}, _sockets()
        for number, inode in self._known.items():
            if inode in before:
                continue
            with suppress(OSError), _RealSocket(fileno=os.dup(int(number))) as one:
                if one.family in {socket.AF_INET, socket.AF_INET6}:
                    ends = [one.getsockname()[:2], one.getpeername()[:2]]
                    if ours not in ends:
                        return f"{ends[1][0]} port {ends[1][1]}"
        return ""


def _numbers() -> list[str]:
    """The descriptors of this process."""
    return os.listdir(_OPEN) if _OPEN else []  # noqa: PTH208 - this is done twice a schedule.


def _sockets() -> dict[str, int]:
    """The inode of what each descriptor stands for, if that is a socket; 0 if it is something else."""
    found: dict[str, int] = {}
    for number in _numbers():
        try:
            status = os.fstat(int(number))
        except OSError:  # The one that has listed them is closed by now.
            found[number] = 0
        else:
            found[number] = status.st_ino if S_ISSOCK(status.st_mode) else 0
    return found
