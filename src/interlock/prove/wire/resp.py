"""The protocol of Redis, as far as it must be read: commands on their way there, and where a reply ends.

Source: the specification of RESP2 and RESP3.
"""

from __future__ import annotations

from typing import Any

_LINE_END = b"\r\n"
_AGGREGATES = {ord("*"): 1, ord("~"): 1, ord(">"): 1, ord("%"): 2, ord("|"): 2}
_BULKS = frozenset(b"$!=")


class Incomplete(Exception):  # noqa: N818 - a state of the buffer, not a mistake.
    """More bytes are needed."""


def read_command(buffer: bytes, start: int) -> tuple[list[bytes], int]:
    """The command that begins at `start`, and where it ends.

    Raises:
        Incomplete: If it has not come whole yet.
        ValueError: If it is no command as clients send them.
    """
    if buffer[start : start + 1] not in {b"*", b""}:
        raise ValueError(f"not a Redis command: {buffer[start : start + 20]!r}")
    count, place = _line(buffer, start)
    parts: list[bytes] = []
    for _ in range(int(count)):
        size, place = _line(buffer, place)
        end = place + int(size)
        if len(buffer) < end + 2:
            raise Incomplete
        parts.append(buffer[place:end])
        place = end + 2
    return parts, place


def reply_end(buffer: bytes, start: int) -> int:
    """Where the reply that begins at `start` ends.

    Raises:
        Incomplete: If it has not come whole yet.
    """
    end = buffer.find(_LINE_END, start)
    if end < 0:
        raise Incomplete
    kind, place = buffer[start], end + 2
    if kind in _BULKS:
        size = int(buffer[start + 1 : end])
        place += size + 2 if size >= 0 else 0
        if len(buffer) < place:
            raise Incomplete
    elif kind in _AGGREGATES:
        for _ in range(max(0, int(buffer[start + 1 : end])) * _AGGREGATES[kind]):
            place = reply_end(buffer, place)
        if kind == ord("|"):  # An attribute: the reply itself follows.
            place = reply_end(buffer, place)
    return place


def decoded(buffer: bytes, start: int = 0) -> tuple[Any, int]:
    """The value of a whole reply, for people and for questions of our own, and where it ends. Errors come as exceptions."""
    kind = buffer[start]
    head, place = _line(buffer, start)
    if kind in _BULKS:
        size = int(head)
        return (None, place) if size < 0 else (buffer[place : place + size], place + size + 2)
    if kind in _AGGREGATES:
        values: list[Any] = []
        for _ in range(max(0, int(head)) * _AGGREGATES[kind]):
            value, place = decoded(buffer, place)
            values.append(value)
        return (None if int(head) < 0 else values), place
    if kind == ord(":"):
        return int(head), place
    if kind == ord("-"):
        return RuntimeError(head.decode(errors="replace")), place
    return (None if kind == ord("_") else head), place


def text(part: str | bytes | int) -> bytes:
    """A word of a command."""
    return part if isinstance(part, bytes) else str(part).encode()


def encoded(*parts: str | bytes | int) -> bytes:
    """A command, as clients send it."""
    texts = [text(part) for part in parts]
    return b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%s\r\n" % (len(one), one) for one in texts)


def _line(buffer: bytes, start: int) -> tuple[bytes, int]:
    end = buffer.find(_LINE_END, start)
    if end < 0:
        raise Incomplete
    return buffer[start + 1 : end], end + 2
