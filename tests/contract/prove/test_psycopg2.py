"""psycopg2 waits where it is told to, so that its statements are steps like those of any other client."""

from __future__ import annotations

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

pytestmark = pytest.mark.usefixtures("redis_server", "postgres_server")

ACCOUNTS = "CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL); INSERT INTO accounts VALUES (1, 100), (2, 100)"


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


def moves(dsn: str) -> None:
    connection = psycopg2.connect(dsn)
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE accounts SET balance = balance - 10 WHERE id = 1")
        cursor.execute("UPDATE accounts SET balance = balance + 10 WHERE id = 2")


@pytest.mark.parametrize("task", [takes, takes_by_sqlalchemy])
def test_an_update_that_is_lost_is_found(task: Callable[[str], None]) -> None:
    proof = proof_of(task, [(80,), (100,)])

    assert proof.violation is not None, proof.reason
    assert proof.violation.broken == ("found [(90,), (100,)]",)


@pytest.mark.parametrize("task", [takes_under_a_lock, takes_by_sqlalchemy_under_a_lock])
def test_an_update_under_a_lock_passes(task: Callable[[str], None]) -> None:
    proof = proof_of(task, [(80,), (100,)])

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")


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
    ("connect", "reason"),
    [
        (lambda _: psycopg2.connect("host=db.example port=5433"), "a Postgres connection to db.example port 5433"),
        (lambda dsn: psycopg2.connect(dsn, async_=1), "psycopg2 in its asynchronous mode"),
    ],
)
def test_what_passes_by_is_unknown(connect: Callable[[str], object], reason: str) -> None:
    def passes_by(dsn: str) -> None:
        connect(dsn)

    proof = proof_of(passes_by, [])

    assert proof.verdict is Verdict.UNKNOWN
    assert reason in proof.reason


def test_outside_of_a_proof_it_waits_as_it_did() -> None:
    extensions: Any = import_module("psycopg2.extensions")
    connect = psycopg2._connect  # noqa: SLF001 - what is changed for a proof.

    proof_of(takes, [])

    assert extensions.get_wait_callback() is None
    assert psycopg2._connect is connect  # noqa: SLF001 - as above.
