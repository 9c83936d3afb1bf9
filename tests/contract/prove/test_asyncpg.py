"""asyncpg speaks to Postgres in a way of its own: it asks for what it has prepared before a batch ends, and is hung up on."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from interlock.core.verdict import Verdict
from interlock.prove.contract import contract
from interlock.prove.explore import Proof, prove
from interlock.prove.invariant import Invariant
from interlock.prove.story import story

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from interlock.prove.world import World

asyncpg: Any = import_module("asyncpg")  # It has no types.

pytestmark = pytest.mark.usefixtures("redis_server", "postgres_server")

ACCOUNTS = """
CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL);
INSERT INTO accounts VALUES (1, 100), (2, 100);
CREATE TABLE said (id serial PRIMARY KEY, text text NOT NULL);
"""


def proof_of(task: Callable[[str], Awaitable[None]], broken: Callable[[World], str | None], *, faults: int = 0) -> Proof:
    """The proof of two workers that do the same with a database."""

    @contract(workers=2, faults=faults)
    def on_a_database(world: World) -> None:
        world.given_schema(ACCOUNTS)
        dsn = world.postgres_dsn
        world.run(lambda: task(dsn))
        world.recover(lambda: None, times=1)
        world.check(Invariant("as it should be", lambda: broken(world)))

    return prove(on_a_database, budget_s=300)


def too_little_taken(world: World) -> str | None:
    found = world.sql("SELECT balance FROM accounts WHERE id = 1")
    return None if found == [(80,)] else f"the balance is {found}"


def money_made(world: World) -> str | None:
    found = world.sql("SELECT sum(balance) FROM accounts")
    return None if found == [(200,)] else f"the balances come to {found}"


async def takes(dsn: str, *, lock: str = "") -> None:
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            balance = await connection.fetchval(f"SELECT balance FROM accounts WHERE id = $1 {lock}", 1)  # noqa: S608 - a constant.
            await connection.execute("UPDATE accounts SET balance = $1 WHERE id = 1", balance - 10)
    finally:
        await connection.close()


async def takes_under_a_lock(dsn: str) -> None:
    await takes(dsn, lock="FOR UPDATE")


async def takes_by_sqlalchemy(dsn: str, *, lock: str = "") -> None:
    engine = create_async_engine(dsn.replace("postgresql://", "postgresql+asyncpg://"))
    async with engine.begin() as connection:
        query = sa.text(f"SELECT balance FROM accounts WHERE id = 1 {lock}")  # noqa: S608 - a constant.
        balance = (await connection.execute(query)).scalar_one()
        await connection.execute(sa.text("UPDATE accounts SET balance = :now WHERE id = 1"), {"now": balance - 10})
    await engine.dispose()


async def takes_by_sqlalchemy_under_a_lock(dsn: str) -> None:
    await takes_by_sqlalchemy(dsn, lock="FOR UPDATE")


async def moves(dsn: str) -> None:
    async with asyncpg.create_pool(dsn, min_size=1, max_size=2) as pool, pool.acquire() as connection, connection.transaction():
        await connection.execute("UPDATE accounts SET balance = balance - 10 WHERE id = 1")
        await connection.execute("UPDATE accounts SET balance = balance + 10 WHERE id = 2")


async def says(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.executemany("INSERT INTO said (text) VALUES ($1)", [("a",), ("b",)])
        await connection.fetchrow("INSERT INTO said (text) VALUES ($1) RETURNING id", "c")
        async with connection.transaction():
            assert len([row async for row in connection.cursor("SELECT * FROM said ORDER BY id")]) >= 3
    finally:
        await connection.close()


async def takes_and_tells(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction(isolation="repeatable_read"):
            found = await connection.fetchval("SELECT balance FROM accounts WHERE id = $1", 1)
        await connection.execute("UPDATE accounts SET balance = balance - 10 WHERE id = 1")
        await connection.execute("INSERT INTO said (text) VALUES ($1)", str(found))
    finally:
        await connection.close()


async def reads_what_may_be_locked(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("SELECT 1")  # A simple query: the other one may lock the table between it and the next.
        await connection.fetchval("SELECT balance FROM accounts WHERE id = $1", 1)
        async with connection.transaction():
            await connection.execute("LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE")
            await connection.execute("SELECT 1")
    finally:
        await connection.close()


@pytest.mark.parametrize("task", [takes, takes_by_sqlalchemy])
def test_an_update_that_is_lost_is_found(task: Callable[[str], Awaitable[None]]) -> None:
    proof = proof_of(task, too_little_taken)

    assert proof.violation is not None, proof.reason
    assert proof.violation.broken == ("the balance is [(90,)]",)


@pytest.mark.parametrize("task", [takes_under_a_lock, takes_by_sqlalchemy_under_a_lock])
def test_an_update_under_a_lock_passes(task: Callable[[str], Awaitable[None]]) -> None:
    proof = proof_of(task, too_little_taken)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")


def test_what_a_transaction_holds_from_when_it_prepared_its_first_statement_may_be_as_of_after_the_other_one() -> None:
    def somebody_found_less(world: World) -> str | None:
        found = world.sql("SELECT text FROM said ORDER BY text")
        return None if found == [("100",), ("100",)] else f"they found {found}"

    proof = proof_of(takes_and_tells, somebody_found_less)

    assert proof.violation is not None, proof.reason
    assert proof.violation.broken == ("they found [('100',), ('90',)]",)


def test_a_statement_that_is_prepared_on_a_table_that_somebody_has_locked_is_unknown_at_once() -> None:
    proof = proof_of(reads_what_may_be_locked, money_made)

    assert (proof.verdict, proof.violation) == (Verdict.UNKNOWN, None)
    assert "prepared on a table that somebody has locked" in proof.reason


def test_the_story_shows_statements_with_values_and_rows() -> None:
    proof = proof_of(takes, too_little_taken)

    assert proof.violation is not None, proof.reason
    told = "\n".join(story(proof.violation))
    assert "SELECT balance FROM accounts WHERE id = $1   [1] -> (100)" in told
    assert "UPDATE accounts SET balance = $1 WHERE id = 1   [90] -> UPDATE 1" in told


def test_a_transaction_holds_whatever_dies_or_breaks_in_it(capfd: pytest.CaptureFixture[str]) -> None:
    proof = proof_of(moves, money_made, faults=1)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")
    assert proof.placements > 10
    assert "Crashed" not in capfd.readouterr().err  # What the dead would have done is nothing to tell about.


def test_rows_that_were_written_and_not_all_asked_for_are_taken_back() -> None:
    def more_or_less_than_six(world: World) -> str | None:
        found = world.sql("SELECT count(*) FROM said")
        return None if found == [(6,)] else f"there are {found}"

    proof = proof_of(says, more_or_less_than_six)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")
    assert proof.schedules > 2


def test_a_statement_that_is_given_up_while_it_waits_for_a_lock_is_not_carried_out() -> None:
    async def takes_or_gives_up(dsn: str) -> None:
        connection = await asyncpg.connect(dsn)
        try:
            async with connection.transaction():
                await connection.execute("UPDATE accounts SET balance = balance - 10 WHERE id = 1", timeout=3)
                await asyncio.sleep(10)
                await connection.execute("INSERT INTO said (text) VALUES ('taken')")
        except TimeoutError:
            pass
        finally:
            await connection.close()

    def not_one_taken(world: World) -> str | None:
        found = world.sql("SELECT (SELECT balance FROM accounts WHERE id = 1), (SELECT count(*) FROM said)")
        return None if found == [(90, 1)] else f"the balance and the records are {found}"

    proof = proof_of(takes_or_gives_up, not_one_taken)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")


def test_a_server_that_is_asked_to_end_a_statement_that_waits_for_nobody_has_nothing_to_do() -> None:
    async def gives_up_too_late(dsn: str) -> None:
        connection = await asyncpg.connect(dsn)
        try:
            with pytest.raises(TimeoutError):
                await connection.execute("SELECT pg_sleep(0.001), balance FROM accounts WHERE id = 1", timeout=0.0)
            await connection.execute("UPDATE accounts SET balance = balance - 10 WHERE id = 1")
        finally:
            await connection.close()

    proof = proof_of(gives_up_too_late, too_little_taken)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")


@pytest.mark.parametrize("looks_first", [False, True])
def test_who_listens_before_looking_is_told_in_every_order_and_who_looks_first_is_not(looks_first: bool) -> None:  # noqa: FBT001 - both.
    async def waits_until_it_is_said(dsn: str) -> None:
        connection, heard = await asyncpg.connect(dsn), asyncio.Event()
        try:
            found = await connection.fetchval("SELECT count(*) FROM said") if looks_first else 0
            await connection.add_listener("said", lambda *_: heard.set())
            if not looks_first:
                found = await connection.fetchval("SELECT count(*) FROM said")
            if not found:
                await asyncio.wait_for(heard.wait(), 60)
            await connection.execute("UPDATE accounts SET balance = balance - 10 WHERE id = 1")
        except TimeoutError:
            pass
        finally:
            await connection.close()

    async def says_it(dsn: str) -> None:
        connection = await asyncpg.connect(dsn)
        try:
            async with connection.transaction():
                await connection.execute("INSERT INTO said (text) VALUES ('a')")
                await connection.execute("NOTIFY said")
        finally:
            await connection.close()

    @contract(faults=0)
    def one_waits_for_the_other(world: World) -> None:
        world.given_schema(ACCOUNTS)
        dsn = world.postgres_dsn
        world.run(lambda: waits_until_it_is_said(dsn), lambda: says_it(dsn))
        world.recover(lambda: None, times=1)

        def broken() -> str | None:
            found = world.sql("SELECT balance FROM accounts WHERE id = 1")
            return None if found == [(90,)] else f"the balance is {found}"

        world.check(Invariant("it was heard", broken))

    proof = prove(one_waits_for_the_other, budget_s=300)

    assert proof.verdict is (Verdict.FAIL if looks_first else Verdict.PASS), proof.reason
