"""A talk with the server as a generator: it yields what to send or how long to wait, and is sent the reply.

Written once, it is carried on by blocking and by asyncio code alike (`server`), which only send, wait and pass on.
Here is what they have in common: which form the scripts take, what to do when the server does not know them, which errors
pass by waiting, and what is looked at when a queue is opened.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import redis.exceptions as redis_errors

from retryqueue import scripts
from retryqueue.errors import InvalidPolicy, NotDurable, QueueUnavailable, ServerRefused, ShardMismatch

if TYPE_CHECKING:
    from retryqueue.protocol import Call

T = TypeVar("T")
logger = logging.getLogger("retryqueue")

Durability = Literal["require", "warn", "ignore"]

# Whatever redis-py raises: some of its errors about clusters are none of its `RedisError`.
CLIENT_ERRORS = (redis_errors.RedisError, redis_errors.RedisClusterException)
# What a restart, a failover, a moving slot or a full server looks like from here. All of them pass.
PASSING = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.ReadOnlyError,
    redis_errors.TryAgainError,
    redis_errors.ClusterError,
    redis_errors.SlotNotCoveredError,
    redis_errors.OutOfMemoryError,
)
# Of these the first are told by their kind, the others are replies of which redis-py makes no kind of its own.
PASSING_REPLIES = (
    *("NOREPLICAS", "MASTERDOWN", "LOADING", "UNBLOCKED", "BUSY ", "MISCONF"),
    *("Redis Cluster cannot be connected", "All slots are not covered"),
    "Function not found",  # Taught just now, and forgotten again.
)
NEVER_PASSING = (redis_errors.AuthenticationError, redis_errors.AuthorizationError)

_LOGIN = re.compile(r"((?:username|password)=|://)(?:[^\s,)>@]*@|[^\s,)>]+)")

FIRST_WAIT_S = 0.02
LONGEST_WAIT_S = 1.0
FUNCTIONS_SINCE = 7


@dataclass(frozen=True, slots=True)
class Send:
    """A command for the server.

    Attributes:
        parts: The command and its arguments.
        everywhere: Whether it goes to every primary of a cluster; the reply is then a list.
    """

    parts: tuple[Any, ...]
    everywhere: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """A pause."""

    seconds: float


Talk = Generator[Send | Wait, Any, T]


@dataclass(slots=True)
class Dialect:
    """How one server is talked to. Found out by `opened`.

    Attributes:
        functions: Whether the server is asked to run functions; otherwise it is sent scripts.
        flags: Whether it knows the flags of scripts.
        shards: On how many shards the queue lies.
    """

    functions: bool = False
    flags: bool = False
    shards: int = 1


@dataclass(slots=True)
class Patience:
    """How long a call goes on trying. Shortened, it holds for the calls that are waiting already.

    Attributes:
        seconds: From the call's beginning; none for as long as it takes.
    """

    seconds: float | None

    def left_s(self, began_s: float) -> float:
        """How much is left of it; not more than 0 when it is over."""
        return math.inf if self.seconds is None else self.seconds - (time.monotonic() - began_s)


def asked(dialect: Dialect, call: Call[T], patience: Patience) -> Talk[T]:
    """Runs a script, through whatever passes by waiting.

    Raises:
        QueueUnavailable: If it did not pass in time.
        ServerRefused: If it never passes.
    """
    reply = yield from patient(lambda: _run(dialect, call), patience, call.script)
    return call.read(reply)


def patient(attempt: Callable[[], Talk[T]], patience: Patience, what: str) -> Talk[T]:
    """Makes a talk, and again until it is carried through."""
    began_s, wait_s = time.monotonic(), FIRST_WAIT_S
    while True:
        try:
            reply = yield from attempt()
        except CLIENT_ERRORS as error:
            if not _passes(error):
                raise ServerRefused(f"{what}: {_said(error)}") from _cause(error)
            waited_s = time.monotonic() - began_s
            left_s = patience.left_s(began_s)
            if left_s <= 0:
                raise QueueUnavailable(f"{what}: no answer from Redis within {waited_s:.1f} s: {_said(error)}") from _cause(
                    error
                )
            if wait_s >= LONGEST_WAIT_S:
                logger.warning("%s: still no answer from Redis after %.0f s: %s", what, waited_s, _said(error))
            yield Wait(min(wait_s, left_s))
            wait_s = min(LONGEST_WAIT_S, wait_s * 2)
        else:
            if wait_s >= LONGEST_WAIT_S:
                logger.warning("%s: Redis answers again after %.0f s", what, time.monotonic() - began_s)
            return reply


def _said(error: Exception) -> str:
    """What redis-py says, without the login that some of its versions name."""
    return _LOGIN.sub(r"\1***", str(error))


def _cause(error: Exception) -> Exception | None:
    """The error to name as the cause, unless its text holds a login: a traceback would show it."""
    return error if _said(error) == str(error) else None


def _passes(error: Exception) -> bool:
    """Whether waiting helps against it."""
    passes = isinstance(error, PASSING) or str(error).startswith(PASSING_REPLIES)
    return passes and not isinstance(error, NEVER_PASSING)


def command(dialect: Dialect, call: Call[Any]) -> tuple[Any, ...]:
    """What runs one script, if the server knows it."""
    if dialect.functions:
        return ("FCALL", scripts.function(call.script), len(call.keys), *call.keys, *call.args)
    return ("EVALSHA", scripts.digest(call.script, flagged=dialect.flags), len(call.keys), *call.keys, *call.args)


def _run(dialect: Dialect, call: Call[Any]) -> Talk[Any]:
    """One script, which the server is taught first if it does not know it (any more)."""
    send = Send(command(dialect, call))
    try:
        return (yield send)
    except redis_errors.NoScriptError:
        text = scripts.script(call.script, flagged=dialect.flags)
        return (yield Send(("EVAL", text, len(call.keys), *call.keys, *call.args)))
    except redis_errors.ResponseError as error:
        if "Function not found" not in str(error):
            raise
        yield from _load_library()
        return (yield send)


def _load_library() -> Talk[None]:
    yield Send(("FUNCTION", "LOAD", "REPLACE", scripts.library()), everywhere=True)


def opened(queue: str, shards: int | None, default_shards: int, durability: Durability) -> Talk[Dialect]:
    """Finds out how to talk to a server, and whether it may be trusted with payments.

    Raises:
        NotDurable: If it may not, and `durability` is `require`.
        ShardMismatch: If the queue has another number of shards than `shards`.
        InvalidPolicy: If the server is older than 6.2.
    """
    sections = yield from _info()
    if durability != "ignore":
        yield from _check_durability(durability)
    # A cluster is sent scripts: of every FCALL redis-py asks one certain node for the keys, and is lost when that one is gone.
    flags = _version(sections) >= (FUNCTIONS_SINCE, 0)
    functions = flags and not _is_cluster(sections) and (yield from _can_load())
    agreed = yield from _agreed_shards(queue, shards, default_shards)
    return Dialect(functions=functions, flags=flags, shards=agreed)


def _info() -> Talk[list[dict[str, Any]]]:
    answers = yield Send(("INFO",), everywhere=True)
    return list(answers)


def _version(sections: list[dict[str, Any]]) -> tuple[int, int]:
    # Valkey keeps the version of Redis that it is compatible with in this field.
    oldest = min(tuple(int(part) for part in str(section["redis_version"]).split(".")[:2]) for section in sections)
    if oldest < (6, 2):
        raise InvalidPolicy(f"the server must be Redis 6.2 or later or a Valkey, found {'.'.join(map(str, oldest))}")
    return (oldest[0], oldest[1])


def _is_cluster(sections: list[dict[str, Any]]) -> bool:
    return any(int(section.get("cluster_enabled", 0)) for section in sections)


def _can_load() -> Talk[bool]:
    """Whether functions may be used: an account may be forbidden to load them. A server whose memory is full takes none."""
    try:
        if not (yield Send(("FUNCTION", "LIST", "LIBRARYNAME", scripts.library_name()))):
            yield from _load_library()
    except redis_errors.ResponseError as error:
        _check_forbidden(error)
        return False
    return True


def _check_forbidden(error: redis_errors.ResponseError) -> None:
    """Raises what is not a refusal to this account."""
    if not isinstance(error, redis_errors.NoPermissionError) and "unknown command" not in str(error).lower():
        raise error


def _agreed_shards(queue: str, wanted: int | None, default: int) -> Talk[int]:
    """The number of shards: fixed by whoever comes first, since a key looked for on another shard would be stored twice."""
    name = f"{{{queue}}}:shards"
    if (yield Send(("GET", name))) is None:
        yield Send(("SET", name, wanted or default, "NX"))
    found = int((yield Send(("GET", name))))
    if wanted and wanted != found:
        raise ShardMismatch(
            f"the queue {queue!r} lies on {found} shards, asked for {wanted}; drain it before it is laid out anew, "
            f"or delete {name} if it was never used"
        )
    return found


@dataclass(frozen=True, slots=True)
class Dangers:
    """How the server could lose what it has accepted, a sentence each.

    Attributes:
        of_a_restart: What a restart or a full memory would lose.
        of_a_crash: What a crash of the server or its machine would lose; not looked at where a restart loses everything.
    """

    of_a_restart: tuple[str, ...]
    of_a_crash: tuple[str, ...]


def dangers() -> Talk[Dangers]:
    """Asks the server how it keeps what it accepts."""
    sections = yield from _info()
    found = tuple(dict.fromkeys(danger for section in sections for danger in _dangers(section)))
    return Dangers(found, () if found else tuple((yield from _fsync_danger())))


def _check_durability(durability: Durability) -> Talk[None]:
    """Refuses what a restart would lose, if that is wanted; warns of everything else."""
    found = yield from dangers()
    if found.of_a_restart and durability == "require":
        raise NotDurable("; ".join(found.of_a_restart))
    for danger in found.of_a_restart + found.of_a_crash:
        logger.warning("payments may be lost: %s", danger)


def _dangers(section: dict[str, Any]) -> list[str]:
    dangers: list[str] = []
    if not int(section.get("aof_enabled", 1)):
        dangers.append(
            "the server keeps no append-only file (appendonly no), so a restart forgets what it accepted; set appendonly yes"
        )
    if section.get("maxmemory_policy", "noeviction") != "noeviction" and int(section.get("maxmemory", 0)):
        dangers.append(
            f"the server throws keys away when memory is short (maxmemory-policy {section['maxmemory_policy']}); set noeviction"
        )
    return dangers


def _fsync_danger() -> Talk[list[str]]:
    """The second that `everysec` may lose. Services that hide their settings are not asked twice."""
    try:
        answers = yield Send(("CONFIG GET", "appendfsync"), everywhere=True)
    except redis_errors.ResponseError as error:
        _check_forbidden(error)
        return []
    modes = {str(_decoded(answer).get("appendfsync", "always")) for answer in answers}
    return [
        f"a crash may lose what was accepted in the last second or two (appendfsync {mode}); set appendfsync always"
        for mode in sorted(modes - {"always"})
    ]


def _decoded(answer: dict[Any, Any]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in answer.items()}


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
