"""A Redis of our own for one proof: on a socket in a folder of its own, empty before each schedule, gone afterwards.

A server that somebody else uses is never touched: there is no way to give one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.core.errors import WorldError
from interlock.prove.clock import EPOCH_S
from interlock.prove.server_clock import ServerClock, compiled_clock
from interlock.prove.watchdog import end_with_parent
from interlock.prove.wire import resp
from interlock.prove.wire.footprints import Footprints
from interlock.prove.wire.idle import IdleConnections
from interlock.prove.wire.listener import Listener
from interlock.prove.wire.redis_command import CALLS, PROGRAMS, TELLING, brought
from interlock.prove.wire.redis_connection import Connection
from interlock.prove.wire.redis_contents import redis_contents
from interlock.prove.wire.redis_log import begin_log, restore

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from interlock.prove.wire.redis_log import WriteLog

START_TIMEOUT_S = 10.0
# Jemalloc's thread waits until a time on the wall clock. On one that stands still in the past, it never sleeps.
THREADLESS = ("--jemalloc-bg-thread", "no")
LONGEST_SOCKET = 107 if sys.platform == "linux" else 103  # unix(7).


class RedisServer:
    """A running server.

    Args:
        path: Its socket.
        clock: What it takes for the time; none if that is real, and only what expires can be made to do so sooner.

    Attributes:
        lives: How often it has ended and come back, as far as this process knows.
        told: How often somebody who listens may have been told something.
        footprints: What commands touch.
        missed: Which processes were told of which scripts, by their digests, that they may be missing.
        idle: Connections that are kept from schedule to schedule; none in a copy of the process, which runs one schedule alone.
        has_programs: Whether it may keep scripts or functions. To make it forget them takes as long as three commands.
        scripts: The digests of all scripts that were ever brought to it, whether it still knows them or not.
    """

    def __init__(self, path: Path, clock: ServerClock | None = None) -> None:
        self.path = path
        self._own = Connection(path)
        self.idle: IdleConnections | None = IdleConnections(self.connect)
        self.lives = self.told = 0
        self._clock = clock
        self._passed_s = 0.0
        self._own_changes = 0
        self._log: WriteLog | None = None
        self.missed: set[tuple[int, str]] = set()
        self.has_programs = True
        self.scripts: set[str] = set()
        self._forget_programs = [resp.encoded(*command) for command in self._forgetting()]
        self._listener: Listener | None = None
        self._is_behind = True
        self.footprints = Footprints(lambda *command: self._own.value(*command))  # noqa: PLW0108 - another one in a new process.

    def in_new_process(self) -> None:
        """The connections that were open when this process was forked are the other one's."""
        self._own, self.idle = Connection(self.path), None

    def catch_up(self) -> None:
        """The server knows what other processes have done."""

    def was_elsewhere(self) -> None:
        """It is emptied before each schedule, whoever has written."""
        self.has_programs = self._is_behind = True

    def connect(self) -> Connection:
        """Another connection.

        Raises:
            WorldError: If the server has ended, which nobody meant it to.
        """
        try:
            return Connection(self.path)
        except OSError as error:
            raise WorldError(f"the Redis of this proof has ended: {error}") from error

    @property
    def moment(self) -> tuple[int, int] | None:
        """Changes whenever the server may have something new to tell; none if others may have asked it."""
        return (self.lives, self.told) if self.idle is not None else None

    def close(self) -> None:
        """Ends the connections that are its own."""
        self._own.close()
        self._let_idle_go()
        self._stop_listening()

    def clear(self) -> None:
        """Forgets everything, scripts too: no schedule knows what an earlier one has loaded. It is the first moment again."""
        if self._clock is not None:
            self._passed_s = 0.0
            self._clock.show(EPOCH_S)
        self._log = None
        self.missed.clear()
        programs, self.has_programs = self._forget_programs if self.has_programs else [], False
        self._own.ask(_FORGET + b"".join(programs), 1 + len(programs))

    def pass_time(self, seconds: float) -> None:
        """Lets virtual time pass: for the server as a whole, or else for whatever expires."""
        if self._log is not None:
            self._log.mark(self._passed_s)
        self._passed_s += seconds
        if self._clock is not None:
            self._clock.show(EPOCH_S + self._passed_s)
        else:
            self._is_behind = True
            with self._uncounted():
                self._own.value("EVAL", _AGE, 0, int(seconds * 1000))

    @property
    def changes(self) -> int:
        """How many changes its clients have made: a command that finds nothing to change makes none."""
        return self._changes() - self._own_changes

    def _changes(self) -> int:
        told = self._own.value("INFO", "persistence").partition(b"rdb_changes_since_last_save:")[2]
        return int(told.split(b"\r\n", 1)[0])

    @contextmanager
    def _uncounted(self) -> Generator[None]:
        """What is changed meanwhile is our own doing."""
        before = self._changes()
        yield
        self._own_changes += self._changes() - before

    @property
    def contents(self) -> bytes:
        """All that a client could find, in bytes that are the same if it would find the same."""
        has_functions = self.has_programs and len(self._forget_programs) > 1
        return redis_contents(self._own, self.scripts if self.has_programs else (), has_functions=has_functions)

    def remember(self) -> None:
        """Lets nothing be lost of what is there now, whatever happens, and notes what is written from now on."""
        with self._uncounted():
            self._log = begin_log(self._own, self.path.parent)

    def restart(self, lost_s: float) -> None:
        """Ends, and is back with what was written until `lost_s` ago. Loaded scripts are gone, functions are not."""
        log = self._remembered()
        self._come_back(log, log.older_than(self._passed_s - lost_s) if lost_s else log.writes())

    def fail_over(self, behind: int) -> None:
        """Ends, and another server takes its place, that has not heard of the last writes."""
        log = self._remembered()
        self._come_back(log, log.writes()[:-behind])

    def _come_back(self, log: WriteLog, writes: list[bytes]) -> None:
        self._own.value("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        self._stop_listening()  # That connection is ended too, and made anew when it is needed.
        self._let_idle_go()
        self.lives += 1
        self._own.value("SCRIPT", "FLUSH")
        with self._uncounted():
            restore(self._own, log.state, writes)
        self.remember()

    def _let_idle_go(self) -> None:
        if self.idle is not None:
            self.idle.close()

    def _remembered(self) -> WriteLog:
        assert self._log is not None  # noqa: S101 - a run whose plan has such a fault lets the server remember.
        return self._log

    @property
    def tells_virtual_time(self) -> bool:
        """Whether the server itself is on virtual time."""
        return self._clock is not None

    def agrees(self) -> bool:
        """Whether the server tells the time that its clock shows; a binary that was linked statically, say, does not."""
        if self._clock is None:
            return True
        seconds, us = (int(part) for part in self._own.value("TIME"))
        return seconds * 10**6 + us == self._clock.shown_us

    def value(self, *command: str | bytes | int) -> Any:
        """The reply to a question of our own, which is no effect of any worker."""
        name = resp.text(command[0]).upper()
        self.has_programs = self.has_programs or name in PROGRAMS
        self.scripts.update(brought([resp.text(part) for part in command]))
        self.note(tells=name in TELLING or name in CALLS, runs_unheard=name in CALLS)
        return self._own.value(*command)

    def left_ms(self, keys: Sequence[str]) -> list[int]:
        """How long those of the keys last that end by themselves."""
        told = self._own.ask(b"".join(resp.encoded("PTTL", key) for key in keys), len(keys))
        found, place = list[int](), 0
        for _ in keys:
            left, place = resp.decoded(told, place)
            found += [left] if isinstance(left, int) and left > 0 else []
        return found

    def heard(self, perform: Callable[[], Any]) -> tuple[Any, list[list[bytes]]]:
        """What came of something, and the commands that scripts called meanwhile."""
        try:
            if self._listener is None:
                self._listener = Listener(self.connect(), lambda mark: self._own.value("ECHO", mark))
            is_behind, self._is_behind = self._is_behind, True
            told = self._listener.heard(perform, is_behind=is_behind)
        except WorldError:
            self._stop_listening()
            raise
        self._is_behind = False
        return told

    def note(self, *, tells: bool, runs_unheard: bool = False) -> None:
        """Notes what a client has carried out, or is about to.

        Args:
            tells: Whether whoever listens may be told something by it.
            runs_unheard: Whether a script runs in it, and nobody looks at what that calls.
        """
        self.told += tells
        self._is_behind = self._is_behind or runs_unheard

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _forgetting(self) -> list[tuple[str, ...]]:
        """The commands that forget scripts and functions, which are younger than Redis 6.2."""
        has_functions = self._own.value("COMMAND", "INFO", "FUNCTION") != [None]
        return [("SCRIPT", "FLUSH"), *([("FUNCTION", "FLUSH")] if has_functions else [])]


_FORGET = resp.encoded("FLUSHALL")

# Everything that expires does so that much sooner.
_AGE = """
local cursor = '0'
repeat
  local found = redis.call('SCAN', cursor, 'COUNT', 1000)
  cursor = found[1]
  for _, key in ipairs(found[2]) do
    local left = redis.call('PTTL', key)
    if left >= 0 then redis.call('PEXPIRE', key, math.max(0, left - ARGV[1])) end
  end
until cursor == '0'
"""


@contextmanager
def running_redis(binary: str | None = None) -> Generator[RedisServer]:
    """A server for as long as the block lasts, on virtual time if this machine can make it so.

    Args:
        binary: The server's program; by default the machine's redis-server, or valkey-server.

    Raises:
        WorldError: If there is none on this machine, or it does not start.
    """
    binary = binary or shutil.which("redis-server") or shutil.which("valkey-server")
    if binary is None:
        raise WorldError("no redis-server on this machine (apt-get install redis-server), and no proof without one")
    library = compiled_clock()
    with ExitStack() as stack:
        server = stack.enter_context(_running(binary, library))
        if not server.agrees():
            stack.close()
            server = stack.enter_context(_running(binary, None))
        yield server


@contextmanager
def _running(binary: str, library: Path | None) -> Generator[RedisServer]:
    with tempfile.TemporaryDirectory(prefix="interlock-") as folder, ExitStack() as stack:
        path = Path(folder, "redis")
        if len(os.fsencode(path)) > LONGEST_SOCKET:
            raise WorldError(f"{path} is too long for the name of a socket; set TMPDIR to a shorter folder")
        clock = stack.enter_context(closing(ServerClock(Path(folder), library, EPOCH_S))) if library else None
        environment = {**os.environ, **(clock.environment if clock else {})}
        command = [binary, "--port", "0", "--unixsocket", str(path), "--dir", folder, "--save", "", "--appendonly", "no"]
        command += ["--appendfsync", "no", "--auto-aof-rewrite-percentage", "0"]  # For when it is asked to remember.
        command += THREADLESS
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - it makes one system call.
        )
        try:
            _wait(process, path)
            with closing(RedisServer(path, clock)) as server:
                yield server
        finally:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], path: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            connection = Connection(path)
            connection.value("PING")
            connection.close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise WorldError(f"redis-server did not answer within {START_TIMEOUT_S:.0f} s") from None
            time.sleep(0.005)
        else:
            return
