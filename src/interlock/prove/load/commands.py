"""The keys that commands name, as far as they can be told from the commands themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.prove.wire.resp import Incomplete, read_command

if TYPE_CHECKING:
    from collections.abc import Iterable

# Commands whose first argument is no key.
_KEYLESS = frozenset(
    b"AUTH CLIENT CONFIG DISCARD ECHO EXEC HELLO INFO MULTI PING PUBLISH SCRIPT SELECT SUBSCRIBE TIME UNWATCH FUNCTION"
    b" COMMAND WAIT DBSIZE".split()
)
_SCRIPTS = frozenset(b"EVAL EVALSHA EVAL_RO EVALSHA_RO FCALL FCALL_RO".split())


def keys_of(sent: Iterable[bytes]) -> tuple[str, ...]:
    """The keys in what was sent: of scripts all that they declare, of other commands the first.

    Args:
        sent: Whole commands, as clients hand them to a socket. What is none is passed over.
    """
    found: dict[str, None] = {}
    for data in sent:
        place = 0
        while place < len(data):
            try:
                command, place = read_command(data, place)
            except (Incomplete, ValueError):
                break
            found.update((key.decode(errors="replace"), None) for key in _keys(command))
    return tuple(found)


def _keys(command: list[bytes]) -> list[bytes]:
    name = command[0].upper() if command else b""
    if name in _SCRIPTS:
        return command[3 : 3 + int(command[2])] if len(command) > 2 and command[2].isdigit() else []  # noqa: PLR2004
    return [] if name in _KEYLESS else command[1:2]
