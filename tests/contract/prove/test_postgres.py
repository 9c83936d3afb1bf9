from __future__ import annotations

import asyncio
import itertools
import os
import shutil
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import redis
import sqlalchemy as sa
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import orm

from interlock.core.verdict import Verdict
from interlock.prove.contract import contract
from interlock.prove.explore import Proof, prove, watched
from interlock.prove.invariant import Invariant
from interlock.prove.story import story

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.world import World

django_db: Any = import_module("django.db")  # It has no types.

ACCOUNTS = """
CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL);
INSERT INTO accounts VALUES (1, 100), (2, 100);
CREATE TABLE users (id int, name text);
CREATE TABLE audit (id serial PRIMARY KEY, said text);
"""


@pytest.fixture(autouse=True)
def _servers() -> None:
    has_redis = shutil.which("redis-server") or shutil.which("valkey-server")
    if not has_redis or not (shutil.which("postgres") or list(Path("/usr/lib/postgresql").glob("*/bin/postgres"))):
        message = "NOT RUN: no postgres or no redis-server on this machine (make servers)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


def proof_of(
    *tasks: Callable[[str], object],
    expected: str,
    is_so: Callable[[World], bool],
    faults: int = 0,
    workers: int = 2,
    schema: str | Callable[[str], object] = ACCOUNTS,
) -> Proof:
    """The proof of workers that are given the address of a database."""

    @contract(workers=workers, faults=faults)
    def on_a_database(world: World) -> None:
        dsn = world.postgres_dsn
        world.given_schema(schema if isinstance(schema, str) else lambda: schema(dsn))
        world.run(*(lambda task=task: task(dsn) for task in tasks))
        world.recover(lambda: None, times=1)
        world.check(Invariant(expected, lambda: None if is_so(world) else f"not so: {expected}"))

    return prove(on_a_database, budget_s=300)


def first_balance(expected: int) -> Callable[[World], bool]:
    return lambda world: world.sql("SELECT balance FROM accounts WHERE id = 1") == [(expected,)]


def number(cursor: Any) -> int:
    """The one value that a query gives."""
    (value,) = cursor.fetchone()
    return int(value)


def reads_then_writes(dsn: str, *, lock: str = "") -> None:
    with psycopg.connect(dsn) as connection:
        query = "SELECT balance FROM accounts WHERE id = %s " + lock  # noqa: S608 - no value in it.
        balance = number(connection.execute(query, (1,)))
        connection.execute("UPDATE accounts SET balance = %s WHERE id = %s", (balance - 10, 1))


def locks_then_writes(dsn: str) -> None:
    reads_then_writes(dsn, lock="FOR UPDATE")


def writes_at_once(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("UPDATE accounts SET balance = balance - 10 WHERE id = 1")


async def reads_then_writes_async(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        cursor = await connection.execute("SELECT balance FROM accounts WHERE id = 1")
        balance = (await cursor.fetchone() or [0])[0]
        await connection.execute("UPDATE accounts SET balance = %s WHERE id = 1", (balance - 10,))


async def locks_then_writes_async(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        cursor = await connection.execute("SELECT balance FROM accounts WHERE id = 1 FOR UPDATE")
        balance = (await cursor.fetchone() or [0])[0]
        await connection.execute("UPDATE accounts SET balance = %s WHERE id = 1", (balance - 10,))


async def by_a_pool(dsn: str, *, lock: str = "") -> None:
    async with AsyncConnectionPool(dsn, min_size=1, max_size=2) as pool, pool.connection() as connection:
        query = "SELECT balance FROM accounts WHERE id = %s " + lock  # noqa: S608 - no value in it.
        cursor = await connection.execute(query, (1,))
        balance = (await cursor.fetchone() or [0])[0]
        await connection.execute("UPDATE accounts SET balance = %s WHERE id = 1", (balance - 10,))


async def by_a_pool_with_a_lock(dsn: str) -> None:
    await by_a_pool(dsn, lock="FOR UPDATE")


class Base(orm.DeclarativeBase):
    """What SQLAlchemy makes tables of."""


class Account(Base):
    """An account, for SQLAlchemy."""

    __tablename__ = "accounts"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    balance: orm.Mapped[int]


def engine(dsn: str) -> sa.Engine:
    return sa.create_engine(dsn.replace("postgresql://", "postgresql+psycopg://"))


def made_by_sqlalchemy(dsn: str) -> None:
    Base.metadata.create_all(engine(dsn))
    with orm.Session(engine(dsn)) as session:
        session.add(Account(id=1, balance=100))
        session.commit()


def by_sqlalchemy(dsn: str, *, lock: bool = False) -> None:
    with orm.Session(engine(dsn)) as session:
        account = session.get_one(Account, 1, with_for_update=lock)
        account.balance -= 10
        session.commit()


def by_sqlalchemy_with_a_lock(dsn: str) -> None:
    by_sqlalchemy(dsn, lock=True)


def django_account(dsn: str) -> Any:
    """The model, of which Django allows only one in a process, on the database of the proof."""
    settings, models, where = import_module("django.conf").settings, import_module("django.db.models"), sa.make_url(dsn)
    database = {"HOST": where.host, "PORT": where.port, "USER": where.username, "NAME": where.database}
    if not settings.configured:
        settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", **database}}, USE_TZ=True)
        import_module("django").setup()
    django_db.connections.settings["default"].update(database)
    if not hasattr(django_account, "model"):
        meta = type("Meta", (), {"app_label": "bank", "db_table": "accounts"})
        fields = {
            "__module__": __name__,
            "Meta": meta,
            "id": models.IntegerField(primary_key=True),
            "balance": models.IntegerField(),
        }
        django_account.model = type("DjangoAccount", (models.Model,), fields)  # type: ignore[attr-defined]
    return django_account.model  # type: ignore[attr-defined]


def by_django(dsn: str, *, lock: bool = False) -> None:
    model = django_account(dsn)
    with django_db.transaction.atomic():
        accounts = model.objects.select_for_update() if lock else model.objects
        account = accounts.get(pk=1)
        account.balance -= 10
        account.save()


def by_django_with_a_lock(dsn: str) -> None:
    by_django(dsn, lock=True)


@pytest.mark.parametrize("task", [reads_then_writes, reads_then_writes_async, by_a_pool, by_sqlalchemy, by_django])
def test_an_update_that_is_lost_is_found(task: Callable[[str], object]) -> None:
    proof = proof_of(task, expected="20 are taken", is_so=first_balance(80))

    assert proof.violation is not None, proof.reason
    assert proof.violation.broken == ("not so: 20 are taken",)


@pytest.mark.parametrize(
    "task",
    [
        locks_then_writes,
        writes_at_once,
        locks_then_writes_async,
        by_a_pool_with_a_lock,
        by_sqlalchemy_with_a_lock,
        by_django_with_a_lock,
    ],
)
def test_an_update_under_a_lock_passes(task: Callable[[str], object]) -> None:
    proof = proof_of(task, expected="20 are taken", is_so=first_balance(80))

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")


def test_the_story_shows_statements_with_values_and_who_waits() -> None:
    proof = proof_of(reads_then_writes, expected="20 are taken", is_so=first_balance(80))

    assert proof.violation is not None
    told = "\n".join(story(proof.violation))
    assert "SELECT balance FROM accounts WHERE id = $1   [1] -> (100)" in told
    assert "UPDATE accounts SET balance = $1 WHERE id = $2   [90, 1]" in told


def test_the_next_id_by_hand_is_found() -> None:
    def signs_up(dsn: str) -> None:
        with psycopg.connect(dsn) as connection:
            highest = number(connection.execute("SELECT coalesce(max(id), 0) + 1 FROM users"))
            connection.execute("INSERT INTO users VALUES (%s, 'x')", (highest,))

    proof = proof_of(
        signs_up, expected="ids differ", is_so=lambda world: world.sql("SELECT count(DISTINCT id) FROM users") == [(2,)]
    )

    assert proof.violation is not None


def transfers(seen: set[str], source: int, target: int) -> Callable[[str], None]:
    def transfer(dsn: str) -> None:
        try:
            with psycopg.connect(dsn) as connection:
                connection.execute("UPDATE accounts SET balance = balance - 1 WHERE id = %s", (source,))
                connection.execute("UPDATE accounts SET balance = balance + 1 WHERE id = %s", (target,))
        except psycopg.errors.DeadlockDetected as error:
            seen.add(f"{source} to {target}: {error.sqlstate}")

    return transfer


def test_deadlocks_are_explored_with_either_victim() -> None:
    seen: set[str] = set()
    proof = proof_of(
        transfers(seen, 1, 2),
        transfers(seen, 2, 1),
        expected="nothing is lost",
        is_so=lambda world: world.sql("SELECT sum(balance) FROM accounts") == [(200,)],
    )

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")
    assert seen == {"1 to 2: 40P01", "2 to 1: 40P01"}


def test_a_deadlock_that_nobody_expects_breaks_a_contract() -> None:
    def transfer(source: int, target: int) -> Callable[[str], None]:
        def moved(dsn: str) -> None:
            with psycopg.connect(dsn) as connection:
                connection.execute("UPDATE accounts SET balance = balance - 1 WHERE id = %s", (source,))
                connection.execute("UPDATE accounts SET balance = balance + 1 WHERE id = %s", (target,))
                connection.execute("INSERT INTO audit (said) VALUES ('moved')")

        return moved

    proof = proof_of(
        transfer(1, 2),
        transfer(2, 1),
        expected="both moved",
        is_so=lambda world: world.sql("SELECT count(*) FROM audit") == [(2,)],
    )

    assert proof.violation is not None
    assert "deadlock detected" in "\n".join(story(proof.violation))


def test_workers_that_skip_what_is_locked_take_each_item_once() -> None:
    schema = "CREATE TABLE jobs (id int PRIMARY KEY, taken int NOT NULL DEFAULT 0); INSERT INTO jobs VALUES (1), (2)"

    def takes(dsn: str) -> None:
        with psycopg.connect(dsn) as connection:
            row = connection.execute(
                "SELECT id FROM jobs WHERE taken = 0 ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"
            ).fetchone()
            connection.execute("UPDATE jobs SET taken = taken + 1 WHERE id = %s", row)

    proof = proof_of(
        takes,
        schema=schema,
        expected="each once",
        is_so=lambda world: world.sql("SELECT max(taken), sum(taken) FROM jobs") == [(1, 2)],
    )

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")


def test_who_is_killed_lets_go_of_its_locks_and_what_it_has_not_committed() -> None:
    proof = proof_of(
        locks_then_writes,
        expected="10 or 20",
        is_so=lambda world: world.sql("SELECT balance FROM accounts WHERE id = 1")[0][0] in {80, 90, 100},
        faults=1,
    )

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")
    assert proof.schedules > 30


def test_a_lost_reply_to_a_commit_is_a_commit() -> None:
    def tries_twice(dsn: str) -> None:
        for _ in range(2):
            try:
                writes_at_once(dsn)
            except psycopg.OperationalError:
                continue
            break

    def once_at_most(world: World) -> bool:
        return bool(world.sql("SELECT balance FROM accounts WHERE id = 1")[0][0] >= 90)

    proof = proof_of(tries_twice, expected="10 are taken at most", is_so=once_at_most, faults=1, workers=1)

    assert proof.violation is not None
    assert [step.fault for step in proof.violation.steps if step.fault] == ["lost reply"]


def test_serializable_transactions_are_refused_rather_than_wrong() -> None:
    def careful(dsn: str) -> None:
        with psycopg.connect(dsn) as connection:
            connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
            try:
                balance = number(connection.execute("SELECT balance FROM accounts WHERE id = 1"))
                connection.execute("UPDATE accounts SET balance = %s WHERE id = 1", (balance - 10,))
                connection.commit()
                connection.execute("INSERT INTO audit (said) VALUES ('taken')")
            except psycopg.errors.SerializationFailure:
                connection.rollback()

    def as_told(world: World) -> bool:
        (balance,), (taken,) = (
            world.sql("SELECT balance FROM accounts WHERE id = 1")[0],
            world.sql("SELECT count(*) FROM audit")[0],
        )
        return bool(balance == 100 - 10 * taken)

    proof = proof_of(careful, expected="what was told was done", is_so=as_told)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")


def test_an_advisory_lock_is_seen() -> None:
    def alone(dsn: str) -> None:
        with psycopg.connect(dsn) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(7)")
            balance = number(connection.execute("SELECT balance FROM accounts WHERE id = 1"))
            connection.execute("UPDATE accounts SET balance = %s WHERE id = 1", (balance - 10,))

    proof = proof_of(alone, expected="20 are taken", is_so=first_balance(80))

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")


def test_a_notification_reaches_who_listens() -> None:
    heard: list[object] = []

    def listens(dsn: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("LISTEN paid")
            heard.append([note.payload for note in connection.notifies(timeout=60, stop_after=1)])

    def notifies(dsn: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("NOTIFY paid, 'p1'")

    proof = proof_of(listens, notifies, expected="it ends", is_so=lambda _: True)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")
    assert ["p1"] in heard


def test_a_notification_comes_between_any_two_effects_of_who_listens() -> None:
    """On another server, too."""
    noticed_after: set[int | None] = set()

    @contract(workers=2, faults=0)
    def somebody_is_told(world: World) -> None:
        dsn, url = world.postgres_dsn, world.redis_url

        def listens() -> None:
            client = redis.Redis.from_url(url)
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute("LISTEN paid")
                found = None
                for number in range(3):
                    client.set(f"own:{number}", 1)
                    found = number if list(connection.notifies(timeout=0)) else found
            noticed_after.add(found)

        def notifies() -> None:
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute("SELECT pg_notify('paid', '')")

        world.run(listens, notifies)
        world.recover(lambda: None, times=1)
        world.check(Invariant("it ends", lambda: None))

    proof = prove(somebody_is_told, budget_s=300)

    assert (proof.verdict, proof.bounds) == (Verdict.PASS, ["all interleavings of 2 workers"])
    assert noticed_after == {None, 0, 1, 2}


def polls(dsn: str, account: int) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("SELECT pg_try_advisory_lock(7)")
        connection.execute("SELECT id FROM accounts WHERE id = %s FOR UPDATE SKIP LOCKED", (account,))
        connection.execute("UPDATE accounts SET balance = balance - 10 WHERE id = %s", (account,))


@pytest.mark.parametrize(("account", "verdict"), [(1, Verdict.PASS), (3, Verdict.UNKNOWN)])
def test_workers_that_find_no_row_to_change_are_unknown(account: int, verdict: Verdict) -> None:
    proof = proof_of(lambda dsn: polls(dsn, account), expected="it ends", is_so=lambda _: True)

    assert (proof.verdict, proof.reason.startswith("the workers changed nothing, in ")) == (verdict, verdict is Verdict.UNKNOWN)


@pytest.mark.parametrize("made", [made_by_sqlalchemy])
def test_tables_that_a_library_lays_out_are_there_in_every_schedule(made: Callable[[str], object]) -> None:
    proof = proof_of(by_sqlalchemy_with_a_lock, schema=made, expected="20 are taken", is_so=first_balance(80))

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")


def test_what_a_schedule_has_altered_is_undone_before_the_next() -> None:
    def alters(dsn: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("CREATE TABLE mine (id int)")
            connection.execute("INSERT INTO audit (said) VALUES ('made')")
            connection.execute("DROP TABLE users")

    proof = proof_of(alters, workers=1, expected="id 1", is_so=lambda world: world.sql("SELECT id FROM audit") == [(1,)])

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")
    assert proof.schedules > 1


def test_what_touches_other_tables_is_run_in_one_order_but_for_commits() -> None:
    def writes(table: str) -> Callable[[str], None]:
        def write(dsn: str) -> None:
            with psycopg.connect(dsn, autocommit=True) as connection:
                for _ in range(3):
                    connection.execute(f"INSERT INTO {table} DEFAULT VALUES")

        return write

    proof = proof_of(writes("users"), writes("audit"), expected="it ends", is_so=lambda _: True)

    assert proof.verdict is Verdict.PASS
    assert proof.schedules < 20  # So many orders there are, and each pass of the search would run them.


@pytest.mark.parametrize(
    ("statement", "reason"),
    [("SET lock_timeout = '1s'", "a timeout of Postgres's own"), ("COPY users TO STDOUT", "COPY, whose rows")],
)
def test_what_the_server_does_by_its_own_clock_or_past_us_is_unknown(statement: str, reason: str) -> None:
    def task(dsn: str) -> None:
        with psycopg.connect(dsn) as connection:
            connection.execute(statement)

    proof = proof_of(task, expected="it ends", is_so=lambda _: True)

    assert proof.verdict is Verdict.UNKNOWN
    assert reason in proof.reason


def test_another_database_is_unknown() -> None:
    proof = proof_of(
        lambda _: psycopg.connect("postgresql://somebody@127.0.0.1:1/theirs").close(), expected="it ends", is_so=lambda _: True
    )

    assert proof.verdict is Verdict.UNKNOWN
    assert "127.0.0.1 port 1, which the contract does not know" in proof.reason


def test_tasks_of_one_event_loop_deadlock_as_processes_do() -> None:
    seen: set[str] = set()

    async def transfer(dsn: str, source: int, target: int) -> None:
        try:
            async with await psycopg.AsyncConnection.connect(dsn) as connection:
                await connection.execute("UPDATE accounts SET balance = balance - 1 WHERE id = %s", (source,))
                await connection.execute("UPDATE accounts SET balance = balance + 1 WHERE id = %s", (target,))
        except psycopg.errors.DeadlockDetected:
            seen.add("deadlock")

    async def both(dsn: str) -> None:
        await asyncio.gather(transfer(dsn, 1, 2), transfer(dsn, 2, 1))

    proof = proof_of(
        both,
        workers=1,
        expected="nothing is lost",
        is_so=lambda world: world.sql("SELECT sum(balance) FROM accounts") == [(200,)],
    )

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")
    assert seen == {"deadlock"}


JOBS = "CREATE TABLE jobs (id int, done bool DEFAULT false, until timestamptz); CREATE TABLE seen (v int)"


ONE_JOB = "CREATE TABLE jobs (id int, done bool DEFAULT false, until timestamptz); INSERT INTO jobs VALUES (1)"


def test_who_looks_before_it_listens_may_wait_in_vain() -> None:
    def works(dsn: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            if number(connection.execute("SELECT count(*) FROM jobs")) == 0:
                connection.execute("LISTEN jobs")
                if not list(connection.notifies(timeout=30, stop_after=1)):
                    return
            connection.execute("UPDATE jobs SET done = true")

    def puts(dsn: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("INSERT INTO jobs (id) VALUES (1)")
            connection.execute("NOTIFY jobs")

    proof = proof_of(
        works,
        puts,
        schema=JOBS,
        expected="the job is done",
        is_so=lambda world: world.sql("SELECT done FROM jobs") == [(True,)],
    )

    assert proof.violation is not None, proof.reason
    assert proof.violation.broken == ("not so: the job is done",)


ISOLATED = "SET default_transaction_isolation = 'repeatable read'"


@pytest.mark.parametrize(
    ("begins", "set_up"),
    [
        ("BEGIN ISOLATION LEVEL REPEATABLE READ", ""),
        ("BEGIN", f"ALTER DATABASE interlock {ISOLATED};"),
        ("BEGIN", f"ALTER ROLE CURRENT_USER {ISOLATED};"),
        ("BEGIN", f"ALTER ROLE CURRENT_USER IN DATABASE interlock {ISOLATED};"),
    ],
)
def test_what_a_snapshot_holds_was_settled_when_it_began(begins: Any, set_up: str) -> None:
    def reads(dsn: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("INSERT INTO audit (said) VALUES ('go')")
            connection.execute(begins)
            connection.execute("SELECT * FROM users")
            found = number(connection.execute("SELECT balance FROM accounts WHERE id = 1"))
            connection.execute("COMMIT")
            connection.execute("INSERT INTO seen VALUES (%s)", (found,))

    def writes_if_told(dsn: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            if number(connection.execute("SELECT count(*) FROM audit")):
                connection.execute("UPDATE accounts SET balance = 90 WHERE id = 1")

    found: list[object] = []

    def note(world: World) -> bool:
        found.extend(world.sql("SELECT v FROM seen"))
        return True

    proof = proof_of(reads, writes_if_told, schema=set_up + ACCOUNTS + JOBS, expected="noted", is_so=note)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")
    assert set(found) == {(90,), (100,)}


def test_what_is_set_for_a_database_is_set_again_when_it_is_made_anew() -> None:
    told: list[object] = []

    def alters_and_looks(dsn: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            told.append(connection.execute("SHOW default_transaction_isolation").fetchone())
            told.append(connection.execute("SHOW search_path").fetchone())
            connection.execute("CREATE TABLE another (id int)")

    schema = (
        f"""{ACCOUNTS} ALTER DATABASE interlock {ISOLATED}; ALTER DATABASE interlock SET search_path = "$user", public, shop"""
    )
    proof = proof_of(alters_and_looks, lambda _: None, schema=schema, expected="it ends", is_so=lambda _: True)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")
    assert proof.schedules > 1
    assert set(told) == {("repeatable read",), ('"$user", public, shop',)}


@pytest.mark.parametrize(
    "statement", ["ALTER ROLE CURRENT_USER SET jit = off", "CREATE ROLE shop", "ALTER SYSTEM SET jit = off"]
)
def test_what_outlives_a_schedule_is_unknown(statement: Any) -> None:
    def works(dsn: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(statement)

    proof = proof_of(works, expected="it ends", is_so=lambda _: True)

    assert proof.verdict is Verdict.UNKNOWN
    assert proof.reason == f"{statement}: a change of the server itself, which outlives a schedule"


def test_a_schema_may_bring_its_roles() -> None:
    schema = f"CREATE ROLE shop; {ACCOUNTS}; GRANT SELECT ON accounts TO shop"

    def works(dsn: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("UPDATE accounts SET balance = 90 WHERE id = 1")

    assert proof_of(works, schema=schema, expected="it is", is_so=first_balance(90)).verdict is Verdict.PASS


@pytest.mark.parametrize(("lease_s", "verdict"), [(30, Verdict.PASS), (7200, Verdict.FAIL)])
def test_a_lease_by_the_clock_of_the_database_ends_in_virtual_time(lease_s: int, verdict: Verdict) -> None:
    taken = """
    UPDATE jobs SET until = now() + make_interval(secs => %s) WHERE NOT done AND (until IS NULL OR until < now()) RETURNING id
    """

    @contract(workers=2, faults=1)
    def the_job_is_done(world: World) -> None:
        dsn = world.postgres_dsn
        world.given_schema(ONE_JOB)

        def works() -> None:
            with psycopg.connect(dsn, autocommit=True) as connection:
                if connection.execute(taken, (lease_s,)).fetchone() is not None:
                    connection.execute("UPDATE jobs SET done = true")

        world.run(works)
        done = [(True,)]
        world.check(Invariant("done", lambda: None if world.sql("SELECT done FROM jobs") == done else "the job is not done"))

    proof = prove(the_job_is_done, budget_s=120)

    assert (proof.verdict, proof.reason) == (verdict, "")


def test_a_watched_proof_has_a_database_too() -> None:
    """Also where the server runs as somebody else than the proof, in a folder of its own within the proof's."""

    @contract(workers=1, faults=0)
    def it_is_there(world: World) -> None:
        dsn = world.postgres_dsn
        world.given_schema(ONE_JOB)
        world.run(lambda: psycopg.connect(dsn, autocommit=True).execute("UPDATE jobs SET done = true"))
        world.recover(lambda: None, times=1)
        world.check(Invariant("there", lambda: None if world.sql("SELECT id FROM jobs") == [(1,)] else "it is not there"))

    proof = watched(it_is_there, budget_s=60)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")


PARTED = """
CREATE TABLE paid (id int PRIMARY KEY, amount int) PARTITION BY RANGE (id);
CREATE TABLE paid_first PARTITION OF paid FOR VALUES FROM (1) TO (100);
CREATE TABLE paid_later PARTITION OF paid FOR VALUES FROM (100) TO (200);
INSERT INTO paid VALUES (1, 10), (100, 20);
CREATE TABLE shops (id int PRIMARY KEY);
CREATE TABLE orders (shop int REFERENCES shops ON UPDATE CASCADE);
INSERT INTO shops VALUES (1);
INSERT INTO orders VALUES (1);
CREATE TABLE told (said text);
CREATE TABLE seen (v int)
"""


@pytest.mark.parametrize(
    ("question", "change", "found"),
    [
        ("SELECT sum(amount) FROM paid", "UPDATE paid_first SET amount = 11", {(30,), (31,)}),
        ("SELECT sum(amount) FROM paid_first", "UPDATE paid SET amount = amount + 1", {(10,), (11,)}),
        ("SELECT shop FROM orders", "UPDATE shops SET id = 2", {(1,), (2,)}),
    ],
)
def test_what_hangs_together_is_changed_together(question: str, change: str, found: set[object]) -> None:
    def reads(dsn: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("INSERT INTO told VALUES ('go')")
            connection.execute("INSERT INTO seen VALUES (%s)", (number(connection.execute(question)),))

    def changes_if_told(dsn: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            if number(connection.execute("SELECT count(*) FROM told")):
                connection.execute(change)

    seen: list[object] = []

    def note(world: World) -> bool:
        seen.extend(world.sql("SELECT v FROM seen"))
        return True

    proof = proof_of(reads, changes_if_told, schema=PARTED, expected="noted", is_so=note)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")
    assert set(seen) == found


def test_partitions_hold_again_what_they_held() -> None:
    def changes(dsn: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("UPDATE paid_first SET amount = amount + 1")
            connection.execute("UPDATE paid SET amount = amount + 1")

    def is_so(world: World) -> bool:
        return world.sql("SELECT amount FROM paid ORDER BY id") == [(14,), (22,)]

    proof = proof_of(changes, schema=PARTED, expected="otherwise", is_so=lambda world: not is_so(world))

    assert proof.finding is not None, proof.reason
    assert proof.finding.confirmation.is_sure


def test_values_that_read_the_same_and_are_not_are_seen() -> None:
    numbers = itertools.count()

    def stores(dsn: str) -> None:
        with psycopg.connect(dsn) as connection:
            connection.execute("INSERT INTO users VALUES (1, %s)", (f"{'x' * 60}{next(numbers)}",))

    proof = proof_of(stores, expected="they are there", is_so=lambda world: len(world.sql("SELECT FROM users")) == 2)

    assert proof.verdict is Verdict.UNKNOWN
    assert "not deterministic" in proof.reason
    assert "(with another value)" in proof.reason
