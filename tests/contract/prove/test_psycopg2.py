"""psycopg2 waits where it is told to, so that its statements are steps like those of any other client."""

from __future__ import annotations

import io
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from interlock.core.verdict import Verdict
from interlock.prove.contract import contract
from interlock.prove.explore import Proof, prove
from interlock.prove.invariant import Invariant
from interlock.prove.story import story

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.world import World

psycopg2: Any = import_module("psycopg2")  # It has no types.
extensions: Any = import_module("psycopg2.extensions")
extras: Any = import_module("psycopg2.extras")

pytestmark = pytest.mark.usefixtures("redis_server", "postgres_server")

ACCOUNTS = """
CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL);
INSERT INTO accounts VALUES (1, 100), (2, 100);
CREATE TABLE prices (n int);
"""


def proof_of(task: Callable[[str], None], expected: list[tuple[int]], *, faults: int = 0) -> Proof:
    """The proof of two workers that do the same with a database, in which the balances are then to be these."""

    @contract(workers=2, faults=faults)
    def on_a_database(world: World) -> None:
        world.given_schema(ACCOUNTS)
        dsn = world.postgres_dsn
        query = "SELECT sum(balance) FROM accounts" if faults else "SELECT balance FROM accounts ORDER BY id"

        def broken() -> str | None:
            found = world.sql(query)
            return None if found == expected else f"found {found}"

        world.run(lambda: task(dsn))
        world.recover(lambda: None, times=1)
        world.check(Invariant("as it should be", broken))

    return prove(on_a_database, budget_s=300)


def takes(dsn: str, *, lock: str = "") -> None:
    connection = psycopg2.connect(dsn)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT balance FROM accounts WHERE id = %s {lock}", (1,))  # noqa: S608 - a constant.
        (balance,) = cursor.fetchone()
        cursor.execute("UPDATE accounts SET balance = %s WHERE id = 1", (balance - 10,))
    connection.close()


def takes_under_a_lock(dsn: str) -> None:
    takes(dsn, lock="FOR UPDATE")


def takes_by_sqlalchemy(dsn: str, *, lock: str = "") -> None:
    engine = sa.create_engine(dsn.replace("postgresql://", "postgresql+psycopg2://"))
    with engine.begin() as connection:
        balance = connection.execute(sa.text(f"SELECT balance FROM accounts WHERE id = 1 {lock}")).scalar_one()  # noqa: S608 - a constant.
        connection.execute(sa.text("UPDATE accounts SET balance = :now WHERE id = 1"), {"now": balance - 10})
    engine.dispose()


def takes_by_sqlalchemy_under_a_lock(dsn: str) -> None:
    takes_by_sqlalchemy(dsn, lock="FOR UPDATE")


def copies(connection: Any, **options: Any) -> None:
    with connection.cursor(**options) as cursor:
        cursor.copy_expert("COPY accounts FROM STDIN", io.StringIO("3\t100\n"))


def moves(dsn: str) -> None:
    connection = psycopg2.connect(dsn)
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE accounts SET balance = balance - 10 WHERE id = 1")
        cursor.execute("UPDATE accounts SET balance = balance + 10 WHERE id = 2")


def takes_by_a_named_cursor(dsn: str, *, lock: str = "") -> None:
    connection = psycopg2.connect(dsn)
    with connection, connection.cursor("balances") as found, connection.cursor() as cursor:
        found.execute(f"SELECT id, balance FROM accounts ORDER BY id {lock}")  # noqa: S608 - a constant.
        ((_, balance), _) = found
        cursor.execute("UPDATE accounts SET balance = %s WHERE id = 1", (balance - 10,))
    connection.close()


def takes_by_a_named_cursor_under_a_lock(dsn: str) -> None:
    takes_by_a_named_cursor(dsn, lock="FOR UPDATE")


@pytest.mark.parametrize("task", [takes, takes_by_sqlalchemy, takes_by_a_named_cursor])
def test_an_update_that_is_lost_is_found(task: Callable[[str], None]) -> None:
    proof = proof_of(task, [(80,), (100,)])

    assert proof.violation is not None, proof.reason
    assert proof.violation.broken == ("found [(90,), (100,)]",)


@pytest.mark.parametrize("task", [takes_under_a_lock, takes_by_sqlalchemy_under_a_lock, takes_by_a_named_cursor_under_a_lock])
def test_an_update_under_a_lock_passes(task: Callable[[str], None]) -> None:
    proof = proof_of(task, [(80,), (100,)])

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")


def test_what_a_cursor_fetches_matters_to_those_who_write_it_and_to_nobody_else() -> None:
    def schedules_with(query: str) -> int:
        def looks_and_takes(dsn: str) -> None:
            connection = psycopg2.connect(dsn)
            connection.autocommit = True
            with connection.cursor("found", withhold=True) as found, connection.cursor() as cursor:
                found.execute(query)
                found.fetchall()
                cursor.execute("UPDATE accounts SET balance = balance - 10 WHERE id = 1")
            connection.close()

        proof = proof_of(looks_and_takes, [(80,), (100,)])
        assert (proof.verdict, proof.reason) == (Verdict.PASS, "")
        return proof.schedules

    assert schedules_with("SELECT n FROM prices") < schedules_with("SELECT balance FROM accounts")


def test_the_story_shows_statements_and_rows() -> None:
    proof = proof_of(takes, [(80,), (100,)])

    assert proof.violation is not None, proof.reason
    told = "\n".join(story(proof.violation))
    assert "SELECT balance FROM accounts WHERE id = 1 -> (100)" in told
    assert "UPDATE accounts SET balance = 90 WHERE id = 1 -> UPDATE 1" in told


def test_a_transaction_holds_whatever_dies_or_breaks_in_it() -> None:
    proof = proof_of(moves, [(200,)], faults=1)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")
    assert proof.placements > 10


@pytest.mark.parametrize(
    ("passes_by", "reason"),
    [
        (lambda _: psycopg2.connect("host=db.example port=5433"), "a Postgres connection to db.example port 5433"),
        (lambda dsn: psycopg2.connect(dsn, async_=1), "psycopg2 in its asynchronous mode"),
        (extensions.connection, "a connection of psycopg2 that `psycopg2.connect` has not made"),
        (lambda dsn: psycopg2.connect(dsn).cancel(), "psycopg2's cancel"),
        (lambda dsn: psycopg2.connect(dsn).lobject(), "psycopg2's lobject"),
        (
            lambda dsn: psycopg2.connect(dsn).cursor().execute("LISTEN jobs"),
            "psycopg2 listens: a notification comes while it does not wait",
        ),
        (lambda dsn: copies(psycopg2.connect(dsn)), "psycopg2's copy_expert"),
        (lambda dsn: copies(psycopg2.connect(dsn), cursor_factory=extras.DictCursor), "psycopg2's copy_expert"),
        (lambda dsn: copies(psycopg2.connect(dsn, cursor_factory=extras.DictCursor)), "psycopg2's copy_expert"),
        (lambda dsn: copies(psycopg2.connect(dsn, connection_factory=extras.DictConnection)), "psycopg2's copy_expert"),
    ],
)
def test_what_passes_by_is_unknown(passes_by: Callable[[str], object], reason: str) -> None:
    def passes_by_and_goes_on(dsn: str) -> None:
        with suppress(psycopg2.Error):  # A module that takes what psycopg2 refuses for an error of the database.
            passes_by(dsn)

    proof = proof_of(passes_by_and_goes_on, [(100,), (100,)])

    assert proof.verdict is Verdict.UNKNOWN
    assert reason in proof.reason


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cursor_factory": extras.DictCursor},
        {"connection_factory": extras.DictConnection},
        {"connection_factory": extras.RealDictConnection, "cursor_factory": extras.DictCursor},
    ],
    ids=repr,
)
def test_connections_and_cursors_are_what_a_module_has_asked_for(options: dict[str, type]) -> None:
    def looks(dsn: str) -> None:
        connection = psycopg2.connect(dsn, **options)
        with connection, connection.cursor() as cursor, connection.cursor("named") as named:
            assert isinstance(connection, options.get("connection_factory", extensions.connection))
            assert isinstance(cursor, options.get("cursor_factory", extras.DictCursor if options else extensions.cursor))
            cursor.execute("UPDATE accounts SET balance = balance - 1 WHERE id = 1 RETURNING balance")
            named.execute("SELECT balance FROM accounts WHERE id = 2")
            assert cursor.fetchone()["balance" if options else 0] + named.fetchone()[0] < 200
        connection.close()

    proof = proof_of(looks, [(98,), (100,)])

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")


def test_outside_of_a_proof_it_waits_as_it_did() -> None:
    connect = psycopg2._connect  # noqa: SLF001 - what is changed for a proof.

    proof_of(takes, [])

    assert extensions.get_wait_callback() is None
    assert psycopg2._connect is connect  # noqa: SLF001 - as above.
