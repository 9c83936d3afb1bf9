"""The protocol of Postgres, as far as it must be read: messages of both sides, and a connection for questions of our own.

Source: PostgreSQL's documentation, "Frontend/Backend Protocol", version 3.
"""

from __future__ import annotations

import socket
import struct
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from interlock.core.errors import WorldError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROTOCOL_3, CANCEL_REQUEST, SSL_REQUEST, GSS_REQUEST = 196608, 80877102, 80877103, 80877104
_RealSocket = socket.socket  # While a schedule runs, the name stands for controlled ones.
SILENT_S = 2  # So long may a statement take before we ask whether it waits for a lock, if it does not say so itself.
_IN_KERNEL = struct.pack("ll", SILENT_S, 0)  # A timeout of Python's own takes one more system call each time.
_SIZE = struct.Struct("!i")

# Types by their numbers in pg_type, as they come in text.
_READERS: dict[int, Callable[[str], object]] = {
    16: lambda text: text == "t",
    **dict.fromkeys((20, 21, 23, 26), int),
    **dict.fromkeys((700, 701), float),
    1700: Decimal,
}


class PostgresError(RuntimeError):
    """What the server says of a question of our own."""


class Message(NamedTuple):
    """One message.

    Attributes:
        kind: Its letter; empty for the first ones of a connection, which have none.
        body: What follows its length.
        raw: All of it.
    """

    kind: bytes
    body: bytes
    raw: bytes


def message(kind: bytes, body: bytes) -> bytes:
    """A message as it is sent."""
    return kind + struct.pack("!i", len(body) + 4) + body


def read_message(buffer: bytes, start: int, *, is_first: bool = False) -> Message | None:
    """The message that begins at `start`; nothing if it has not come whole yet."""
    letter = 0 if is_first else 1
    if len(buffer) < start + letter + 4:
        return None
    (size,) = _SIZE.unpack_from(buffer, start + letter)
    end = start + letter + size
    if len(buffer) < end:
        return None
    return Message(buffer[start : start + letter], buffer[start + letter + 4 : end], buffer[start:end])


def text_at(body: bytes, start: int) -> tuple[str, int]:
    """The text that begins at `start`, and where what follows it does."""
    end = body.index(b"\0", start)
    return body[start:end].decode(errors="replace"), end + 1


def fields_of(body: bytes) -> dict[str, str]:
    """The fields of an error or a notice, by their letters."""
    return {part[:1].decode(): part[1:].decode(errors="replace") for part in body.split(b"\0") if part}


def startup(**settings: str) -> bytes:
    """What opens a connection."""
    pairs = b"".join(f"{name}\0{value}\0".encode() for name, value in settings.items())
    return message(b"", struct.pack("!i", PROTOCOL_3) + pairs + b"\0")


def cancel(path: Path, request: bytes) -> None:
    """Hands a request to cancel a statement to the server; comes back when the process that carries it out has been told."""
    with _RealSocket(socket.AF_UNIX) as aside:
        aside.connect(str(path))
        aside.sendall(request)
        aside.recv(1)  # The server hangs up.


class Connection:
    """One real connection to the server.

    Attributes:
        greeting: What the server said when it was opened.
        pid: The process that serves it.
    """

    def __init__(self, path: Path, opening: bytes) -> None:
        self.socket = _RealSocket(socket.AF_UNIX)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _IN_KERNEL)
        self._buffer = b""
        self._place = 0  # What comes before it in the buffer was received.
        try:
            self.socket.connect(str(path))
            self.socket.sendall(opening)
            self.greeting = self._opened()
        except BaseException:
            self.socket.close()
            raise

    def _opened(self) -> bytes:
        told, self.pid = b"", 0
        while True:
            one = self.receive()
            told += one.raw
            if one.kind == b"K":
                (self.pid,) = struct.unpack_from("!i", one.body)
            if one.kind in {b"Z", b"E"}:
                return told

    @property
    def is_refused(self) -> bool:
        """Whether the server did not let us in; why, is in the greeting."""
        return not self.pid

    def receive(self, *, may_be_silent: bool = False) -> Message:
        """The next message.

        Args:
            may_be_silent: Whether the server may have to wait for somebody else, so that nothing comes.

        Raises:
            TimeoutError: If it may, and nothing has come for as long as a statement takes.
            WorldError: If the server has ended the connection.
        """
        while (found := read_message(self._buffer, self._place)) is None:
            try:
                data = self.socket.recv(65536)
            except BlockingIOError:
                if may_be_silent:
                    raise TimeoutError from None
                continue
            if not data:
                raise WorldError("the Postgres of this proof has ended a connection")
            self._buffer, self._place = self._buffer[self._place :] + data, 0
        self._place += len(found.raw)
        return found

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Carries statements of our own out; answers with the rows of all of them.

        Raises:
            PostgresError: If the server refuses.
        """
        self.socket.sendall(message(b"Q", statement.encode() + b"\0"))
        found: list[tuple[Any, ...]] = []
        kinds: list[int] = []
        error = ""
        while (one := self.receive()).kind != b"Z":
            if one.kind == b"T":
                kinds = _types(one.body)
            elif one.kind == b"D":
                found.append(_row(one.body, kinds))
            elif one.kind == b"E":
                error = fields_of(one.body).get("M", "?")
        if error:
            raise PostgresError(f"{error}, in: {statement[:200]}")
        return found

    def parse(self, statement: str, types: tuple[int, ...]) -> None:
        """Has a statement parsed, and no more.

        Raises:
            PostgresError: If the server refuses.
        """
        numbers = struct.pack(f"!h{len(types)}I", len(types), *types)
        self.socket.sendall(message(b"P", b"\0" + statement.encode() + b"\0" + numbers) + message(b"S", b""))
        error = ""
        while (one := self.receive()).kind != b"Z":
            if one.kind == b"E":
                error = fields_of(one.body).get("M", "?")
        if error:
            raise PostgresError(error)

    def close(self) -> None:
        """Ends it."""
        self.socket.close()


def _types(body: bytes) -> list[int]:
    (count,), place, kinds = struct.unpack_from("!h", body), 2, list[int]()
    for _ in range(count):
        _, place = text_at(body, place)
        kinds.append(struct.unpack_from("!i", body, place + 6)[0])
        place += 18
    return kinds


def _row(body: bytes, kinds: list[int]) -> tuple[Any, ...]:
    values = values_of(body, 0)[0]
    return tuple(
        None if value is None else _READERS.get(kind, str)(value.decode(errors="replace"))
        for value, kind in zip(values, kinds, strict=True)
    )


def values_of(body: bytes, start: int) -> tuple[tuple[bytes | None, ...], int]:
    """The values of a row, or of the parameters of a statement, and where they end."""
    (count,) = struct.unpack_from("!h", body, start)
    place = start + 2
    values: list[bytes | None] = []
    for _ in range(count):
        (size,) = _SIZE.unpack_from(body, place)
        place += 4
        values.append(None if size < 0 else body[place : place + size])
        place += max(0, size)
    return tuple(values), place
