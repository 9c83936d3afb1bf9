"""One client connection to Redis: each command is an effect, really carried out on the server of the proof."""

from __future__ import annotations

import errno
import math
import re
from typing import TYPE_CHECKING, Any, cast

from interlock.prove.clock import EPOCH_S
from interlock.prove.effect import Effect
from interlock.prove.wire import resp
from interlock.prove.wire.idle import is_greeting
from interlock.prove.wire.redis_waits import Waiting, waiting

if TYPE_CHECKING:
    from interlock.prove.scheduler import Run
    from interlock.prove.wire.redis_server import Connection, RedisServer

# What sets a connection up, and concerns nobody else.
_SETUP = frozenset({b"HELLO", b"CLIENT", b"SELECT", b"AUTH", b"PING", b"SCRIPT", b"COMMAND", b"INFO", b"CONFIG", b"READONLY"})
_LISTENING = frozenset({b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE", b"UNSUBSCRIBE", b"PUNSUBSCRIBE", b"SUNSUBSCRIBE"})
_TELLING = frozenset({b"PUBLISH", b"SPUBLISH"})
# What changes how the server treats this client or others, in ways that are not followed.
_NOT_FOLLOWED: dict[tuple[bytes, ...], str] = {
    (b"MONITOR",): "sees what everybody does",
    (b"CLIENT", b"TRACKING"): "is told of what others change",
    (b"CLIENT", b"REPLY"): "hears no replies",
    (b"CLIENT", b"PAUSE"): "holds everybody up",
    (b"CLIENT", b"KILL"): "ends connections of others",
    (b"CLIENT", b"UNBLOCK"): "wakes others",
    (b"CONFIG", b"SET"): "changes the server itself",
    (b"WAITAOF",): "waits for a disk that the proof's server does not write to",
}
_ALL_CHANNELS = "redis-channels"
_KEY = "redis:"
# The libraries of functions that are loaded.
_FUNCTIONS = frozenset({"redis-functions"})
_FUNCTION_LOOKS = frozenset({b"LIST", b"DUMP", b"STATS", b"HELP"})
_FUNCTION_CALLS = frozenset({b"FCALL", b"FCALL_RO"})
_MARK = b"interlock"
_CALLS = frozenset({b"EVAL", b"EVALSHA", b"EVAL_RO", b"EVALSHA_RO", b"FCALL", b"FCALL_RO"})
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
_PLAIN_SET = 3  # SET key value, which lasts for ever.
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
        self._greeting: tuple[bytes, ...] = ()
        self._life = server.lives
        self._real = server.connect() if server.idle is None else None  # Otherwise, once something is asked.
        self._buffer = b""
        self._queued: list[list[bytes]] | None = None
        self._is_resp3 = self._listens = self._is_left = self._is_odd = self._is_closed = False
        self._news = b""
        self._heard_at: object = None
        self.patience_s: float | None = None
        self._watched = frozenset[str]()
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
        """Whether there is a message. None can have come if nobody has asked the server anything."""
        moment = self._server.moment
        if self._listens and not self._news and (moment is None or moment != self._heard_at):
            self._heard_at = moment
            self._news = self._asked(b"")
        return bool(self._news)

    def news(self) -> bytes:
        """The messages."""
        told, self._news = self._news, b""
        return told

    def leave(self) -> None:
        """Nobody waits for an answer any more: the server drops a command that has not begun."""
        self._is_left = True

    def close(self) -> None:
        """Ends the real connection, and the server drops its WATCH and MULTI; or keeps it, if nothing is pending on it."""
        real, self._real, self._is_closed = self._real, None, True  # It is closed by its client, and at the end again.
        if real is None:
            return
        is_clean = self._queued is None and not (self._watched or self._listens or self._is_left or self._is_odd)
        if self._server.idle is not None and is_clean and self._life == self._server.lives:
            self._server.idle.give(self._greeting, real)
        else:
            real.close()

    def left(self) -> None:
        """The process ends: whoever publishes is not told of it any more."""
        self.close()
        self._server.value("PING")  # By the time it answers, it has seen the connection's end.

    lost = left

    def _carried_out(self, command: list[bytes], raw: bytes) -> bytes:
        name = command[0].upper()
        if not self._server.tells_virtual_time and _asks_for_the_time(name, command):
            raise self._run.uncontrolled(_REAL_CLOCK)
        if why := _NOT_FOLLOWED.get((name,)) or _NOT_FOLLOWED.get((name, *(word.upper() for word in command[1:2]))):
            said = b" ".join(command[:2]).decode(errors="replace")
            raise self._run.uncontrolled(f"{said}: a client that {why}, of which this guard does not know what follows")
        if self._queued is None and (wait := self._waiting(command)) is not None:
            return self._waited(command, wait)
        if name == b"HELLO":
            self._is_resp3 = command[1:2] == [b"3"]
        if name in _LISTENING:
            self._listen()
        if name == b"MULTI":
            self._queued = []
        elif self._queued is not None and name not in {b"EXEC", b"DISCARD"}:
            self._queued.append(command)  # Nothing happens before EXEC.
        elif name not in _SETUP:
            return self._effect(command, raw)
        elif is_greeting(command):
            return self._greeted(raw)
        return self._asked(raw)

    def _listen(self) -> None:
        if not self._listens:
            self._run.keep(self)
        self._listens, self.expects = True, "a message"

    def _greeted(self, raw: bytes) -> bytes:
        if self._real is None and (idle := self._server.idle) is not None:
            self._greeting += (raw,)
            return idle.greeted(self._greeting)
        self._is_odd = True  # It was set up anew, after it was used.
        return self._asked(raw)

    def _waiting(self, command: list[bytes]) -> Waiting | None:
        try:
            return waiting(command, self._value)
        except (ValueError, IndexError):
            return None

    def _waited(self, command: list[bytes], wait: Waiting) -> bytes:
        """A command that is carried out as soon as it need not wait, or given up when the time is over."""
        limits = [limit for limit in (wait.seconds, self.patience_s) if limit is not None]
        seconds = min(limits) if limits else None
        is_impatient = self.patience_s is not None and min(limits) != wait.seconds

        def perform() -> bytes:
            if self._is_left:
                return b""
            if not wait.is_vain(self._value):
                return self._asked(resp.encoded(*wait.command))
            self._run.grant(seconds or 0.0, sleeps=True)
            if is_impatient:
                raise TimeoutError("timed out")
            return wait.given_up(is_resp3=self._is_resp3)

        reads, writes = self._server.footprint(command)
        effect = Effect("redis", _said(command), reads, writes)
        answer: bytes = self._run.effect(effect, perform, _told, until=lambda: self._can_go_on(wait), seconds=seconds)
        return answer

    def _can_go_on(self, wait: Waiting) -> bool:
        try:
            return self._is_left or not wait.is_vain(self._value)
        except ConnectionResetError:
            return True  # To be told so.

    def _value(self, *command: str | bytes | int) -> Any:
        return resp.decoded(self._asked(resp.encoded(*command)))[0]

    def _touched(self, command: list[bytes]) -> tuple[frozenset[str], frozenset[str]]:
        name = command[0].upper()
        channels = frozenset(f"redis-channel:{channel.decode(errors='replace')}" for channel in command[1:])
        if name in _TELLING:
            told = frozenset({f"redis-channel:{command[1].decode(errors='replace')}", _ALL_CHANNELS})
            return told, told
        if name in _LISTENING:
            return (frozenset({_ALL_CHANNELS}) if name.startswith(b"P") or not channels else channels), frozenset()
        if name == b"FUNCTION":
            looks = len(command) > 1 and command[1].upper() in _FUNCTION_LOOKS
            return _FUNCTIONS, frozenset() if looks else _FUNCTIONS
        reads, writes = self._server.footprint(command)
        return (reads | _FUNCTIONS, writes) if name in _FUNCTION_CALLS else (reads, writes)

    def _effect(self, command: list[bytes], raw: bytes) -> bytes:
        queued = self._queued or []
        commands = queued or [command]
        reads, writes = self._footprint(commands)
        name = command[0].upper()
        if name == b"EXEC":
            reads |= self._watched  # Whether anything is done depends on them.
        if name == b"WATCH":
            self._watched |= reads | writes  # Also if the client is not told.
        effect = Effect("redis", "; ".join(map(_said, commands)), reads, writes)
        has_programs = any(one[0].upper() in _CALLS for one in commands)
        is_done = False

        def perform() -> bytes:
            nonlocal is_done
            is_done = True
            return self._heard(raw, commands, effect) if has_programs and self._run.learns else self._asked(raw)

        answer: bytes = self._run.effect(effect, perform, _told)
        if queued and not is_done:  # The server answered with an error, and dropped what it was to do.
            self._asked(resp.encoded("DISCARD"))
        self._queued = None  # Until now, so that a connection whose client dies here is not kept.
        if not self._run.plan and not self._run.is_cleared_up:
            self._note_lengths([*queued, command], writes)
        if name in {b"EXEC", b"DISCARD", b"UNWATCH"}:
            self._watched = frozenset[str]()
        return answer

    def _note_lengths(self, commands: list[list[bytes]], writes: frozenset[str]) -> None:
        """Tells the run how long what was just written lasts, so that it can be tried what happens after that."""
        if not any(command[0].upper() in _GRANTS for command in commands):
            return
        lasts = any(command[0].upper() != b"SET" or len(command) != _PLAIN_SET for command in commands)
        left_ms = self._server.left_ms([name.removeprefix(_KEY) for name in writes]) if lasts else []
        lengths = [left / 1000 for left in left_ms]
        now_s = EPOCH_S + self._run.now_s
        for word in (part for command in commands for part in command[1:]):
            lengths += _deadline(word, now_s)
        for length in lengths:
            self._run.grant(float(math.ceil(length)))

    def _connected(self) -> Connection:
        """The real connection. One that was there before the server ended has ended with it."""
        if self._real is None:
            if self._is_closed or self._life != self._server.lives:
                raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
            assert self._server.idle is not None  # noqa: S101 - else it is connected from the beginning.
            self._real = self._server.idle.take(self._greeting)
        return self._real

    def _asked(self, raw: bytes) -> bytes:
        self._server.asked += bool(raw)
        try:
            real = self._connected()
            return real.ask_up_to(raw, _MARK) if self._listens else real.ask(raw)
        except OSError as error:
            self._is_odd = True
            self._server.connect().close()  # The client is told of it, unless it is the guard's own trouble.
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer") from error

    def _footprint(self, commands: list[list[bytes]]) -> tuple[frozenset[str], frozenset[str]]:
        pairs = [self._touched(one) for one in commands]
        nothing = frozenset[str]()
        return nothing.union(*(reads for reads, _ in pairs)), nothing.union(*(writes for _, writes in pairs))

    def _heard(self, raw: bytes, commands: list[list[bytes]], effect: Effect) -> bytes:
        """Carries scripts out, and notes what they have really touched."""
        answer, called = self._server.heard(lambda: self._asked(raw))
        reads, writes = self._footprint(called)
        reads |= effect.reads & _FUNCTIONS  # Which it cannot do without.
        if len(commands) == 1:  # A script alone, which may announce too much, or too little.
            self._run.touched(reads, writes)
        else:
            self._run.touched(effect.reads | reads, effect.writes | writes)
        keys = {name for name in reads | writes if name.startswith(_KEY)}
        undeclared = sorted(keys - effect.reads - effect.writes)
        if undeclared and len(commands) == 1:
            self._run.note(f"a script touches {_key(undeclared[0])}, which it does not declare: no Redis Cluster runs it")
        return bytes(answer)


def _deadline(word: bytes, now_s: float) -> list[float]:
    """How far off the moment is that a word names in seconds or milliseconds since 1970, if it names one."""
    if not _MOMENT.fullmatch(word):
        return []
    moment_s = float(word) / (1000 if float(word) > 10**11 else 1)
    return [moment_s - now_s] if SHORTEST_DEADLINE_S < moment_s - now_s <= LONGEST_DEADLINE_S else []


def _key(name: str) -> str:
    return name.removeprefix(_KEY)


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
    if not reply:
        return "nobody waits for it any more"
    value, _ = resp.decoded(reply)
    return _plain(value)


def _plain(value: object) -> str:
    if isinstance(value, list):
        parts = cast("list[object]", value)
        return "[" + ", ".join(_plain(part) for part in parts[:MOST_PARTS]) + (", ..." if len(parts) > MOST_PARTS else "") + "]"
    if isinstance(value, bytes):
        return _word(value)
    return "nothing" if value is None else str(value)
