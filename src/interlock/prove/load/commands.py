"""The keys that commands name, as far as they can be told from the commands themselves."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from interlock.prove.wire.resp import Incomplete, read_command

if TYPE_CHECKING:
    from collections.abc import Iterable

# Commands whose first argument is no key.
_KEYLESS = frozenset(
    b"AUTH CLIENT CONFIG DISCARD ECHO EXEC HELLO INFO MULTI PING PUBLISH SCRIPT SELECT SUBSCRIBE TIME UNWATCH FUNCTION"
    b" COMMAND WAIT DBSIZE".split()
)
_LINE_END = b"\r\n"
_SCRIPTS = frozenset(b"EVAL EVALSHA EVAL_RO EVALSHA_RO FCALL FCALL_RO".split())


def keys_of(sent: Iterable[bytes]) -> tuple[str, ...]:
    """The keys in what was sent: of scripts all that they declare, of other commands the first.

    Args:
        sent: Whole commands, as clients hand them to a socket. What is none is passed over.
    """
    found: dict[str, None] = {}
    for data in sent:
        for command in _commands(data):
            found.update((key.decode(errors="replace"), None) for key in _keys(command))
    return tuple(found)


def _commands(data: bytes) -> list[list[bytes]]:
    """The commands in what was sent, up to the first that is none, or not whole."""
    return _simple_commands(data.split(_LINE_END)) or _any_commands(data)


def _simple_commands(lines: list[bytes]) -> list[list[bytes]]:
    """The commands, where no part has an end of a line in it; else none. A quarter of what it takes to read them."""
    found: list[list[bytes]] = []
    place, last = 0, len(lines) - 1
    while place < last:
        if lines[place][:1] != b"*" or not lines[place][1:].isdigit():
            return []
        first, place = place + 1, place + 1 + 2 * int(lines[place][1:])
        parts = lines[first + 1 : place : 2]
        if place > last or lines[first:place:2] != list(map(_size_line, map(len, parts))):
            return []
        found.append(parts)
    return found


@lru_cache(4096)
def _size_line(size: int) -> bytes:
    return b"$%d" % size


def _any_commands(data: bytes) -> list[list[bytes]]:
    found: list[list[bytes]] = []
    place = 0
    while place < len(data):
        try:
            command, place = read_command(data, place)
        except (Incomplete, ValueError):
            break
        found.append(command)
    return found


def _keys(command: list[bytes]) -> list[bytes]:
    name = command[0].upper() if command else b""
    if name in _SCRIPTS:
        return command[3 : 3 + int(command[2])] if len(command) > 2 and command[2].isdigit() else []  # noqa: PLR2004
    return [] if name in _KEYLESS else command[1:2]
