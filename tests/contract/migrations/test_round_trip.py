"""Up, down, up on a real Postgres with rows: what the way back loses is told, by name."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from interlock.core.errors import WorldError
from interlock.core.verdict import Verdict
from interlock.gate.migrations.declared import Migrations
from interlock.gate.migrations.process import steps
from interlock.gate.migrations.round_trip import RoundTrips, Trip

from .conftest import alembic_files, lay

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from interlock.gate.migrations.server import Server


def sql(text: str) -> str:
    return f'op.execute("""{text}""")'


BEGUN = (
    """
    op.execute("CREATE TYPE size AS ENUM ('s', 'm')")
    op.create_table(
        "users",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(20), nullable=False, unique=True),
        sa.Column("legacy", sa.Text),
        sa.Column("size", sa.Text, server_default="s"),
    )
    op.create_table(
        "orders",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("status", sa.String(10), sa.CheckConstraint("status IN ('open', 'paid')"), nullable=False),
        sa.Column("amount", sa.Numeric(10, 2), sa.CheckConstraint("amount > 100"), nullable=False),
    )
    """,
    'op.drop_table("orders")\nop.drop_table("users")\nop.execute("DROP TYPE size")',
)
# Name -> up, down, and all that must be told of it; nothing, where nothing is lost.
CASES: dict[str, tuple[str, str, list[str]]] = {
    "makes_tables": (*BEGUN, []),
    "adds_a_column": (
        """
        op.add_column("users", sa.Column("seen", sa.DateTime, server_default=sa.func.clock_timestamp()))
        op.create_index("ix_seen", "users", ["seen"])
        """,
        'op.drop_index("ix_seen")\nop.drop_column("users", "seen")',
        [],
    ),
    "keeps_aside": (
        sql("CREATE TABLE aside AS SELECT id, legacy FROM users; ALTER TABLE users DROP COLUMN legacy"),
        sql(
            "ALTER TABLE users ADD COLUMN legacy text; UPDATE users u SET legacy = a.legacy FROM aside a WHERE a.id = u.id; "
            "DROP TABLE aside"
        ),
        [],
    ),
    "puts_back": (
        sql("ALTER TABLE users ADD COLUMN old text; UPDATE users SET old = size"),
        'op.drop_column("users", "old")',
        [],
    ),
    "drops_a_column": (
        'op.drop_column("users", "old")',
        'op.add_column("users", sa.Column("old", sa.Text))',
        ["downgrade of drops_a_column loses column users.old: 3 rows"],
    ),
    "drops_a_column_with_a_default": (
        'op.drop_column("users", "size")',
        """op.add_column("users", sa.Column("size", sa.Text, server_default="s"))""",
        ["downgrade of drops_a_column_with_a_default loses column users.size: 3 rows"],
    ),
    "folds_the_case": (
        sql("UPDATE users SET name = lower(name)"),
        "pass",
        ["downgrade of folds_the_case loses column users.name: 3 rows"],
    ),
    "deletes": (
        sql("DELETE FROM orders WHERE status = 'open'"),
        "pass",
        ["downgrade of deletes loses table orders: 2 rows of 3"],
    ),
    "leaves_all": (
        'op.add_column("users", sa.Column("nick", sa.Text))',
        "pass",
        ["downgrade of leaves_all leaves another schema: column users.nick is left over"],
    ),
    "narrows": (
        'op.alter_column("users", "name", type_=sa.String(30))',
        'op.alter_column("users", "name", type_=sa.String(25))',
        [
            (
                "downgrade of narrows leaves another schema: column users.name was (character varying(20) not null) "
                "and is (character varying(25) not null)"
            )
        ],
    ),
    "is_not_written": (
        'op.add_column("users", sa.Column("b", sa.Text))',
        'raise NotImplementedError("no way")',
        ["is_not_written has no way back: NotImplementedError: no way (migrations/versions/is_not_written.py:13)"],
    ),
    "is_wrong": (
        'op.add_column("users", sa.Column("c", sa.Text))',
        'op.drop_column("users", "d")',
        [
            (
                'is_wrong does not go back on rows: ProgrammingError: column "d" of relation "users" does not exist '
                "(migrations/versions/is_wrong.py:13)"
            )
        ],
    ),
    "forgets_a_type": (
        sql("CREATE TYPE mood AS ENUM ('good', 'bad'); ALTER TABLE users ADD COLUMN mood mood"),
        'op.drop_column("users", "mood")',
        ["downgrade of forgets_a_type leaves another schema: type mood is left over"],
    ),
    "counts_anew": (
        sql("ALTER TABLE users ALTER COLUMN id DROP DEFAULT; DROP SEQUENCE users_id_seq"),
        sql(
            "CREATE SEQUENCE users_id_seq AS integer OWNED BY users.id; "
            "ALTER TABLE users ALTER COLUMN id SET DEFAULT nextval('users_id_seq')"
        ),
        ["downgrade of counts_anew: sequence users_id_seq was at 3 and is at 0: it would give the same numbers again"],
    ),
    "needs_what_no_row_has": (
        'op.add_column("users", sa.Column("must", sa.Text, nullable=False))',
        'op.drop_column("users", "must")',
        [
            (
                "needs_what_no_row_has does not go up on rows: IntegrityError: "
                'column "must" of relation "users" contains null values (migrations/versions/needs_what_no_row_has.py:9)'
            )
        ],
    ),
    "comes_after": (
        sql("SELECT 1"),
        "pass",
        ["comes_after was not tried, since needs_what_no_row_has does not go up"],
    ),
}


def tried(  # noqa: PLR0913 - a case has a number of settings, most of them with names.
    running: Server,
    folder: Path,
    migrations: Mapping[str, tuple[str, str]],
    *,
    new: set[str] | None = None,
    seed: str = "",
    lossy: tuple[str, ...] = (),
) -> dict[str, Trip]:
    tree = lay(folder, alembic_files(dict(migrations)))
    with steps(Migrations(alembic="alembic.ini", within_s=60), sys.executable, tree) as runner:
        listed, _ = runner.listed()
        trips = RoundTrips(running, runner, seed, lossy).of(listed, new if new is not None else set(migrations))
    return {trip.migration: trip for trip in trips}


@pytest.fixture(scope="module")
def trips(running: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trip]:
    """All of them, one after the other, in one project."""
    migrations = {name: (up, down) for name, (up, down, _) in CASES.items()}
    return tried(running, tmp_path_factory.mktemp("all"), migrations)


@pytest.mark.parametrize("name", CASES)
def test_what_the_way_back_loses_is_told(trips: dict[str, Trip], name: str) -> None:
    *_, told = CASES[name]

    assert list(trips[name].flaws) == told
    if name == "comes_after":
        assert trips[name].verdict is Verdict.UNKNOWN
    else:
        assert trips[name].verdict is (Verdict.FAIL if told else Verdict.PASS)


def test_what_a_migration_alters_are_tables_that_were_there(trips: dict[str, Trip]) -> None:
    assert trips["makes_tables"].alters == ()
    assert trips["deletes"].alters == ("orders",)
    assert trips["keeps_aside"].alters == ("users",)


TWO = {"a1": BEGUN, "a2": ('op.drop_column("users", "legacy")', 'op.add_column("users", sa.Column("legacy", sa.Text))')}


def test_what_people_declare_as_lossy_may_be_lost(running: Server, tmp_path: Path) -> None:
    trips = tried(running, tmp_path, TWO, new={"a2"}, lossy=("users.legacy",))

    assert trips["a2"].verdict is Verdict.PASS


def test_rows_that_a_team_gives_are_those_that_count(running: Server, tmp_path: Path) -> None:
    seed = """INSERT INTO users (name, legacy) VALUES ('x', 'y');
INSERT INTO orders (user_id, status, amount) VALUES (1, 'paid', 101)"""
    trips = tried(running, tmp_path, TWO, new={"a2"}, seed=seed)

    assert trips["a2"].flaws == ("downgrade of a2 loses column users.legacy: 1 row",)


def test_rows_that_do_not_fit_are_told(running: Server, tmp_path: Path) -> None:
    with pytest.raises(WorldError, match=r'the rows of .migrations. seed do not fit: relation "nobody" does not exist'):
        tried(running, tmp_path, TWO, new={"a2"}, seed="INSERT INTO nobody VALUES (1)")


BY_VALUE = {"a1": BEGUN, "a2": (sql("ALTER TABLE users ALTER COLUMN name TYPE int USING name::int"), "pass")}


def test_what_only_made_up_rows_refuse_is_not_known(running: Server, tmp_path: Path) -> None:
    (told,) = (trip := tried(running, tmp_path, BY_VALUE, new={"a2"})["a2"]).flaws

    assert trip.verdict is Verdict.UNKNOWN
    assert "made-up rows may be wrong here: give some with [migrations] seed" in told


def test_what_a_teams_own_rows_refuse_fails(running: Server, tmp_path: Path) -> None:
    trips = tried(running, tmp_path, BY_VALUE, new={"a2"}, seed="INSERT INTO users (name) VALUES ('one')")

    assert trips["a2"].verdict is Verdict.FAIL


def test_a_table_that_cannot_be_filled_leaves_it_open(running: Server, tmp_path: Path) -> None:
    odd = (sql("CREATE TABLE odd (n int NOT NULL CHECK (n * n = 2))"), sql("DROP TABLE odd"))
    trip = tried(running, tmp_path, {"a1": odd, "a2": (sql("UPDATE odd SET n = 0"), "pass")}, new={"a2"})["a2"]

    assert trip.verdict is Verdict.UNKNOWN
    assert trip.flaws[0].startswith('table odd has no rows to lose: new row for relation "odd" violates check constraint')


def test_an_old_migration_that_does_not_run_leaves_it_open(running: Server, tmp_path: Path) -> None:
    with pytest.raises(WorldError, match=r"a1, which is not new, does not run here: ZeroDivisionError"):
        tried(running, tmp_path, {"a1": ("1 / 0", "pass"), "a2": ("pass", "pass")}, new={"a2"})


def test_a_migration_that_hangs_is_ended(running: Server, tmp_path: Path) -> None:
    tree = lay(tmp_path, alembic_files({"a1": ("import time; time.sleep(60)", "pass")}))
    with steps(Migrations(alembic="alembic.ini", within_s=1.5), sys.executable, tree) as runner:
        listed, _ = runner.listed()
        with pytest.raises(WorldError, match=r"a migration was not done within 1\.5 s"):
            RoundTrips(running, runner, "", ()).of(listed, {"a1"})


def test_what_the_teams_code_is_given_names_no_database_of_theirs(
    running: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db.shop.example/production")
    monkeypatch.setenv("PGPASSWORD", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    shown = """
        import os
        assert "shop.example" not in os.environ["DATABASE_URL"], "theirs"
        assert not {"PGPASSWORD", "AWS_SECRET_ACCESS_KEY"} & os.environ.keys(), "secrets"
        op.execute("CREATE TABLE found (n int)")
    """
    assert tried(running, tmp_path, {"a1": (shown, 'op.drop_table("found")')})["a1"].flaws == ()
