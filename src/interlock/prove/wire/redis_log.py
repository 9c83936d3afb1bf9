"""What a server would still know after it ends suddenly: the state at some moment, and the log of what was written since.

The log is the server's own append-only file, so that what a script or a transaction came to is in it as a real server keeps it.
With `appendfsync everysec` a machine that fails loses what was written since the last sync, up to a second. Virtual time stands
still between two waits, so which writes are that young is known exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic, sleep  # By name: they stay real, though a worker waits here.
from typing import TYPE_CHECKING, Any, Protocol

from interlock.core.errors import WorldError
from interlock.prove.wire import resp

if TYPE_CHECKING:
    from pathlib import Path

LOG_TIMEOUT_S = 10.0
_MARK = "interlock:mark"


class Asks(Protocol):
    """A connection to the server."""

    def ask(self, raw: bytes, replies: int = 1) -> bytes:
        """The bytes of the replies to the commands in `raw`."""
        ...

    def value(self, *command: str | bytes | int) -> Any:
        """The decoded reply to one command."""
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """One key as it was.

    Attributes:
        database: Its number.
        key: Its name.
        dump: Its value, in the server's own form.
        expires_ms: When it expires, in milliseconds since 1970; 0 for never.
    """

    database: int
    key: bytes
    dump: bytes
    expires_ms: int


@dataclass(slots=True)
class WriteLog:
    """The state at a moment that nothing is lost of, and what was written since.

    Attributes:
        file: The server's append-only file.
        start: Where in it the moment is.
        state: What was there then.
        marks: How long the file was whenever virtual time went on, and when that was.
    """

    file: Path
    start: int
    state: list[Kept]
    marks: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])

    def mark(self, now_s: float) -> None:
        """Notes that what is in the file was written up to now."""
        self.marks.append((now_s, self.file.stat().st_size))

    def older_than(self, moment_s: float) -> list[bytes]:
        """The writes up to a moment, each as the server logged it."""
        sizes = [size for at_s, size in self.marks if at_s <= moment_s]
        return self.writes(max(sizes, default=self.start))

    def writes(self, end: int | None = None) -> list[bytes]:
        """All writes up to a place in the file; a transaction is one."""
        with self.file.open("rb") as log:
            log.seek(self.start)
            text = log.read() if end is None else log.read(end - self.start)
        return _units(text)


def begin_log(connection: Asks, folder: Path) -> WriteLog:
    """Takes the state down, and lets the server log what is written from now on."""
    if connection.value("CONFIG", "GET", "appendonly")[1] != b"yes":
        connection.value("CONFIG", "SET", "appendonly", "yes")
        _wait_for_log(connection)
    state = _state(connection)
    connection.value("SET", _MARK, "1")  # Afterwards the file is at database 0, whatever came before.
    connection.value("DEL", _MARK)
    file = max(folder.glob("**/appendonly*.aof"), key=lambda path: path.stat().st_mtime_ns)
    return WriteLog(file, file.stat().st_size, state)


def restore(connection: Asks, state: list[Kept], writes: list[bytes]) -> None:
    """Makes the server know exactly this."""
    connection.value("FLUSHALL")
    database = 0
    for kept in state:
        if kept.database != database:
            connection.value("SELECT", kept.database)
            database = kept.database
        connection.value("RESTORE", kept.key, kept.expires_ms, kept.dump, "ABSTTL")
    connection.value("SELECT", 0)
    for write in writes:
        connection.ask(write, _count(write))
    connection.value("SELECT", 0)


def _wait_for_log(connection: Asks) -> None:
    """The server writes down what it knows first, in another process."""
    deadline = monotonic() + LOG_TIMEOUT_S
    while b"aof_rewrite_in_progress:0" not in (told := connection.value("INFO", "persistence")) or (
        b"aof_rewrite_scheduled:1" in told
    ):
        if monotonic() > deadline:
            raise WorldError(f"the Redis of this proof has not begun its log within {LOG_TIMEOUT_S:.0f} s")
        sleep(0.002)


def _state(connection: Asks) -> list[Kept]:
    told = connection.value("INFO", "keyspace").decode()
    databases = [int(line[2:].split(":")[0]) for line in told.splitlines() if line.startswith("db")]
    state: list[Kept] = []
    for database in databases:
        connection.value("SELECT", database)
        for key in connection.value("KEYS", "*"):
            dump, left_ms = connection.value("DUMP", key), connection.value("PTTL", key)
            if dump is not None:
                state.append(Kept(database, key, dump, _now_ms(connection) + left_ms if left_ms >= 0 else 0))
    connection.value("SELECT", 0)
    return state


def _now_ms(connection: Asks) -> int:
    seconds, us = connection.value("TIME")
    return int(seconds) * 1000 + int(us) // 1000


def _units(text: bytes) -> list[bytes]:
    units: list[bytes] = []
    place, begin, is_open = 0, 0, False
    while place < len(text):
        command, place = resp.read_command(text, place)
        name = command[0].upper()
        is_open = name == b"MULTI" or (is_open and name != b"EXEC")
        if not is_open and name != b"SELECT":  # Which belongs to the write that it stands before.
            units.append(text[begin:place])
            begin = place
    return units


def _count(write: bytes) -> int:
    count = place = 0
    while place < len(write):
        _, place = resp.read_command(write, place)
        count += 1
    return count
