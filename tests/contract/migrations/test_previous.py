"""The tests of the release before, on the schema of this one: when they prove something, and when they do not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from interlock.core.verdict import Verdict
from interlock.gate.migrations.declared import Migrations
from interlock.gate.migrations.previous import Previous, TestRun, tried_or_why

if TYPE_CHECKING:
    from pathlib import Path

    from interlock.gate.migrations.server import Server

SMOKE = """
import os
import psycopg

with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    connection.execute("INSERT INTO users (name) VALUES ('Ada')")
    connection.execute("SELECT * FROM apart")
"""
OLD = "CREATE TABLE public.users (id serial PRIMARY KEY, name text); CREATE TABLE public.apart (n int)"


def tried(  # noqa: PLR0913 - a case has a number of settings, most of them with names.
    running: Server,
    folder: Path,
    smoke: str = SMOKE,
    *,
    change: str = "ALTER TABLE public.users ADD COLUMN nick text",
    alters: tuple[str, ...] = ("users",),
    command: tuple[str, ...] = ("python", "smoke.py"),
    within_s: float = 60,
) -> Previous:
    (folder / "smoke.py").write_text(smoke)
    old = running.database("old")
    old.rows(OLD)
    new = running.database("new", old)
    new.rows(change)
    settings = Migrations(alembic="alembic.ini", tests=command, within_s=within_s)
    tests = TestRun(settings=settings, python=sys.executable, tree=folder, url="postgresql://{user}@/{database}?host={host}")
    return tried_or_why(tests, running, old, new, alters)


def test_green_on_both_is_a_proof(running: Server, tmp_path: Path) -> None:
    found = tried(running, tmp_path)

    assert (found.verdict, found.told) == (Verdict.PASS, "the previous release's tests pass on the new schema"), found


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE public.users ADD COLUMN nick text NOT NULL",
        "ALTER TABLE public.users RENAME name TO full_name",
        "DROP TABLE public.apart",
    ],
)
def test_red_on_the_new_schema_is_a_refutation(running: Server, tmp_path: Path, change: str) -> None:
    found = tried(running, tmp_path, change=change)

    assert found.verdict is Verdict.FAIL
    assert found.told == "the previous release's tests fail on the new schema: `python smoke.py` ends with 1"
    assert "psycopg.errors" in "".join(found.output)


@pytest.mark.parametrize(
    ("smoke", "told"),
    [
        ("raise SystemExit(3)", "`python smoke.py` ends with 3 on the previous release's own schema"),
        ("print('1 passed')", "`python smoke.py` never touches users in the database that it is given as DATABASE_URL"),
        (SMOKE.replace("INSERT INTO users (name) VALUES ('Ada')", "SELECT 1"), "never touches users"),
        (
            SMOKE.replace("INSERT", "ALTER TABLE users DROP COLUMN IF EXISTS nick; INSERT"),
            "lays out a schema of its own, so it says nothing of the new one",
        ),
    ],
    ids=["red before", "no database", "another table", "own schema"],
)
def test_what_proves_nothing_is_told(running: Server, tmp_path: Path, smoke: str, told: str) -> None:
    found = tried(running, tmp_path, smoke)

    assert found.verdict is Verdict.UNKNOWN
    assert told in found.told


def test_a_test_that_hangs_is_ended(running: Server, tmp_path: Path) -> None:
    found = tried(running, tmp_path, "import time; time.sleep(60)", within_s=0.5)

    assert (found.verdict, found.told) == (
        Verdict.UNKNOWN,
        "`python smoke.py` is not done in time on the previous release's own schema",
    )


def test_tests_that_cannot_be_started_are_told(running: Server, tmp_path: Path) -> None:
    found = tried(running, tmp_path, command=("no-such-program",))

    assert found.verdict is Verdict.UNKNOWN
    assert "no-such-program cannot be started" in found.told


def test_where_only_new_tables_come_any_table_will_do(running: Server, tmp_path: Path) -> None:
    assert tried(running, tmp_path, change="CREATE TABLE public.more (n int)", alters=()).verdict is Verdict.PASS
    assert tried(running, tmp_path, "pass", change="CREATE TABLE public.more (n int)", alters=()).verdict is Verdict.UNKNOWN
