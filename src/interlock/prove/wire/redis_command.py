"""A command on its way to Redis, and all that can be told of it by itself.

The schedules of a proof send the same bytes over and over. So they are read once, and what follows from them is kept.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from interlock.prove.effect import exactly
from interlock.prove.wire import resp
from interlock.prove.wire.deadlines import moment_s
from interlock.prove.wire.idle import is_greeting
from interlock.prove.wire.redis_waits import MAY_WAIT

if TYPE_CHECKING:
    from collections.abc import Sequence

# What sets a connection up, and concerns nobody else.
_SETUP = frozenset({b"HELLO", b"CLIENT", b"SELECT", b"AUTH", b"PING", b"SCRIPT", b"COMMAND", b"INFO", b"CONFIG", b"READONLY"})
_SCRIPTS_CHANGED = frozenset({b"LOAD", b"FLUSH"})
_SAME_EACH_TIME = frozenset({b"SERVER", b"CPU", b"MODULES", b"CLUSTER"})  # Of INFO, like all of it.
TELLING = frozenset({b"PUBLISH", b"SPUBLISH"})
LISTENING = frozenset({b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE", b"UNSUBSCRIBE", b"PUNSUBSCRIBE", b"SUNSUBSCRIBE"})
# What changes how the server treats this client or others, in ways that are not followed.
_NOT_FOLLOWED: dict[tuple[bytes, ...], str] = {
    (b"MONITOR",): "sees what everybody does",
    (b"CLIENT", b"TRACKING"): "is told of what others change",
    (b"CLIENT", b"REPLY"): "hears no replies",
    (b"CLIENT", b"PAUSE"): "holds everybody up",
    (b"CLIENT", b"KILL"): "ends connections of others",
    (b"CLIENT", b"UNBLOCK"): "wakes others",
    (b"CLIENT", b"LIST"): "looks who is connected, which is in no order",
    **{(b"CONFIG", one): "changes the server itself" for one in (b"SET", b"RESETSTAT", b"REWRITE")},
    **{(b"ACL", one): "changes the server itself" for one in (b"SETUSER", b"DELUSER", b"LOAD", b"SAVE")},
    **{(b"MODULE", one): "changes the server itself" for one in (b"LOAD", b"LOADEX", b"UNLOAD")},
    (b"DEBUG",): "changes the server itself",
    (b"SHUTDOWN",): "ends the server",
    **{(one,): "lets the server follow another one" for one in (b"REPLICAOF", b"SLAVEOF", b"FAILOVER")},
    **{(one,): "is sent all that is written" for one in (b"SYNC", b"PSYNC", b"REPLCONF")},
    (b"WAITAOF",): "waits for a disk that the proof's server does not write to",
}
CALLS = frozenset({b"EVAL", b"EVALSHA", b"EVAL_RO", b"EVALSHA_RO", b"FCALL", b"FCALL_RO"})
PROGRAMS = frozenset({b"EVAL", b"EVAL_RO", b"SCRIPT", b"FUNCTION"})
# What tells the time, or for how long something has been left alone.
_BY_THE_CLOCK = frozenset({b"TIME", b"XAUTOCLAIM", b"XCLAIM"})
_TIME_CALL = re.compile(rb"call\s*\(\s*['\"]time['\"]", re.IGNORECASE)

# What makes something last for a time. A lease can also be a moment in a score or a field.
_GRANTS = frozenset(
    {
        *(b"SET", b"SETEX", b"PSETEX", b"GETEX", b"EXPIRE", b"PEXPIRE", b"EXPIREAT", b"PEXPIREAT"),
        *(b"EVAL", b"EVALSHA", b"FCALL", b"ZADD", b"HSET", b"HMSET"),
    }
)
_PLAIN_SET = 3  # SET key value, which lasts for ever.
_MOMENT = re.compile(rb"\d{10}(\.\d+)?|\d{13}")

LONGEST_WORD = 40
_TWO = 2
_KEPT = 4096  # More than the schedules of one program send.
_SHORT_ENOUGH = 4096  # Bytes; what is longer is seldom sent twice.


@dataclass(frozen=True, slots=True, eq=False)
class Command:
    """One command.

    Attributes:
        parts: Its words.
        raw: As it was sent.
        name: Its first word, in capitals.
        said: For people: scripts by their first words, long values cut.
        exactly: What tells it from others that read the same.
        is_setup: Whether it sets the connection up, and concerns nobody else.
        is_greeting: Whether it is answered in the same way each time.
        listens: Whether messages may follow.
        may_wait: Whether it may wait inside the server.
        calls: Whether it runs a script or a function.
        tells: Whether it is a message for whoever listens.
        loads: Whether the server keeps a script or a function that it brings.
        is_load: Whether that is a script, and all that it does.
        scripts: The digests of the scripts that it loads, calls or asks for.
        brings: Those of the scripts that the server knows afterwards.
        asks_time: Whether it asks the server what time it is.
        grants: Whether it is of those that make something last for a time.
        lasts: Whether it may have said so, and has not just set a value.
        moments_s: The moments that it names, in seconds since 1970.
        grants_alone: Whether it may make something last for a time by itself, in no transaction: a plain SET does not.
        not_followed: Why nobody can tell what follows from it, if so.
    """

    parts: list[bytes]
    raw: bytes
    name: bytes
    said: str
    exactly: str
    is_setup: bool
    is_greeting: bool
    listens: bool
    may_wait: bool
    calls: bool
    tells: bool
    loads: bool
    is_load: bool
    scripts: tuple[str, ...]
    brings: tuple[str, ...]
    asks_time: bool
    grants: bool
    lasts: bool
    moments_s: tuple[float, ...]
    grants_alone: bool
    not_followed: str


def commands(data: bytes) -> tuple[tuple[Command, ...], bytes]:
    """The commands that are complete, and the bytes that are left."""
    return _kept(data) if len(data) <= _SHORT_ENOUGH else _read(data)


def _read(data: bytes) -> tuple[tuple[Command, ...], bytes]:
    found: list[Command] = []
    place = 0
    while place < len(data):
        try:
            parts, end = resp.read_command(data, place)
        except resp.Incomplete:
            break
        found.append(_made(parts, data[place:end]))
        place = end
    return tuple(found), data[place:]


_kept = lru_cache(maxsize=_KEPT)(_read)


def _made(parts: list[bytes], raw: bytes) -> Command:
    name, said = parts[0].upper(), _said(parts)
    grants, lasts = name in _GRANTS, name != b"SET" or len(parts) != _PLAIN_SET
    moments_s = tuple(map(moment_s, filter(_MOMENT.fullmatch, parts[1:])))
    return Command(
        parts=parts,
        raw=raw,
        name=name,
        said=said,
        exactly=exactly(said, name, *parts[1:]),
        is_setup=_is_setup(parts),
        is_greeting=is_greeting(parts),
        listens=name in LISTENING,
        may_wait=name in MAY_WAIT,
        calls=name in CALLS,
        tells=name in TELLING,
        loads=name in PROGRAMS,
        is_load=name == b"SCRIPT" and parts[1:2] != [] and parts[1].upper() == b"LOAD",
        scripts=digests(parts),
        brings=brought(parts),
        asks_time=name in _BY_THE_CLOCK or (name in PROGRAMS and any(_TIME_CALL.search(part) for part in parts[1:])),
        grants=grants,
        lasts=lasts,
        moments_s=moments_s,
        grants_alone=grants and (lasts or bool(moments_s)),
        not_followed=_NOT_FOLLOWED.get((name,)) or _NOT_FOLLOWED.get((name, *(word.upper() for word in parts[1:2]))) or "",
    )


def _is_setup(parts: list[bytes]) -> bool:
    name, words = parts[0].upper(), {word.upper() for word in parts[1:]}
    if name == b"SCRIPT":
        return not words & _SCRIPTS_CHANGED
    if name == b"INFO":
        return words <= _SAME_EACH_TIME
    return name in _SETUP


def digests(parts: list[bytes]) -> tuple[str, ...]:
    """The digests of the scripts that a command loads, calls or asks for, as the server names them."""
    match [parts[0].upper(), *(word.upper() for word in parts[1:2])]:
        case [b"SCRIPT", b"LOAD"]:
            return brought(parts)
        case [b"SCRIPT", b"EXISTS"]:
            return tuple(part.decode(errors="replace").lower() for part in parts[2:])
        case [b"EVALSHA" | b"EVALSHA_RO", _]:
            return (parts[1].decode(errors="replace").lower(),)
        case _:
            return ()


def brought(parts: Sequence[bytes]) -> tuple[str, ...]:
    """The digests of the scripts that the server knows after a command."""
    match [parts[0].upper(), *(word.upper() for word in parts[1:2])]:
        case [b"SCRIPT", b"LOAD"] if len(parts) > _TWO:
            return (hashlib.sha1(parts[2]).hexdigest(),)  # noqa: S324 - the server's own.
        case [b"EVAL" | b"EVAL_RO", _]:
            return (hashlib.sha1(parts[1]).hexdigest(),)  # noqa: S324 - likewise.
        case _:
            return ()


def _said(parts: list[bytes]) -> str:
    words = [parts[0].decode(errors="replace").upper(), *map(shortened, parts[1:])]
    if words[0] in {"EVAL", "EVALSHA"}:
        words[1] = "script"
    return " ".join(words)


def shortened(part: bytes) -> str:
    """A value for people."""
    text = " ".join(part.decode(errors="replace").split())
    return text if len(text) <= LONGEST_WORD else text[: LONGEST_WORD - 3] + "..."
