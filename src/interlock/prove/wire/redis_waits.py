"""Redis commands that wait inside the server: what each waits for, and for how long.

Such a command is not sent before what it waits for is there, so that it never waits in the server, where nobody sees it.
Whether it is there is asked without taking it. When the time is over, the client is told so in the server's place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Ask = Callable[..., Any]
MAY_WAIT = frozenset(b"BLPOP BRPOP BZPOPMIN BZPOPMAX BLMPOP BZMPOP BLMOVE BRPOPLPUSH WAIT XREAD XREADGROUP".split())


@dataclass(frozen=True, slots=True)
class Waiting:
    """A command that may have to wait.

    Attributes:
        seconds: For how long at most; none for however long it takes.
        is_vain: Whether it would have to wait now.
        command: What is sent once it need not.
        nothing: What the server says when the time is over, in RESP2.
    """

    seconds: float | None
    is_vain: Callable[[Ask], bool]
    command: tuple[bytes, ...]
    nothing: bytes = b"*-1\r\n"

    def given_up(self, *, is_resp3: bool) -> bytes:
        """What the server says when the time is over."""
        return b"_\r\n" if is_resp3 and b"-1" in self.nothing else self.nothing


def waiting(command: list[bytes], ask: Ask) -> Waiting | None:
    """What a command may wait for; nothing if it never waits.

    Args:
        command: As the client sends it.
        ask: Asks the server on the client's own connection.

    Raises:
        ValueError, IndexError: If it is not understood; the server will say what is wrong with it.
    """
    whole, name = tuple(command), command[0].upper()
    match name:
        case b"BLPOP" | b"BRPOP":
            return Waiting(_seconds(command[-1]), _no_items(b"LLEN", command[1:-1]), whole)
        case b"BZPOPMIN" | b"BZPOPMAX":
            return Waiting(_seconds(command[-1]), _no_items(b"ZCARD", command[1:-1]), whole)
        case b"BLMPOP" | b"BZMPOP":
            keys = command[3 : 3 + int(command[2])]
            return Waiting(_seconds(command[1]), _no_items(b"LLEN" if name == b"BLMPOP" else b"ZCARD", keys), whole)
        case b"BLMOVE" | b"BRPOPLPUSH":
            return Waiting(_seconds(command[-1]), _no_items(b"LLEN", command[1:2]), whole, b"$-1\r\n")
        case b"WAIT":
            replicas = int(command[1])  # Of which there are none.
            return Waiting(_seconds(command[2], 1000), lambda _: replicas > 0, whole, b":0\r\n")
        case b"XREAD" | b"XREADGROUP" if b"BLOCK" in {word.upper() for word in command}:
            return _on_streams(command, ask)
        case _:
            return None


def _seconds(text: bytes, unit: int = 1) -> float | None:
    return float(text) / unit or None


def _no_items(question: bytes, keys: list[bytes]) -> Callable[[Ask], bool]:
    """Whether none of the keys holds anything. An error, such as for a key of another type, is an answer."""
    return lambda ask: all(ask(question, key) == 0 for key in keys)


def _on_streams(command: list[bytes], ask: Ask) -> Waiting | None:
    words = [word.upper() for word in command]
    block, first = words.index(b"BLOCK"), words.index(b"STREAMS") + 1
    half = first + (len(command) - first) // 2
    keys, starts = command[first:half], command[half:]
    if words[0] == b"XREAD":
        # `$` is what is there when it is called, and not when it goes on.
        starts = [
            _facts(ask("XINFO", "STREAM", key)).get(b"last-generated-id", b"0-0") if start == b"$" else start
            for key, start in zip(keys, starts, strict=True)
        ]
        positions = list(zip(keys, starts, strict=True))
        vain: Callable[[Ask], bool] = lambda ask: not any(_has_after(ask, key, start) for key, start in positions)  # noqa: E731
    elif any(start != b">" for start in starts):
        return None  # It asks for what it has got before, and never waits.
    else:
        group = command[words.index(b"GROUP") + 1]
        vain = lambda ask: not any(_has_new(ask, key, group) for key in keys)  # noqa: E731
    sent = (*command[:block], *command[block + 2 : half], *starts)
    return Waiting(_seconds(command[block + 1], 1000), vain, sent)


def _has_after(ask: Ask, key: bytes, start: bytes) -> bool:
    return bool(ask("XRANGE", key, b"(" + start, "+", "COUNT", 1) != [])


def _has_new(ask: Ask, key: bytes, group: bytes) -> bool:
    """Whether the group has not been given everything yet. That there is no such group is an answer as well."""
    groups = _list(ask("XINFO", "GROUPS", key))
    found = next((facts for facts in map(_facts, groups) if facts[b"name"] == group), None)
    return found is None or _has_after(ask, key, found[b"last-delivered-id"])


def _facts(flat: Any) -> dict[bytes, Any]:
    """A reply of names and values by name; nothing of an error."""
    parts = _list(flat)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _list(reply: Any) -> list[Any]:
    """A reply of several values; nothing of an error."""
    return [] if isinstance(reply, RuntimeError | None) else list(reply)
