"""One client connection to Postgres: each statement is an effect, really carried out on the server of the proof.

Read from the protocol's own messages, it is the same for every client. A statement that has to wait for a lock is two effects:
it begins, and it goes on once it has got the lock. When that is, the server decides: what the lock's holder does lets it go on,
and nobody else acts before it has come to its end or to another lock.
"""

from __future__ import annotations

import errno
import math
import struct
from typing import TYPE_CHECKING

from interlock.prove.clock import EPOCH_S
from interlock.prove.effect import EVERYTHING, LOCKS, Effect
from interlock.prove.wire.postgres_protocol import (
    CANCEL_REQUEST,
    GSS_REQUEST,
    SSL_REQUEST,
    Message,
    fields_of,
    message,
    read_message,
    text_at,
)
from interlock.prove.wire.postgres_server import ANYTHING
from interlock.prove.wire.postgres_statements import (
    SNAPSHOTS,
    TIMEOUTS,
    Batch,
    answer_of,
    answers_to,
    bound,
    exactly_of,
    lengths_of,
    parsed,
    read,
    said_of,
    split,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.effect import Uncontrolled
    from interlock.prove.scheduler import Run
    from interlock.prove.wire.postgres_protocol import Connection
    from interlock.prove.wire.postgres_server import PostgresServer, Touched
    from interlock.prove.wire.postgres_statements import Statement, Types, Values

# What concerns nobody else.
_OWN = frozenset({"SET", "SHOW", "RESET", "DISCARD", "DEALLOCATE", "SAVEPOINT", "RELEASE", "BEGIN", "START", "CLOSE"})
_LISTENING = frozenset({"LISTEN", "UNLISTEN"})
_ENDS = frozenset({"COMMIT", "END", "ROLLBACK", "ABORT"})
_FETCHES = frozenset({"FETCH", "MOVE"})
_QUERIES = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "VALUES", "TABLE", "MERGE"})
_REAL_CLOCK = "Postgres is asked for its time, which is real: there is no C compiler here to put it on virtual time (cc)"
_COMPLETE = frozenset({b"C", b"s"})
_ENOUGH = b"SELECT 1\0"  # As many rows as the client has asked for: how many more there are, nobody says.
_BATCH_ENDS = frozenset({b"Q", b"S", b"F", b"c", b"f"})
_NOTHING = frozenset[str]()


class PostgresWire:
    """What stands behind one controlled connection.

    Args:
        run: The schedule.
        server: Where statements are carried out.
    """

    def __init__(self, run: Run, server: PostgresServer) -> None:
        self._run = run
        self._server = server
        self._real: Connection | None = None
        self._opening = b""
        self._buffer = b""
        self._batch = Batch()
        self._prepared: dict[str, tuple[Statement, Types]] = {}
        self._portals: dict[str, tuple[Statement, Types, Values]] = {}
        self._state = b"I"
        self._wrote: set[str] = set()
        self._cursors: dict[str, Touched] = {}
        self._reply = b""
        self._lock = ""
        self._sees_snapshots = self._has_snapshot = False
        self._is_orphan = self._is_closed = self._is_stuck = False
        self.patience_s: float | None = None
        self.expects = ""

    # What the client sees.

    def sent(self, data: bytes) -> bytes:
        """Carries out the statements that are complete now."""
        if self._is_closed:
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        self._buffer += data
        told = b""
        while (one := read_message(self._buffer, 0, is_first=self._real is None)) is not None:
            self._buffer = self._buffer[len(one.raw) :]
            told += self._opened(one) if self._real is None else self._taken(one)
        return told

    def has_news(self) -> bool:
        """Whether somebody has notified, or the server has hung up, as the client asked it to."""
        if self._is_closed:
            return True
        if not self.expects or self._real is None or self._lock:
            return bool(self._reply)
        if not self._reply:
            # An empty statement brings up whatever the server wants to say.
            self._real.socket.sendall(message(b"Q", b"\0"))
            self._reply = b"".join(one.raw for one in self._until_ready() if one.kind == b"A")
        return bool(self._reply)

    def news(self) -> bytes:
        """The notifications; nothing, once there is no connection any more."""
        told, self._reply = self._reply, b""
        return told

    def left(self) -> None:
        """The process ends: the server rolls back what was not committed."""
        if self._real is not None and self._state != b"I" and not self._is_closed:
            effect = Effect("postgres", "the connection ends: ROLLBACK", self._footprint(), self._footprint())
            self._run.effect(effect, self.close, lambda _: "")

    def lost(self) -> None:
        """The process is killed. A statement that waits for a lock does not know, and will be carried out."""
        if self._lock:
            self._is_orphan = True
        else:
            self.close()

    def leave(self) -> None:
        """What has begun is done to its end."""

    def close(self) -> None:
        """Ends the connection: the server rolls back what was not committed."""
        if self._real is None or self._is_closed:
            return
        self._is_closed = True
        if self in self._server.waiting:
            self._server.waiting.remove(self)
        if self._lock or self._is_stuck:
            self._lock = ""
            self._server.end(self._real)
        else:
            self._server.give_back(self._opening, self._real, is_in_transaction=self._state != b"I")
        self._server.settle()

    # How a connection begins.

    def _opened(self, first: Message) -> bytes:
        (code,) = struct.unpack_from("!i", first.body)
        if code in {SSL_REQUEST, GSS_REQUEST}:
            return b"N"
        if code == CANCEL_REQUEST:
            return self._cancelled(first)
        if TIMEOUTS.search(first.raw.decode(errors="replace")):
            raise self._run.uncontrolled("a timeout of Postgres's own, whose clock is the real one, is set for a connection")
        self._sees_snapshots = self._server.sees_snapshots or bool(SNAPSHOTS.search(first.raw.decode(errors="replace")))
        self._opening, self._real = first.raw, self._server.connect(first.raw)
        self._run.keep(self)
        return self._real.greeting

    def _cancelled(self, request: Message) -> bytes:
        """A client gives up: its statement ends, if it still waits for a lock. Otherwise it is over already."""
        self._is_closed = True
        _, pid = struct.unpack_from("!ii", request.body)
        effect = Effect("postgres", "cancels its statement", frozenset({LOCKS}), frozenset({LOCKS}))
        self._run.effect(effect, lambda: self._server.cancel(pid, request.raw), lambda _: "")
        return b""

    # What it says then.

    def _taken(self, one: Message) -> bytes:
        batch = self._batch
        batch.raw += one.raw
        match one.kind:
            case b"Q":
                batch.statements += [(read(text), (), ()) for text in split(text_at(one.body, 0)[0])]
            case b"P":
                name, statement, types = parsed(one.body)
                self._prepared[name] = (statement, types)
                batch.prepared.append(statement)
            case b"B":
                self._bind(one.body)
            case b"E":
                batch.statements.append(self._portals.get(text_at(one.body, 0)[0], (read("EXECUTE"), (), ())))
            case b"X":
                self._end_by_client()
                return b""
            case b"H":
                return self._prepared_only()
            case b"d":
                return b""  # Rows of a COPY.
            case _:
                pass
        if one.kind not in _BATCH_ENDS:
            return b""
        self._batch = Batch()
        return self._carried_out(batch)

    def _bind(self, body: bytes) -> None:
        portal, name, values = bound(body)
        statement, types = self._prepared.get(name) or (read("EXECUTE"), ())
        self._portals[portal] = (statement, types, values)

    def _prepared_only(self) -> bytes:
        """A client asks what the server says of statements that it has prepared, before it ends the batch: asyncpg does."""
        batch, self._batch = self._batch, Batch()
        if batch.statements:
            raise self._run.uncontrolled("a Postgres client asks for answers in the middle of a batch (Flush)")
        return self._prepare(batch, lambda: self._described(batch.raw))

    def _prepare(self, batch: Batch, told: Callable[[], bytes]) -> bytes:
        """Nothing is carried out, so it is no effect, unless from here on the transaction finds what there is now.

        To understand a statement the server looks at the database, and what a transaction has seen first it holds. Source:
        "Transaction Isolation" in Postgres's documentation, and `exec_parse_message` in its source.
        """
        if not self._sees_snapshots or self._has_snapshot or not batch.prepared:
            return told()
        self._has_snapshot = True
        said = f"prepares {'; '.join(one.short for one in batch.prepared)}"
        return bytes(self._run.effect(Effect("postgres", said, frozenset({EVERYTHING, LOCKS}), _NOTHING), told, lambda _: ""))

    def _described(self, raw: bytes) -> bytes:
        """What the server says of it. After an error it passes over everything up to the end of the batch, which is to come."""
        assert self._real is not None  # noqa: S101 - it is open.
        self._real.socket.sendall(raw)
        told, awaited = b"", answers_to(raw)
        while awaited:
            try:
                one = self._real.receive(may_be_silent=True)
            except TimeoutError:
                if self._server.lock_awaited(self._real):
                    raise self._locked_out() from None
                continue
            told += one.raw
            awaited = [] if one.kind == b"E" else awaited[one.kind in awaited[0] :]
        return told

    def _asked_at_once(self, raw: bytes) -> bytes:
        """The server's answer to what needs no turn of its own."""
        told, is_whole = self._asked(raw)
        if not is_whole:
            raise self._locked_out()
        return told

    def _locked_out(self) -> Uncontrolled:
        self._is_stuck = True
        return self._run.uncontrolled("a statement is prepared on a table that somebody has locked")

    def _end_by_client(self) -> None:
        self.left()
        self.close()

    def _carried_out(self, batch: Batch) -> bytes:
        statements = [statement for statement, _, _ in batch.statements]
        for one in statements:
            self._check_followed(one)
        words = {one.word for one in statements}
        if "LISTEN" in words:
            self.expects = "a notification"
            self._run.hear(frozenset({LOCKS}))
        self._sees_snapshots = self._sees_snapshots or any(one.sees_snapshots for one in statements)
        if words <= _OWN:
            return self._prepare(batch, lambda: self._asked_at_once(batch.raw))
        reads, writes = self._batch_touched(batch)
        said = "; ".join(said_of(one, values) for one, _, values in batch.statements if one.word not in {"BEGIN", "START"})
        told, is_whole = self._run.effect(
            Effect("postgres", said, reads | {LOCKS}, writes, exactly=exactly_of(said, batch)),
            lambda: self._asked(batch.raw, writes),
            lambda reply: answer_of(reply[0], is_whole=reply[1]),
        )
        if not self._run.plan and not self._run.is_cleared_up:
            self._note_lengths(batch)
        if not is_whole:
            goes_on = Effect("postgres", f"{said}   -- goes on", reads | {LOCKS}, writes)
            rest = self._run.effect(goes_on, self.news, lambda rest: answer_of(rest, is_whole=True), until=self._goes_on)
            told += rest
        return bytes(told)

    def _note_lengths(self, batch: Batch) -> None:
        """Tells the run how long what was named here lasts, so that it can be tried what happens after that."""
        for statement, _, values in batch.statements:
            for length in lengths_of(statement, values, EPOCH_S + self._run.now_s):
                self._run.grant(float(math.ceil(length)))

    def _check_followed(self, one: Statement) -> None:
        if one.sets_timeout:
            raise self._run.uncontrolled(f"{one.text.strip()[:60]}: a timeout of Postgres's own, whose clock is the real one")
        if one.outlives and self._server.is_laid_out:
            raise self._run.uncontrolled(f"{one.text.strip()[:60]}: a change of the server itself, which outlives a schedule")
        if one.asks_time and not self._server.tells_virtual_time:
            raise self._run.uncontrolled(_REAL_CLOCK)

    # What it touches.

    def _batch_touched(self, batch: Batch) -> Touched:
        reads, writes = _NOTHING, _NOTHING
        for statement, types, _ in batch.statements:
            some_reads, some_writes = self._touched(statement, types)
            reads, writes = reads | some_reads, writes | some_writes
        if self._sees_snapshots and not self._has_snapshot:  # What later statements find was settled by the first one.
            reads, self._has_snapshot = reads | {EVERYTHING}, True
        return reads, writes

    def _touched(self, statement: Statement, types: Types) -> Touched:
        word = statement.word
        if word in _OWN:
            return _NOTHING, _NOTHING
        if word in _ENDS:
            return self._footprint(), self._footprint()
        if word in _LISTENING:  # From then on, or from the end of the transaction on, notifications come.
            self._wrote.add(LOCKS)
            return _NOTHING, frozenset({LOCKS})
        if word in _FETCHES:  # It goes on with what a cursor of this connection has begun.
            return self._cursors.get(statement.short.split()[-1], ANYTHING)
        if word not in _QUERIES and not statement.declared:
            return ANYTHING
        reads, writes = self._server.touched(statement.declared or statement.text, types)
        if statement.calls:
            writes |= {LOCKS}
        self._wrote |= writes
        if statement.declared:
            self._cursors[statement.short.split()[1]] = reads, writes
        return reads, writes

    def _footprint(self) -> frozenset[str]:
        """What the end of the transaction shows to others, and whom it lets go on, or fails: a reader may be one too many."""
        return frozenset({*self._wrote, LOCKS}) if self._wrote or self._sees_snapshots else frozenset()

    # How it is carried out.

    def _asked(self, raw: bytes, writes: frozenset[str] = frozenset()) -> tuple[bytes, bool]:
        """The server's answer, and whether it is whole: if not, the statement waits for a lock."""
        assert self._real is not None  # noqa: S101 - it is open.
        self._server.before_each()
        self._real.socket.sendall(raw)
        told = self._until_ready_or_waiting(writes, len(raw))
        if self._lock:
            self._server.waiting.append(self)
            return told, False
        self._server.settle()
        return told, True

    def _goes_on(self) -> bool:
        """Whether the lock has been got, and what came then is over."""
        if self._lock:
            self.settle()
        return not self._lock

    def settle(self) -> None:
        """If the lock has been got: on to the statement's end, or to its next lock."""
        assert self._real is not None  # noqa: S101 - it is open.
        while self._lock and self._server.lock_awaited(self._real) != self._lock:
            self.wait_no_more()

    def wait_no_more(self) -> None:
        """The lock has been got, or is not asked for any more."""
        self._lock = ""
        self._reply += self._until_ready_or_waiting(frozenset(), 0)
        if not self._lock:
            self._server.waiting.remove(self)
            if self._is_orphan:
                self.close()

    @property
    def pid(self) -> int:
        """The server's process behind it; none before it is open."""
        return self._real.pid if self._real is not None else 0

    def _until_ready(self) -> list[Message]:
        assert self._real is not None  # noqa: S101 - it is open.
        told = [self._real.receive()]
        while told[-1].kind != b"Z":
            told.append(self._real.receive())
        return told

    def _until_ready_or_waiting(self, writes: frozenset[str], size: int) -> bytes:
        """What the server says up to the end of the batch, or until it waits for a lock."""
        assert self._real is not None  # noqa: S101 - it is open.
        told = b""
        while True:
            try:
                one = self._real.receive(may_be_silent=True)
            except TimeoutError:
                self._lock = self._server.lock_awaited(self._real)
                if self._lock:
                    return told
                continue
            if one.kind == b"N" and _is_about_locks(one):
                if "still waiting" in fields_of(one.body)["M"]:
                    self._lock = self._server.lock_awaited(self._real)
                    if self._lock:
                        return told
                continue
            told += one.raw
            if one.kind in _COMPLETE:
                self._completed(text_at(one.body or _ENOUGH, 0)[0], writes, size)
            if one.kind in {b"G", b"H", b"W"}:
                self._is_stuck = True
                raise self._run.uncontrolled("COPY, whose rows go past the order of effects")
            if one.kind == b"Z":
                self._ready(one.body)
                return told

    def _completed(self, tag: str, writes: frozenset[str], size: int) -> None:
        word, *rest = tag.split()
        if word in {"INSERT", "UPDATE", "DELETE", "MERGE"}:
            self._server.has_written(writes, int(rest[-1]), size)
            self._server.changes += int(rest[-1])
        elif word == "SELECT":
            self._server.has_written(writes, 1 if writes else 0, size)
            self._server.changes += int(rest[-1]) if writes - {LOCKS} else 0  # A function that writes, or rows that are locked.
        elif word == "NOTIFY":
            self._server.changes += 1
        elif word in {
            "CREATE",
            "ALTER",
            "DROP",
            "TRUNCATE",
            "COPY",
            "PREPARE",
            "VACUUM",
            "REINDEX",
            "GRANT",
            "REVOKE",
            "COMMENT",
            "DO",
        }:
            self._server.is_altered = self._server.is_altered or tag != "PREPARE"
            self._server.changes += tag != "PREPARE"

    def _ready(self, state: bytes) -> None:
        self._state = state
        if state == b"I":
            self._wrote, self._has_snapshot = set(), False


def _is_about_locks(one: Message) -> bool:
    fields = fields_of(one.body)
    return fields.get("V") == "LOG" and fields.get("R") == "ProcSleep"
