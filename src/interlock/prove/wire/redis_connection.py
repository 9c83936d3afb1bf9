"""One real connection to a Redis of ours."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any

from interlock.prove.wire import resp

if TYPE_CHECKING:
    from pathlib import Path

_RealSocket = socket.socket  # While a schedule runs, the name stands for controlled ones.


class Connection:
    """One real connection to the server. WATCH and MULTI belong to it, as they would to the client's own."""

    def __init__(self, path: Path) -> None:
        self._socket = _RealSocket(socket.AF_UNIX)
        self._rest = b""  # What has come of lines that were not asked for yet.
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise

    def ask(self, raw: bytes, replies: int = 1) -> bytes:
        """The bytes of the replies to the commands in `raw`."""
        self._socket.sendall(raw)
        buffer, end = self._received() if replies else b"", 0
        while replies:
            try:
                end = resp.reply_end(buffer, end)
            except resp.Incomplete:
                buffer += self._received()
            else:
                replies -= 1
        return buffer

    def ask_up_to(self, raw: bytes, mark: bytes) -> bytes:
        """Everything that comes before the reply to a PING with a mark: replies, and messages by themselves."""
        self._socket.sendall(raw + resp.encoded("PING", mark))
        buffer, start = b"", 0
        while True:
            try:
                end = resp.reply_end(buffer, start)
            except resp.Incomplete:
                buffer += self._received()
                continue
            if resp.decoded(buffer, start)[0] in (mark, [b"pong", mark]):
                return buffer[:start]
            start = end

    def value(self, *command: str | bytes | int) -> Any:
        """The decoded reply to one command of our own."""
        return resp.decoded(self.ask(resp.encoded(*command)))[0]

    def lines_up_to(self, end: bytes) -> list[bytes]:
        """The next lines that the server sends by itself, up to one that ends so, of which the end is left out."""
        told, last = self._rest, end + b"\r\n"
        while last not in told:
            told += self._received()
        found, _, self._rest = told.partition(last)
        return found.split(b"\r\n")

    def close(self) -> None:
        """Ends it."""
        self._socket.close()

    def _received(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        return data
