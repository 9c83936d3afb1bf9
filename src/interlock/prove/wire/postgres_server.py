"""The database of one proof: connections to it, what a statement touches, who waits, and its state before each schedule."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from interlock.prove.clock import EPOCH_S
from interlock.prove.effect import EVERYTHING
from interlock.prove.wire.django_connections import django_connections_apart
from interlock.prove.wire.libpq import Port, controlled_libpq
from interlock.prove.wire.postgres_process import USER, postgres_process
from interlock.prove.wire.postgres_protocol import Connection, PostgresError, cancel, startup
from interlock.prove.wire.psycopg2 import controlled_psycopg2

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from interlock.prove.server_clock import ServerClock
    from interlock.prove.wire.network import Network

DATABASE = "interlock"
_SEED = "interlock_seed"
Touched = tuple[frozenset[str], frozenset[str]]

ANYTHING: Touched = (frozenset({EVERYTHING}), frozenset({EVERYTHING}))

# What the parser has locked for a statement is what the statement names, through views and rules as well.
_LOCKED = "SELECT relation::int, mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation'"
_WRITING_MODES = frozenset(
    {"RowExclusiveLock", "RowShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"}
)

_TABLES = f"""
SELECT c.oid::int, c.oid::regclass::text, EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', '{_SEED}')
  AND n.nspname NOT LIKE 'pg_temp%'
"""
_KEYS = "SELECT conrelid::int, confrelid::int, confupdtype IN ('c', 'n', 'd') FROM pg_constraint WHERE contype = 'f'"
_FAMILIES = (
    "SELECT inhrelid::int, inhparent::int FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE c.relkind IN ('r', 'p')"
)
_FUNCTIONS = """
SELECT DISTINCT proname FROM pg_proc p
WHERE pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e')
"""
_COLUMNS = """
SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
WHERE attrelid = %d AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
"""
_SEQUENCES = "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'S'"
# What ALTER DATABASE and ALTER ROLE have set: a copy of a database has none of it.
_KEEP_SETTINGS = f"""
DROP TABLE IF EXISTS pg_temp.settings;
CREATE TEMP TABLE settings AS SELECT setrole, setconfig FROM pg_db_role_setting
WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = '{DATABASE}')
"""
_SET_AGAIN = f"""
INSERT INTO pg_db_role_setting SELECT oid, setrole, setconfig FROM pg_database, pg_temp.settings WHERE datname = '{DATABASE}'
"""
_SNAPSHOTS = r"""
SELECT EXISTS (SELECT FROM pg_db_role_setting, unnest(setconfig) AS one
WHERE one ~* '^default_transaction_isolation=\W*(repeatable read|serializable)')
"""
# Whether somebody is in the middle of something, or there is something beside rows.
_IS_UNSEEN = """
SELECT EXISTS (SELECT FROM pg_locks WHERE pid <> pg_backend_pid()) OR EXISTS (SELECT FROM pg_prepared_xacts)
OR EXISTS (SELECT FROM pg_largeobject_metadata) OR EXISTS (SELECT FROM pg_class WHERE relkind IN ('m', 'f'))
"""
_WAITING = """
SELECT concat_ws(' ', locktype, relation, page, tuple, transactionid, virtualxid, classid, objid, objsubid)
FROM pg_locks WHERE NOT granted AND pid = %d
"""

# A page holds 8192 bytes, and is tidied up once nine tenths are full, which changes the order in which its rows are found.
# Tables are cut off and filled anew before that, and merely emptied otherwise: 0.2 ms instead of 5.
_WRITTEN_MOST = 3000
_ROW_HEAD = 32


@dataclass(slots=True)
class _Table:
    """A table of the team's.

    Attributes:
        name: As it is written in a statement.
        is_triggered: Whether something of the team's own happens when it is written.
        fill: What puts in it what a schedule begins with.
        refers: The tables that its foreign keys name.
        referred: The tables whose foreign keys name it.
        followed: Those of them whose rows change with its own.
        family: Its partitions, and what it is a partition of.
        rows: How many rows a schedule begins with.
    """

    name: str
    is_triggered: bool
    fill: str = ""
    refers: set[int] = field(default_factory=set[int])
    referred: set[int] = field(default_factory=set[int])
    followed: set[int] = field(default_factory=set[int])
    family: set[int] = field(default_factory=set[int])
    rows: int = 0


class Waiting(Protocol):
    """A connection whose statement waits for a lock."""

    def settle(self) -> None:
        """If the lock has been got: on to the statement's end, or to its next lock."""
        ...

    def wait_no_more(self) -> None:
        """The lock has been got, or is not asked for any more."""
        ...

    @property
    def pid(self) -> int:
        """The server's process behind it."""
        ...


class PostgresServer:
    """A running server.

    Attributes:
        path: Its socket.
        waiting: Connections whose statement waits for a lock.
        is_altered: Whether more was done than rows can undo.
        dirty: The tables that were written since the last schedule began.
        changes: How many changes its clients have made: a statement that finds no rows makes none.
        sees_snapshots: Whether a transaction may hold what it found first without having said so.
        is_laid_out: Whether its tables are there, and no more is done to the server itself.
        before_each: Called before each statement.
    """

    def __init__(self, path: Path, clock: ServerClock | None = None) -> None:
        self.path = path
        self._clock = clock
        self.waiting: list[Waiting] = []
        self._admin = self._connected_as_admin()
        self._own: Connection | None = None
        self._idle: dict[bytes, list[Connection]] = {}
        self._schema: object = None
        self._touched: dict[tuple[str, tuple[int, ...]], Touched] = {}
        self._tables: dict[int, _Table] = {}
        self._seeds: dict[str, tuple[str, int]] = {}
        self._functions: tuple[str, ...] = ()
        self._counters: list[str] = []
        self._written = self._widest = 0
        self.is_altered = self._was_altered = False
        self.dirty: set[str] = set()
        self.changes = 0
        self.sees_snapshots = False
        self.is_laid_out = True
        self.before_each: Callable[[], None] = lambda: None

    @property
    def tells_virtual_time(self) -> bool:
        """Whether the server itself is on virtual time."""
        return self._clock is not None

    def pass_time(self, seconds: float) -> None:
        """Lets virtual time pass for the server."""
        if self._clock is not None:
            self._clock.go_on(seconds)

    def close(self) -> None:
        """Ends all connections."""
        self._forget_connections()
        self._admin.close()

    def in_new_process(self) -> None:
        """The connections that were open when this process was forked are the other one's."""
        self._admin, self._own, self._idle, self.waiting = self._connected_as_admin(), None, {}, []

    def catch_up(self) -> None:
        """Other processes may have let go of locks."""
        self.settle()

    def was_elsewhere(self) -> None:
        """Other processes have written what is not known here; and altered something, if a schedule ever did."""
        self.is_altered = self._was_altered
        self.dirty.add(EVERYTHING)

    def connect(self, opening: bytes) -> Connection:
        """A connection that nobody has used, or that is as good as new."""
        idle = self._idle.get(opening)
        return idle.pop() if idle else Connection(self.path, opening)

    def give_back(self, opening: bytes, connection: Connection, *, is_in_transaction: bool) -> None:
        """Keeps a connection that does nothing for the next one who wants one like it."""
        try:
            if is_in_transaction:
                connection.rows("ROLLBACK")
            connection.rows("DISCARD ALL")
        except (OSError, PostgresError):
            connection.close()
        else:
            self._idle.setdefault(opening, []).append(connection)

    def end(self, connection: Connection) -> None:
        """Ends a connection that is in the middle of something, and waits until the server has let go of it."""
        connection.close()
        with suppress(PostgresError):
            self._admin.rows(f"SELECT pg_terminate_backend({connection.pid}, 5000)")

    def _connected_as_admin(self) -> Connection:
        return Connection(self.path, startup(user=USER, database="postgres"))

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a question of our own, which is no effect of any worker."""
        return self.own.rows(statement)

    @property
    def own(self) -> Connection:
        """Our own connection to the database."""
        if self._own is None:
            self._own = Connection(self.path, startup(user=USER, database=DATABASE))
            self._own.rows("SET client_min_messages = 'error'; SET lock_timeout = '100ms'; SET deadlock_timeout = '1h'")
        return self._own

    def lock_awaited(self, connection: Connection) -> str:
        """The lock that a connection's statement waits for; empty if it waits for none."""
        rows = self._admin.rows(_WAITING % connection.pid)
        return str(rows[0][0]) if rows else ""

    def settle(self) -> None:
        """Lets every statement that has got its lock come to its end, or to its next lock."""
        for wire in list(self.waiting):
            wire.settle()

    @property
    def contents(self) -> bytes | None:
        """All that a client could find, in bytes that are the same if it would find the same; nothing, if they do not say all.

        The rows are in the order in which they lie there, in which a client finds them that does not ask for another.
        """
        if self.is_altered or self.waiting or self.rows(_IS_UNSEEN)[0][0]:
            return None
        asked = [f"SELECT t::text FROM ONLY {table.name} t" for table in self._tables.values()]
        asked += [f"SELECT last_value, is_called FROM {name}" for (name,) in self.rows(_SEQUENCES)]
        return repr([(statement, self.rows(statement)) for statement in asked]).encode()

    def cancel(self, pid: int, request: bytes) -> None:
        """Ends the statement of a connection, if it waits for a lock.

        Args:
            pid: The process that serves the connection.
            request: The client's own message, which carries the secret.
        """
        for wire in [one for one in self.waiting if one.pid == pid]:
            cancel(self.path, request)
            wire.wait_no_more()
        self.settle()

    # What a schedule begins with.

    def lay(self, schema: object, tables: Callable[[], object]) -> None:
        """Lays the tables out, unless they lie there already.

        Args:
            schema: What tells one layout from another.
            tables: Makes them in an empty database.
        """
        if self._schema is not None and schema == self._schema:
            return
        self._fresh("template1")
        self.is_laid_out = False
        tables()
        self.is_laid_out = True
        self._admin.rows(_KEEP_SETTINGS)
        self._take_seed()
        self._schema = schema

    def clear(self) -> None:
        """Makes the database what it was when the tables were laid out, and the time what it was."""
        if self._clock is not None:
            self._clock.show(EPOCH_S)
        if self.is_altered:
            self._fresh(_SEED)
            self._admin.rows(_SET_AGAIN)
            self._look_around()
        elif self.dirty:
            self._go_back()
        self._was_altered |= self.is_altered
        self.is_altered, self.dirty = False, set()

    def has_written(self, names: frozenset[str], rows: int, size: int) -> None:
        """Notes that a statement has written some rows of some tables."""
        self.dirty |= names
        self._written += rows * (size + self._widest + _ROW_HEAD)

    def _fresh(self, template: str) -> None:
        self._forget_connections()
        self._admin.rows(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        self._admin.rows(f"CREATE DATABASE {DATABASE} TEMPLATE {template}")
        self._written = 0

    def _take_seed(self) -> None:
        """Keeps what the tables hold, so that they can be filled again at once."""
        self.rows(f"CREATE SCHEMA {_SEED}")
        self._look_around()
        for number, table in self._tables.items():
            table.rows = self.rows(f"SELECT count(*) FROM ONLY {table.name}")[0][0]
            if table.rows:
                columns = self.rows(_COLUMNS % number)[0][0]
                self.rows(f"CREATE TABLE {_SEED}.t{number} AS SELECT * FROM ONLY {table.name}")
                kept = f"SELECT {columns} FROM {_SEED}.t{number}"
                table.fill = f"INSERT INTO {table.name} ({columns}) OVERRIDING SYSTEM VALUE {kept}"
        self._seeds = {table.name: (table.fill, table.rows) for table in self._tables.values()}
        self._counters = [
            f"SELECT setval('{name}', {last}, {str(called).lower()})"
            for (name,) in self.rows(_SEQUENCES)
            for last, called in self.rows(f"SELECT last_value, is_called FROM {name}")
        ]
        self._forget_connections()
        self._admin.rows(f"DROP DATABASE IF EXISTS {_SEED}")
        self._admin.rows(f"CREATE DATABASE {_SEED} TEMPLATE {DATABASE}")

    def _look_around(self) -> None:
        """Learns which tables there are, and what is set."""
        self._touched = {}
        self.sees_snapshots = bool(self.rows(_SNAPSHOTS)[0][0])
        self._tables = {number: _Table(name, triggered) for number, name, triggered in self.rows(_TABLES)}
        for referring, referred, follows in self.rows(_KEYS):
            self._tables[referring].refers.add(referred)
            self._tables[referred].referred.add(referring)
            if follows:
                self._tables[referred].followed.add(referring)
        for part, whole in self.rows(_FAMILIES):
            self._tables[part].family.add(whole)
            self._tables[whole].family.add(part)
        for table in self._tables.values():
            table.fill, table.rows = self._seeds.get(table.name, ("", 0))
        self._functions = tuple(name for (name,) in self.rows(_FUNCTIONS))

    def _go_back(self) -> None:
        """Undoes what was written, and looks how wide the rows were."""
        named = {number for number, table in self._tables.items() if {EVERYTHING, f"postgres:{table.name}"} & self.dirty}
        cut_off = self._written > _WRITTEN_MOST
        if cut_off:
            named = self._with(named, lambda table: table.referred | table.family)
        tables = [self._tables[number] for number in sorted(named)]
        names = [table.name for table in tables]
        empty = [f"TRUNCATE {', '.join(names)}"] if cut_off and names else [f"DELETE FROM ONLY {name}" for name in names]
        look = [f"SELECT coalesce(max(pg_column_size(t)), 0) FROM {name} t" for name in names]
        fill = [table.fill for table in tables if table.fill]
        begin = ("BEGIN", "SET LOCAL session_replication_role = replica")
        rows = self.rows("; ".join([*begin, *look, *empty, *fill, *self._counters, "COMMIT"]))
        self._widest = max([self._widest, *(width for (width,) in rows[: len(names)])])
        self._written = (0 if cut_off else self._written) + sum(table.rows for table in tables) * (self._widest + _ROW_HEAD)

    def _with(self, tables: set[int], others: Callable[[_Table], set[int]]) -> set[int]:
        """The tables, with others that hang together with them, and so on."""
        found: set[int] = set()
        left = set(tables)
        while left:
            one = left.pop()
            found.add(one)
            left |= others(self._tables[one]) - found
        return found

    def _forget_connections(self) -> None:
        for connection in [*(one for some in self._idle.values() for one in some), *([self._own] if self._own else [])]:
            connection.close()
        self._idle, self._own, self._touched = {}, None, {}

    # What a statement touches.

    def touched(self, statement: str, types: tuple[int, ...]) -> Touched:
        """What a statement reads and writes, in the server's own words: the tables that its parser locks for it."""
        if self.is_altered:
            return ANYTHING
        key = (statement, types)
        if key not in self._touched:
            try:
                self._touched[key] = self._asked(statement, types)
            except PostgresError:
                return ANYTHING  # It is wrong, or somebody holds the table back.
        return self._touched[key]

    def _asked(self, statement: str, types: tuple[int, ...]) -> Touched:
        self.rows("BEGIN")
        try:
            self.own.parse(statement, types)
            locked = self.rows(_LOCKED)
        finally:
            self.rows("ROLLBACK")
        reads = self._with({table for table, _ in locked if table in self._tables}, lambda table: table.family)
        writes = {table for table, mode in locked if table in self._tables and mode in _WRITING_MODES}
        if "delete" in statement.lower():
            writes = self._with(writes, lambda table: table.referred)
        if "update" in statement.lower():
            writes = self._with(writes, lambda table: table.followed)
        writes = self._with(writes, lambda table: table.family)
        reads = reads.union(*(self._tables[table].refers for table in writes))
        if any(self._tables[table].is_triggered for table in writes) or any(name in statement for name in self._functions):
            return ANYTHING
        return self._named(reads), self._named(writes)

    def _named(self, tables: set[int]) -> frozenset[str]:
        return frozenset(f"postgres:{self._tables[table].name}" for table in tables)


class Postgres:
    """A server that is started by the first contract that wants one, and the port at which clients find it."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._open = ExitStack()
        self._server: PostgresServer | None = None
        self._port: Port | None = None

    @property
    def server(self) -> PostgresServer:
        """The server.

        Raises:
            WorldError: If there is none on this machine, or it does not start.
        """
        if self._server is None:
            server = PostgresServer(*self._open.enter_context(postgres_process(is_virtual=True)))
            self._open.callback(server.close)
            self._port = Port(self._network)
            self._open.callback(self._port.close)
            self._open.enter_context(controlled_libpq(self._network, self._port))
            self._open.enter_context(controlled_psycopg2(self._network.run, self._port))
            self._open.enter_context(django_connections_apart(self._network.run))
            server.before_each = self._port.close_those_left
            self._server = server
        return self._server

    @property
    def listens_at(self) -> tuple[str, int]:
        """Where clients find it, once it runs."""
        _ = self.server
        assert self._port is not None  # noqa: S101 - it runs.
        return self._port.address

    @property
    def address(self) -> tuple[str, int] | None:
        """Where clients find it; nothing if nobody has wanted it."""
        return self._port.address if self._port is not None else None

    def forget(self) -> None:
        """Ends the connections of a schedule."""
        if self._port is not None:
            self._port.forget()

    def close(self) -> None:
        """Ends everything."""
        self._open.close()
