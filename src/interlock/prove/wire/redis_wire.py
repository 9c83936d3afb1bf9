"""One client connection to Redis: each command is an effect, really carried out on the server of the proof."""

from __future__ import annotations

import errno
import math
import re
from typing import TYPE_CHECKING, cast

from interlock.prove.clock import EPOCH_S
from interlock.prove.effect import Effect
from interlock.prove.wire import resp

if TYPE_CHECKING:
    from interlock.prove.scheduler import Run
    from interlock.prove.wire.redis_server import RedisServer

# What sets a connection up, and concerns nobody else.
_SETUP = frozenset({b"HELLO", b"CLIENT", b"SELECT", b"AUTH", b"PING", b"SCRIPT", b"COMMAND", b"INFO", b"CONFIG", b"READONLY"})
_BLOCKING = frozenset({b"BLPOP", b"BRPOP", b"BLMOVE", b"BRPOPLPUSH", b"BLMPOP", b"BZPOPMIN", b"BZPOPMAX", b"BZMPOP", b"WAIT"})
_LISTENING = frozenset({b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE", b"MONITOR"})
_PROGRAMS = frozenset({b"EVAL", b"EVAL_RO", b"SCRIPT", b"FUNCTION"})
_TIME_CALL = re.compile(rb"call\s*\(\s*['\"]time['\"]", re.IGNORECASE)
_REAL_CLOCK = "the server is asked for its TIME, which is real: there is no C compiler here to put it on virtual time (cc)"

# What makes something last for a time. A lease can also be a moment in a score or a field.
_GRANTS = frozenset(
    {
        *(b"SET", b"SETEX", b"PSETEX", b"GETEX", b"EXPIRE", b"PEXPIRE", b"EXPIREAT", b"PEXPIREAT"),
        *(b"EVAL", b"EVALSHA", b"FCALL", b"ZADD", b"HSET", b"HMSET"),
    }
)
_MOMENT = re.compile(rb"\d{10}(\.\d+)?|\d{13}")
SHORTEST_DEADLINE_S, LONGEST_DEADLINE_S = 0.5, 86_400.0

LONGEST_WORD = 40
MOST_PARTS = 6


class RedisWire:
    """What stands behind one controlled socket.

    Args:
        run: The schedule.
        server: Where commands are carried out.
    """

    def __init__(self, run: Run, server: RedisServer) -> None:
        self._run = run
        self._server = server
        self._real = server.connect()
        self._buffer = b""
        self._queued: list[list[bytes]] | None = None
        self.expects = ""

    def sent(self, data: bytes) -> bytes:
        """Carries out the commands that are complete now; answers with the bytes of their replies."""
        self._buffer += data
        replies = b""
        while self._buffer:
            try:
                command, end = resp.read_command(self._buffer, 0)
            except resp.Incomplete:
                break
            raw, self._buffer = self._buffer[:end], self._buffer[end:]
            replies += self._carried_out(command, raw)
        return replies

    def has_news(self) -> bool:
        """It says nothing by itself."""
        return False

    def news(self) -> bytes:
        """Nothing."""
        return b""

    def close(self) -> None:
        """Ends the real connection; the server drops its WATCH and MULTI."""
        self._real.close()

    def _carried_out(self, command: list[bytes], raw: bytes) -> bytes:
        name = command[0].upper()
        if not self._server.tells_virtual_time and _asks_for_the_time(name, command):
            raise self._run.uncontrolled(_REAL_CLOCK)
        if name in _LISTENING or name in _BLOCKING:
            raise self._run.uncontrolled(f"{name.decode()} waits inside the server, where this guard does not see it")
        if name == b"MULTI":
            self._queued = []
        elif self._queued is not None and name not in {b"EXEC", b"DISCARD"}:
            self._queued.append(command)  # Nothing happens before EXEC.
        elif name not in _SETUP:
            return self._effect(command, raw)
        return self._asked(raw)

    def _effect(self, command: list[bytes], raw: bytes) -> bytes:
        queued, self._queued = self._queued or [], None
        reads, writes, said = frozenset[str](), frozenset[str](), list[str]()
        for one in [*queued, *([command] if not queued else [])]:
            some_reads, some_writes = self._server.footprint(one)
            reads, writes = reads | some_reads, writes | some_writes
            said.append(_said(one))
        effect = Effect("redis", "; ".join(said), reads, writes)
        is_done = False

        def perform() -> bytes:
            nonlocal is_done
            is_done = True
            return self._asked(raw)

        answer: bytes = self._run.effect(effect, perform, _told)
        if queued and not is_done:  # The server answered with an error, and dropped what it was to do.
            self._asked(resp.encoded("DISCARD"))
        if not self._run.plan:
            self._note_lengths([*queued, command], writes)
        return answer

    def _note_lengths(self, commands: list[list[bytes]], writes: frozenset[str]) -> None:
        """Tells the run how long what was just written lasts, so that it can be tried what happens after that."""
        if not any(command[0].upper() in _GRANTS for command in commands):
            return
        left_ms = [self._server.value("PTTL", name.removeprefix("redis:")) for name in writes]
        lengths = [left / 1000 for left in left_ms if isinstance(left, int) and left > 0]
        now_s = EPOCH_S + self._run.now_s
        for word in (part for command in commands for part in command[1:]):
            lengths += _deadline(word, now_s)
        for length in lengths:
            self._run.grant(float(math.ceil(length)))

    def _asked(self, raw: bytes) -> bytes:
        try:
            return self._real.ask(raw)
        except OSError as error:
            self._server.connect().close()  # The client is told of it, unless it is the guard's own trouble.
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer") from error


def _deadline(word: bytes, now_s: float) -> list[float]:
    """How far off the moment is that a word names in seconds or milliseconds since 1970, if it names one."""
    if not _MOMENT.fullmatch(word):
        return []
    moment_s = float(word) / (1000 if float(word) > 10**11 else 1)
    return [moment_s - now_s] if SHORTEST_DEADLINE_S < moment_s - now_s <= LONGEST_DEADLINE_S else []


def _asks_for_the_time(name: bytes, command: list[bytes]) -> bool:
    return name == b"TIME" or (name in _PROGRAMS and any(_TIME_CALL.search(part) for part in command[1:]))


def _said(command: list[bytes]) -> str:
    """A command for people: scripts by their first words, long values cut."""
    words = [command[0].decode(errors="replace").upper(), *(_word(part) for part in command[1:])]
    if words[0] in {"EVAL", "EVALSHA"}:
        words[1] = "script"
    return " ".join(words)


def _word(part: bytes) -> str:
    text = " ".join(part.decode(errors="replace").split())
    return text if len(text) <= LONGEST_WORD else text[: LONGEST_WORD - 3] + "..."


def _told(reply: bytes) -> str:
    value, _ = resp.decoded(reply)
    return _plain(value)


def _plain(value: object) -> str:
    if isinstance(value, list):
        parts = cast("list[object]", value)
        return "[" + ", ".join(_plain(part) for part in parts[:MOST_PARTS]) + (", ..." if len(parts) > MOST_PARTS else "") + "]"
    if isinstance(value, bytes):
        return _word(value)
    return "nothing" if value is None else str(value)
