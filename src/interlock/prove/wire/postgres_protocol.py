"""The protocol of Postgres, as far as it must be read: messages of both sides, and a connection for questions of our own.

Source: PostgreSQL's documentation, "Frontend/Backend Protocol", version 3.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from interlock.core.errors import WorldError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROTOCOL_3, CANCEL_REQUEST, SSL_REQUEST, GSS_REQUEST = 196608, 80877102, 80877103, 80877104
_RealSocket = socket.socket  # While a schedule runs, the name stands for controlled ones.

# Types by their numbers in pg_type, as they come in text.
_READERS: dict[int, Callable[[str], object]] = {
    16: lambda text: text == "t",
    **dict.fromkeys((20, 21, 23, 26), int),
    **dict.fromkeys((700, 701), float),
    1700: Decimal,
}


class PostgresError(RuntimeError):
    """What the server says of a question of our own."""


@dataclass(frozen=True, slots=True)
class Message:
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
    (size,) = struct.unpack_from("!i", buffer, start + letter)
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


class Connection:
    """One real connection to the server.

    Attributes:
        greeting: What the server said when it was opened.
        pid: The process that serves it.
    """

    def __init__(self, path: Path, opening: bytes) -> None:
        self.socket = _RealSocket(socket.AF_UNIX)
        self._buffer = b""
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

    def receive(self) -> Message:
        """The next message.

        Raises:
            TimeoutError: If none comes within the socket's timeout.
            WorldError: If the server has ended the connection.
        """
        while True:
            found = read_message(self._buffer, 0)
            if found is not None:
                self._buffer = self._buffer[len(found.raw) :]
                return found
            data = self.socket.recv(65536)
            if not data:
                raise WorldError("the Postgres of this proof has ended a connection")
            self._buffer += data

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


def values_of(body: bytes, start: int) -> tuple[list[bytes | None], int]:
    """The values of a row, or of the parameters of a statement, and where they end."""
    (count,), place, values = struct.unpack_from("!h", body, start), start + 2, list[bytes | None]()
    for _ in range(count):
        (size,) = struct.unpack_from("!i", body, place)
        place += 4
        values.append(None if size < 0 else body[place : place + size])
        place += max(0, size)
    return values, place
