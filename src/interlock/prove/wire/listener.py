"""What scripts and functions really do inside the server: MONITOR tells of each command that one of them calls.

What a script declares is not enough. It may touch keys that it builds itself, and an order that matters would be missed.
"""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.wire.redis_connection import Connection

_BY_A_SCRIPT = re.compile(rb"^\+[0-9.]+ \[\d+ lua\] ")
_PART = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(rb"\\(x[0-9a-f]{2}|.)", re.DOTALL)
_LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}


class Listener:
    """A connection on which the server tells what it does.

    Args:
        connection: A connection of its own.
        say: Has the server say something on another connection, to know where in the telling we are.
    """

    def __init__(self, connection: Connection, say: Callable[[str], object]) -> None:
        self._connection = connection
        self._say = say
        self._numbers = count()
        connection.value("MONITOR")

    def heard(self, perform: Callable[[], Any], *, is_behind: bool) -> tuple[Any, list[list[bytes]]]:
        """What came of something, and the commands that scripts called meanwhile.

        Args:
            perform: Does it.
            is_behind: Whether other scripts may have run since the last time.

        Raises:
            WorldError: If the server has ended.
        """
        if is_behind:
            self._up_to_here()
        answer = perform()
        return answer, [command(line) for line in self._up_to_here() if _BY_A_SCRIPT.match(line)]

    def close(self) -> None:
        """Stops listening."""
        self._connection.close()

    def _up_to_here(self) -> list[bytes]:
        mark = f"interlock:{next(self._numbers)}"
        self._say(mark)
        return self._connection.lines_up_to(b'"%s"' % mark.encode())


def command(line: bytes) -> list[bytes]:
    """The command in a line of MONITOR."""
    return [_ESCAPED.sub(_meant, part) for part in _PART.findall(line.split(b"] ", 1)[1])]


def _meant(escaped: re.Match[bytes]) -> bytes:
    letter = escaped[1]
    return bytes([int(letter[1:], 16)]) if len(letter) > 1 else _LETTERS.get(letter, letter)
