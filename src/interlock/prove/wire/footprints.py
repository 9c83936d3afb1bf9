"""What commands read and write, in the server's own words: so that it is known which of them may not change places."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from interlock.prove.effect import EVERYTHING, Effect
from interlock.prove.wire.redis_command import LISTENING, TELLING, digests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from interlock.prove.wire.redis_command import Command

Touched = tuple[frozenset[str], frozenset[str]]

_ALL_CHANNELS = "redis-channels"
KEY = "redis:"
# The libraries of functions that are loaded.
FUNCTIONS = frozenset({"redis-functions"})
_FUNCTION_LOOKS = frozenset({b"LIST", b"DUMP", b"STATS", b"HELP"})
_FUNCTION_CALLS = frozenset({b"FCALL", b"FCALL_RO"})
# The scripts that are loaded: all that whoever forgets them changes, and each by its digest.
_SCRIPTS = frozenset({"redis-scripts"})
_SCRIPT = "redis-script:"
_SCRIPT_CALLS = frozenset({b"EVAL", b"EVAL_RO", b"EVALSHA", b"EVALSHA_RO"})
_ALL = frozenset({EVERYTHING})
_NOTHING = frozenset[str]()
_HARMLESS = frozenset({b"PING", b"TIME", b"HELLO", b"CLIENT", b"SELECT", b"CONFIG", b"COMMAND", b"UNWATCH"})
_KEPT = 4096


class Footprints:
    """What commands touch. The answers never change, and are kept.

    Args:
        ask: Asks the server.

    Attributes:
        announced: The effect that commands are which are carried out together, as far as they say themselves.
    """

    def __init__(self, ask: Callable[..., Any]) -> None:
        self._ask = ask
        self._keys = lru_cache(maxsize=_KEPT)(self._asked)
        self._about = lru_cache(maxsize=None)(self._asked_about)
        self.announced = lru_cache(maxsize=_KEPT)(self._announced)

    def together(self, commands: Iterable[list[bytes]]) -> Touched:
        """What several commands read and write."""
        pairs = [self.of(command) for command in commands]
        return _NOTHING.union(*(reads for reads, _ in pairs)), _NOTHING.union(*(writes for _, writes in pairs))

    def of(self, command: list[bytes]) -> Touched:
        """What a command reads and writes; everything, if the server does not say."""
        name = command[0].upper()
        if name in TELLING:
            told = frozenset({_channel(command[1]), _ALL_CHANNELS})
            return told, told
        if name in LISTENING:
            channels = frozenset(map(_channel, command[1:]))
            return (frozenset({_ALL_CHANNELS}) if name.startswith(b"P") or not channels else channels), _NOTHING
        if name == b"FUNCTION":
            looks = len(command) > 1 and command[1].upper() in _FUNCTION_LOOKS
            return FUNCTIONS, _NOTHING if looks else FUNCTIONS
        if name == b"SCRIPT":
            return _of_scripts(command)
        if name == b"INFO":
            return _ALL, _NOTHING
        reads, writes = self._keys(tuple(command))
        if name in _SCRIPT_CALLS:
            return reads | _SCRIPTS | _named(command), writes
        return (reads | FUNCTIONS, writes) if name in _FUNCTION_CALLS else (reads, writes)

    def _announced(self, commands: tuple[Command, ...]) -> Effect:
        reads, writes = self.together(command.parts for command in commands)
        exactly = "".join(command.exactly for command in commands)
        return Effect("redis", "; ".join(command.said for command in commands), reads, writes, exactly=exactly)

    def _asked(self, command: tuple[bytes, ...]) -> Touched:
        answer = self._ask("COMMAND", "GETKEYSANDFLAGS", *command)
        if isinstance(answer, RuntimeError):
            is_known = "no key" in str(answer) or len(command) == 1  # Of one word alone it only says that there are too few.
            if is_known and command[0].upper() in _HARMLESS:
                return _NOTHING, _NOTHING
            return _ALL, _NOTHING if is_known and self._only_reads(command[0].upper()) else _ALL
        is_write, names_all = self._about(command[0].upper())
        if not names_all:  # SORT with BY and GET, whose keys depend on what it sorts.
            return _ALL, _ALL
        reads: set[str] = set()
        writes: set[str] = set()
        for key, flags in answer:
            (reads if set(flags) & {b"RO"} else writes).add(f"{KEY}{key.decode(errors='replace')}")
        if is_write and not writes:  # XREADGROUP, whose stream counts as read only, though its groups are in it.
            writes = reads
        return frozenset(reads), frozenset(writes)

    def _only_reads(self, name: bytes) -> bool:
        """Whether a command that names no keys changes none, such as DBSIZE or SCAN."""
        told = self._ask("COMMAND", "INFO", name)
        return bool(told and told[0]) and b"readonly" in told[0][2]

    def _asked_about(self, name: bytes) -> tuple[bool, bool]:
        """Whether a command may write, and whether all of its keys can be found among its arguments."""
        told = self._ask("COMMAND", "INFO", name)[0]
        specifications = [dict(zip(one[::2], one[1::2], strict=True)) for one in told[8]]
        return b"write" in told[2], all(b"unknown" not in one[b"begin_search"] for one in specifications)


def programs(names: frozenset[str]) -> frozenset[str]:
    """Those of the names that stand for scripts and functions, without which a call cannot be done."""
    return frozenset(name for name in names if name.startswith(_SCRIPT)) | (names & (_SCRIPTS | FUNCTIONS))


def _named(command: list[bytes]) -> frozenset[str]:
    return frozenset(f"{_SCRIPT}{digest}" for digest in digests(command))


def _of_scripts(command: list[bytes]) -> Touched:
    match [word.upper() for word in command[1:2]]:
        case [b"LOAD"]:
            return _SCRIPTS, _named(command)
        case [b"FLUSH"]:
            return _NOTHING, _SCRIPTS
        case _:
            return _NOTHING, _NOTHING


def _channel(name: bytes) -> str:
    return f"redis-channel:{name.decode(errors='replace')}"
