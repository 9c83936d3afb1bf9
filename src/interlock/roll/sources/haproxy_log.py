"""HAProxy's access log: each request with its user's hash, its side, and the share that was in force when it was sent there.

The log comes as datagrams to a socket of ours, or is read from the end of a file that a syslog daemon writes. HAProxy does not
wait for whoever reads: if the socket is full it drops lines, of both sides alike, and says so in `show info` (DroppedLogs).
"""

from __future__ import annotations

import os
import re
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from interlock.core.errors import WorldError
from interlock.roll.judge import Arm
from interlock.roll.sources import Event
from interlock.roll.sources.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LINE: Final = re.compile(rb"interlock 1 (\S+) (-?\d+) (\S)(\S) \+?(-?\d+) (-|\d+) (\d+)")
_BUFFER_BYTES: Final = 4 * 1024 * 1024
_AT_ONCE: Final = 200_000  # Lines read in one go, so that a flood cannot keep the rollout from its next look.
_SERVER_ERROR: Final = 500


class HaproxyLog:
    """The access log, by the names of the two backends."""

    name = "the HAProxy log"

    def __init__(self, lines: Tail | Datagrams, *, baseline: str = "baseline", canary: str = "canary") -> None:
        self._lines = lines
        self._sides = {baseline.encode(): Arm.BASELINE, canary.encode(): Arm.CANARY}

    def poll(self) -> Sequence[Event]:
        """One event for each request that has ended."""
        found = (_LINE.search(line) for line in self._lines.read())
        return [self._event(match, side) for match in found if match and (side := self._sides.get(match[1]))]

    def close(self) -> None:
        """Closes the socket or file."""
        self._lines.close()

    @staticmethod
    def _event(match: re.Match[bytes], side: Arm) -> Event:
        status, ended_by_client = int(match[2]), match[3] == b"C"
        return Event(
            name="requests",
            arm=side,
            limit=int(match[7]),
            user=None if match[6] == b"-" else int(match[6]),
            # A client that goes away before the answer is no failure of the version; how long it waited is still told.
            failed=status >= _SERVER_ERROR or (status < 0 and not ended_by_client),
            duration_ms=float(match[5]),
        )


class Datagrams:
    """A socket to which HAProxy sends its log: a path, or host:port for UDP."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._path = None if port.isdecimal() else Path(address)
        self._socket = socket.socket(socket.AF_INET if self._path is None else socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        try:
            if self._path is None:
                self._socket.bind((host, int(port)))
            else:
                self._path.unlink(missing_ok=True)
                self._socket.bind(str(self._path))
                self._path.chmod(0o666)  # HAProxy writes as a user of its own.
        except OSError as error:
            self._socket.close()
            message = f"cannot listen on {address} for the HAProxy log: {error.strerror}"
            raise WorldError(message) from error

    def read(self) -> Iterator[bytes]:
        """What has arrived."""
        with suppress(BlockingIOError):
            for _ in range(_AT_ONCE):
                yield self._socket.recv(65536)

    def close(self) -> None:
        """Closes the socket and takes its path away."""
        self._socket.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def listening(address: str, *, baseline: str = "baseline", canary: str = "canary") -> HaproxyLog:
    """The log at an address; a file that is there already is read from its end."""
    path = Path(address)
    lines = Tail(path) if path.is_file() else Datagrams(os.fspath(address))
    return HaproxyLog(lines, baseline=baseline, canary=canary)
