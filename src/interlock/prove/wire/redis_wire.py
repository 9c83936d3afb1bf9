"""One client connection to Redis: each command is an effect, really carried out on the server of the proof."""

from __future__ import annotations

import errno
import math
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from interlock.prove.clock import EPOCH_S
from interlock.prove.wire import resp
from interlock.prove.wire.deadlines import left_s
from interlock.prove.wire.footprints import KEY, programs
from interlock.prove.wire.redis_command import LISTENING, TELLING, commands, shortened
from interlock.prove.wire.redis_waits import Waiting, waiting

if TYPE_CHECKING:
    from interlock.prove.effect import Effect
    from interlock.prove.scheduler import Run
    from interlock.prove.wire.redis_command import Command
    from interlock.prove.wire.redis_connection import Connection
    from interlock.prove.wire.redis_server import RedisServer

_MARK = b"interlock"
_REAL_CLOCK = "the server is asked for its TIME, which is real: there is no C compiler here to put it on virtual time (cc)"
MOST_PARTS = 6
_NOTHING = frozenset[str]()
_LISTEN_NO_MORE = b"".join(resp.encoded(command) for command in sorted(LISTENING) if b"UNSUB" in command)


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
        self._queued: list[Command] | None = None
        self._is_resp3 = self._listens = self._is_left = self._is_odd = self._is_closed = False
        self._news = b""
        self._heard_at: object = None
        self.patience_s: float | None = None
        self._watched = _NOTHING
        self.expects = ""

    def sent(self, data: bytes) -> bytes:
        """Carries out the commands that are complete now; answers with the bytes of their replies."""
        sent, self._buffer = commands(self._buffer + data)
        return b"".join([self._carried_out(command) for command in sent])

    def has_news(self) -> bool:
        """Whether there is a message. None can have come if nobody has told anybody anything."""
        if self._listens and not self._news:
            moment = self._server.moment
            if moment is None or moment != self._heard_at:
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
        """Ends the real connection, and the server drops its WATCH and MULTI; or keeps it, if nothing is pending on it.

        Whoever publishes afterwards tells this one nothing any more.
        """
        real, self._real, self._is_closed = self._real, None, True  # It is closed by its client, and at the end again.
        if real is None:
            return
        is_clean = self._queued is None and not (self._watched or self._is_left or self._is_odd)
        if self._server.idle is not None and is_clean and self._life == self._server.lives:
            if self._listens:
                real.ask_up_to(_LISTEN_NO_MORE, _MARK)
            self._server.idle.give(self._greeting, real)
            return
        real.close()
        if self._listens:
            self._server.value("PING")  # By the time it answers, it has seen the connection's end.

    left = lost = close

    def _carried_out(self, command: Command) -> bytes:
        self._check_followed(command)
        if command.may_wait and self._queued is None and (wait := self._waiting(command)) is not None:
            return self._waited(command, wait)
        if command.loads:
            self._server.has_programs = True
            self._server.scripts.update(command.brings)
        if command.listens:
            self._listen(command)
        if command.name == b"MULTI":
            self._queued = []
        elif self._queued is not None and command.name not in {b"EXEC", b"DISCARD"}:
            self._queued.append(command)  # Nothing happens before EXEC.
        elif not command.is_setup and not self._is_loaded_again(command):
            return self._effect(command)
        elif command.is_greeting:
            return self._greeted(command)
        return self._missed(command, self._asked(command.raw))

    def _is_loaded_again(self, command: Command) -> bool:
        """Whether a client loads a script that it has found missing: it does well whoever else has loaded it meanwhile."""
        return command.is_load and (self._run.current().process, *command.scripts) in self._server.missed

    def _missed(self, command: Command, answer: bytes) -> bytes:
        """Notes of which scripts the client's process is told that they may be missing."""
        if command.scripts and (answer.startswith(b"-NOSCRIPT") or command.is_setup):
            process = self._run.current().process
            self._server.missed |= {(process, script) for script in command.scripts}
        return answer

    def _listen(self, command: Command) -> None:
        if not self._listens:
            self._run.keep(self)
        self._listens, self.expects = True, "a message"
        self._run.hear(self._server.footprints.of(command.parts)[0])

    def _check_followed(self, command: Command) -> None:
        if command.asks_time and not self._server.tells_virtual_time:
            raise self._run.uncontrolled(_REAL_CLOCK)
        if command.not_followed:
            said = b" ".join(command.parts[:2]).decode(errors="replace")
            what = f"a client that {command.not_followed}, of which this guard does not know what follows"
            raise self._run.uncontrolled(f"{said}: {what}")

    def _greeted(self, command: Command) -> bytes:
        if command.name == b"HELLO":
            self._is_resp3 = command.parts[1:2] == [b"3"]
        if self._real is None and self._life == self._server.lives and (idle := self._server.idle) is not None:
            self._greeting += (command.raw,)
            return idle.greeted(self._greeting)
        self._is_odd = self._is_odd or command.name != b"PING"  # It was set up anew, after it was used.
        return self._asked(command.raw)

    def _waiting(self, command: Command) -> Waiting | None:
        try:
            return waiting(command.parts, self._value)
        except (ValueError, IndexError):
            return None

    def _waited(self, command: Command, wait: Waiting) -> bytes:
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

        effect = self._server.footprints.announced((command,))
        answer: bytes = self._run.effect(effect, perform, _told, until=lambda: self._can_go_on(wait), seconds=seconds)
        return answer

    def _can_go_on(self, wait: Waiting) -> bool:
        try:
            return self._is_left or not wait.is_vain(self._value)
        except ConnectionResetError:
            return True  # To be told so.

    def _value(self, *command: str | bytes | int) -> Any:
        return resp.decoded(self._asked(resp.encoded(*command)))[0]

    def _effect(self, command: Command) -> bytes:
        queued = self._queued or []
        together = tuple(queued) or (command,)
        effect = self._server.footprints.announced(together)
        if command.name == b"EXEC" and self._watched:
            effect = replace(effect, reads=effect.reads | self._watched)  # Whether anything is done depends on them.
        if command.name == b"WATCH":
            self._watched |= effect.reads | effect.writes  # Also if the client is not told.
        has_programs = any(one.calls for one in queued) if queued else command.calls
        tells = has_programs or (any(one.tells for one in queued) if queued else command.tells)
        is_done = False

        def perform() -> bytes:
            nonlocal is_done
            is_done = True
            if has_programs and self._run.learns:
                return self._heard(command.raw, together, effect)
            if tells:
                self._server.note(tells=True, runs_unheard=has_programs)
            if command.is_load and self._run.learns and self._server.value("SCRIPT", "EXISTS", *command.scripts) == [1]:
                self._run.touched(effect.reads | effect.writes, frozenset())  # It is there already.
            return self._asked(command.raw)

        answer: bytes = self._run.effect(effect, perform, _told)
        if queued and not is_done:  # The server answered with an error, and dropped what it was to do.
            self._asked(resp.encoded("DISCARD"))
        self._queued = None  # Until now, so that a connection whose client dies here is not kept.
        if (queued or command.grants_alone) and not self._run.plan and not self._run.is_cleared_up:
            self._note_lengths([*queued, command], effect.writes)
        if command.name in {b"EXEC", b"DISCARD", b"UNWATCH"}:
            self._watched = _NOTHING
        return self._missed(command, answer)

    def _note_lengths(self, written: list[Command], writes: frozenset[str]) -> None:
        """Tells the run how long what was just written lasts, so that it can be tried what happens after that."""
        if not any(command.grants for command in written):
            return
        lasts = any(command.lasts for command in written)
        left_ms = self._server.left_ms([name.removeprefix(KEY) for name in writes]) if lasts else []
        lengths = [left / 1000 for left in left_ms]
        now_s = EPOCH_S + self._run.now_s
        lengths += left_s((moment_s for command in written for moment_s in command.moments_s), now_s)
        for length in lengths:
            self._run.grant(float(math.ceil(length)))

    def _connected(self) -> Connection:
        """The real connection, from now on. After its client has closed it, or the server has ended, there is none."""
        if self._is_closed or self._life != self._server.lives:
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        assert self._server.idle is not None  # noqa: S101 - else it is connected from the beginning.
        self._real = self._server.idle.take(self._greeting)
        return self._real

    def _asked(self, raw: bytes) -> bytes:
        try:
            real = self._real or self._connected()
            if not self._listens:
                return real.ask(raw)
            self._heard_at = self._server.moment
            return real.ask_up_to(raw, _MARK)
        except OSError as error:
            self._is_odd = True
            self._server.connect().close()  # The client is told of it, unless it is the guard's own trouble.
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer") from error

    def _heard(self, raw: bytes, together: tuple[Command, ...], effect: Effect) -> bytes:
        """Carries scripts out, and notes what they have really touched."""
        answer, called = self._server.heard(lambda: self._asked(raw))
        self._server.note(tells=any(one.tells for one in together) or any(part[0].upper() in TELLING for part in called))
        reads, writes = self._server.footprints.together(called)
        reads |= programs(effect.reads)  # Which it cannot do without.
        if len(together) == 1:  # A script alone, which may announce too much, or too little.
            self._run.touched(reads, writes)
        else:
            self._run.touched(effect.reads | reads, effect.writes | writes)
        keys = {name for name in reads | writes if name.startswith(KEY)}
        undeclared = sorted(keys - effect.reads - effect.writes)
        if undeclared and len(together) == 1:
            self._run.note(f"a script touches {_key(undeclared[0])}, which it does not declare: no Redis Cluster runs it")
        return bytes(answer)


def _key(name: str) -> str:
    return name.removeprefix(KEY)


@lru_cache(maxsize=4096)
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
        return shortened(value)
    return "nothing" if value is None else str(value)
