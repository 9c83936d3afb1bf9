"""A Postgres of our own for one trial, and the databases in it. No address of somebody else's is ever taken."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from interlock.prove.wire.postgres_process import USER, postgres_process
from interlock.prove.wire.postgres_protocol import Connection, startup

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

_TEST: Final = "test_"  # Django's tests run in the database of this name.
_CALM_S: Final = 5.0
_TOUCHED: Final = """
SELECT relid::regclass::text FROM pg_stat_user_tables
WHERE coalesce(seq_scan, 0) + coalesce(idx_scan, 0) + n_tup_ins + n_tup_upd + n_tup_del > 0
"""


class Database:
    """One database of the trial.

    Attributes:
        name: Its name.
        socket: The path of the server's socket.
    """

    def __init__(self, name: str, socket: Path) -> None:
        self.name = name
        self.socket = socket
        self._connection: Connection | None = None

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Carries statements out; answers with the rows of all of them. Names of tables come with their schema.

        Raises:
            PostgresError: If the server refuses.
        """
        if self._connection is None:
            self._connection = Connection(self.socket, startup(user=USER, database=self.name))
            self._connection.rows("SET client_min_messages = 'error'; SET search_path = ''")
        return self._connection.rows(statement)

    def close(self) -> None:
        """Leaves it; whoever asks it again comes back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def run_script(self, text: str) -> None:
        """Carries a team's own SQL out, with the search path that it expects.

        Raises:
            PostgresError: If the server refuses.
        """
        self.close()
        try:
            self.rows(f"SET search_path = public;\n{text}")
        finally:
            self.close()  # With all that it has set.

    def forget_touched(self) -> None:
        """Begins to count anew what is read and written. Nobody may be in it."""
        self.rows("SELECT pg_stat_reset()")

    def touched(self) -> set[str]:
        """The tables that were read or written, as the server has counted."""
        return {str(name) for (name,) in self.rows(_TOUCHED)}


def variables(folder: Path, name: str) -> dict[str, str]:
    """What libpq takes instead of an address.

    Args:
        folder: Where the server's socket lies.
        name: Of the database.
    """
    return {"PGHOST": str(folder), "PGPORT": "5432", "PGUSER": USER, "PGDATABASE": name}


class Server:
    """A running server."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._admin = Database("postgres", socket)
        self._known: dict[str, Database] = {}

    def close(self) -> None:
        """Leaves every database."""
        for database in (self._admin, *self._known.values()):
            database.close()

    def database(self, name: str, copied_from: Database | None = None) -> Database:
        """A new database in the place of one of this name: an empty one, or a copy. Nobody may be in what is copied.

        Statistics begin at nothing.
        """
        if copied_from is not None:
            self.leave(copied_from)
        if name in self._known:
            self._known[name].close()
        self._admin.rows(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self._admin.rows(f'CREATE DATABASE "{name}" TEMPLATE "{copied_from.name if copied_from else "template1"}"')
        self._known[name] = Database(name, self._socket)
        return self._known[name]

    def test_copy(self, of: Database) -> Database:
        """A copy under the name that Django's tests look for."""
        return self.database(f"{_TEST}{of.name}", of)

    def leave(self, *databases: Database) -> None:
        """Sees to it that nobody is in some databases any more, and that the server has counted what was done there."""
        for database in databases:
            database.close()
        ends_s = time.monotonic() + _CALM_S
        while there := self._others(*databases):
            if time.monotonic() > ends_s:
                for pid in there:
                    self._admin.rows(f"SELECT pg_terminate_backend({pid}, 5000)")
            time.sleep(0.005)

    def _others(self, *databases: Database) -> list[int]:
        """The connections of others to some databases."""
        names = {database.name for database in databases}
        found = self._admin.rows("SELECT pid, datname::text FROM pg_stat_activity WHERE pid != pg_backend_pid()")
        return [int(pid) for pid, name in found if name in names]

    def has(self, databases: Iterable[Database]) -> bool:
        """Whether some databases are there: tests can drop the one that they run in."""
        known = {name for (name,) in self._admin.rows("SELECT datname::text FROM pg_database")}
        return all(database.name in known for database in databases)


@contextmanager
def server() -> Generator[Server]:
    """A server for as long as the block lasts.

    Raises:
        WorldError: If there is no Postgres on this machine, or it does not start.
    """
    with postgres_process() as (socket, _):
        found = Server(socket)
        try:
            yield found
        finally:
            found.close()
