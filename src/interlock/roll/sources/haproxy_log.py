"""HAProxy's access log: each request with its user's hash, its arm, and the share that was in force when it was sent there.

The log comes as datagrams to a socket of ours, or is read from the end of a file that a syslog daemon writes. HAProxy does not
wait for whoever reads: where the socket is full it drops lines. A socket of the file system holds 10 of them on most machines
(net.unix.max_dgram_qlen), whatever its buffer, so a thread empties it all the time, and UDP is the better choice. Each line has
a number of its own; what is lost is known, and if it is more than half, this source counts as silent.
"""

from __future__ import annotations

import os
import re
import socket
from collections import deque
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Final

from interlock.core.errors import WorldError
from interlock.roll.judge import Arm
from interlock.roll.sources import Event
from interlock.roll.sources.haproxy_counters import totals_of
from interlock.roll.sources.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from interlock.roll.routers.haproxy import Haproxy

_LINE: Final = re.compile(rb"interlock 1 (\d+) (\S+) (-?\d+) (\S)(\S) \+?(-?\d+) (-|\d+) (\d+)")
_BUFFER_BYTES: Final = 4 * 1024 * 1024
_HELD_MAX: Final = 1_000_000  # Lines between two looks; more are dropped, and known to be.
_SERVER_ERROR: Final = 500


class HaproxyLog:
    """The access log, by the names of the two backends."""

    name = "the HAProxy log"

    def __init__(
        self, lines: Tail | Datagrams, *, baseline: str = "baseline", canary: str = "canary", haproxy: Haproxy | None = None
    ) -> None:
        self._haproxy = haproxy
        self._names = {baseline: Arm.BASELINE, canary: Arm.CANARY}
        self._counted: dict[Arm, tuple[int, int]] | None = None
        self._lines = lines
        self._arms = {baseline.encode(): Arm.BASELINE, canary.encode(): Arm.CANARY}
        self._number: int | None = None
        self.lost = 0

    def poll(self) -> Sequence[Event]:
        """One event for each request that has ended. Raises WorldError if more than half of them were lost."""
        found = [match for line in self._lines.read() if (match := _LINE.search(line))]
        self._count(found)
        return [self._event(match, arm) for match in found if (arm := self._arms.get(match[2]))]

    def _count(self, found: Sequence[re.Match[bytes]]) -> None:
        """Notices what was lost, by the numbers of the lines."""
        if not found:
            return
        before, self._number = self._number, max(int(match[1]) for match in found)
        if before is None or self._number < before:  # HAProxy counts from 0 again when it is restarted.
            return
        lost = self._number - before - len(found)
        self.lost += max(0, lost)
        if lost > len(found):
            message = f"the HAProxy log lost {lost} of {lost + len(found)} lines; send it over UDP, or to a file"
            raise WorldError(message)

    def idle(self) -> bool:
        """Whether HAProxy itself has counted no request since the last look."""
        if self._haproxy is None:
            return False
        try:
            before, self._counted = self._counted, totals_of(self._haproxy, self._names)
        except WorldError:
            return False
        return before == self._counted

    def close(self) -> None:
        """Closes the socket or file."""
        self._lines.close()

    @staticmethod
    def _event(match: re.Match[bytes], arm: Arm) -> Event:
        status, ended_by_client = int(match[3]), match[4] == b"C"
        return Event(
            arm=arm,
            limit=int(match[8]),
            user=None if match[7] == b"-" else int(match[7]),
            # A client that goes away before the answer is no failure of the version; how long it waited is still told.
            failed=status >= _SERVER_ERROR or (status < 0 and not ended_by_client),
            duration_ms=float(match[6]),
        )


class Datagrams:
    """A socket to which HAProxy sends its log: a path, or host:port for UDP."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._path = None if port.isdecimal() else Path(address)
        self._socket = socket.socket(socket.AF_INET if self._path is None else socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        self._held: deque[bytes] = deque(maxlen=_HELD_MAX)
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

        Thread(target=self._receive, daemon=True, name="haproxy log").start()

    def _receive(self) -> None:
        """Empties the socket as it fills, until it is closed."""
        with suppress(OSError):
            while datagram := self._socket.recv(65536):
                self._held.append(datagram)

    def read(self) -> Iterator[bytes]:
        """What has arrived."""
        for _ in range(len(self._held)):
            yield self._held.popleft()

    def close(self) -> None:
        """Closes the socket and takes its path away."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def listening(
    address: str, *, baseline: str = "baseline", canary: str = "canary", haproxy: Haproxy | None = None
) -> HaproxyLog:
    """The log at an address; a file that is there already is read from its end."""
    path = Path(address)
    lines = Tail(path) if path.is_file() else Datagrams(os.fspath(address))
    return HaproxyLog(lines, baseline=baseline, canary=canary, haproxy=haproxy)
