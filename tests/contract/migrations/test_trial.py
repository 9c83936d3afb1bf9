"""Both proofs of a change, as `interlock rehearse migrations` and the gate give them."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from interlock.core.errors import WorldError
from interlock.core.evidence import read, write
from interlock.core.verdict import Verdict
from interlock.gate.change import Change
from interlock.gate.migrations import answer, trial
from interlock.gate.migrations.declared import Migrations
from interlock.gate.migrations.process import Migration
from interlock.gate.migrations.round_trip import Trip
from interlock.gate.migrations.server import server
from interlock.gate.migrations.trial import Trial, heads_of

from .conftest import alembic_files, revision

if TYPE_CHECKING:
    from pathlib import Path

    from interlock.gate.migrations.server import Server
    from tests.conftest import Git, Interlock

QUESTION = "Was the rollback rehearsed?"
A1 = (
    """
    op.create_table(
        "users", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text), sa.Column("legacy", sa.Text)
    )
    op.create_table("apart", sa.Column("n", sa.Integer))
    """,
    'op.drop_table("apart")\nop.drop_table("users")',
)
LOSES = ('op.drop_column("users", "legacy")', 'op.add_column("users", sa.Column("legacy", sa.Text))')
EXPANDS = ('op.add_column("users", sa.Column("nick", sa.Text))', 'raise NotImplementedError("roll back the code alone")')
BREAKS = (
    'op.execute("DELETE FROM users")\nop.add_column("users", sa.Column("nick", sa.Text, nullable=False))',
    'op.drop_column("users", "nick")',
)
# The release before writes names. A plain script: what runs the tests is the team's choice.
SMOKE = """
import os
import psycopg

with psycopg.connect(os.environ["DATABASE_URL"].replace("+psycopg", "")) as connection:
    connection.execute("INSERT INTO users (name) VALUES ('Ada')")
    assert connection.execute("SELECT name FROM users").fetchall() == [("Ada",)], "not Ada alone"
print("1 passed")
"""
TIER_1 = '\n[[feature]]\nname = "users"\ntier = 1\npaths = ["migrations/**"]\n'


def settings(tests: str = "smoke.py", more: str = "") -> str:
    declared = f'[migrations]\nalembic = "alembic.ini"\nwithin_s = 60\npython = "{sys.executable}"\n'
    return declared + (f'tests = ["python", "{tests}"]\n' if tests else "") + more


@dataclass(frozen=True, slots=True)
class Project:
    """A repository whose branch `change` brings a migration."""

    git: Git

    def begun(self, text: str, added: tuple[str, str]) -> Change:
        self.git.commit({"interlock.toml": text, "smoke.py": SMOKE, ".gitignore": ".interlock/\n", **alembic_files({"a1": A1})})
        self.git("checkout", "--quiet", "-b", "change")
        files = alembic_files({"a1": A1, "a2": added})
        self.git.commit({"migrations/versions/a2.py": files["migrations/versions/a2.py"]})
        return self.change

    @property
    def change(self) -> Change:
        return Change.between(self.git.repository, "main", "HEAD")

    def tried(self, text: str, added: tuple[str, str]) -> Trial:
        change = self.begun(text, added)
        declared = Migrations.of(change.settings)
        assert declared is not None
        return trial.tried(change, declared, lambda _: None)


@pytest.fixture
def project(git: Git, running: Server, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose trials share a server, which takes a second to start."""
    monkeypatch.setattr(trial, "server", lambda: nullcontext(running))
    return Project(git)


def test_a_downgrade_that_loses_rows_closes_the_gate(project: Project, interlock_in: Interlock) -> None:
    project.begun(settings(tests=""), LOSES)
    ran = interlock_in("gate", "--base", "main", "--format", "json", folder=project.git.root)
    (found,) = [one for one in json.loads(ran.out)["questions"] if one["question"] == QUESTION]

    assert (ran.code, found["verdict"]) == (1, "fail"), found
    assert "downgrade of a2 loses column users.legacy: 3 rows" in found["evidence"]
    assert "a2 cannot be rolled back" in found["answer"]


def test_where_the_code_can_go_back_alone_no_downgrade_is_needed(project: Project) -> None:
    found = project.tried(settings(), EXPANDS)

    assert (found.round_trip, found.previous.verdict) == (Verdict.FAIL, Verdict.PASS)
    assert found.verdict(is_tier_1=False) is Verdict.PASS
    assert found.verdict(is_tier_1=True) is Verdict.PASS
    assert any("a2 has no way back: NotImplementedError: roll back the code alone" in line for line in found.lines())


def test_where_the_old_code_does_not_run_on_the_new_schema_tier_1_fails(project: Project) -> None:
    found = project.tried(settings(), BREAKS)

    assert found.previous.verdict is Verdict.FAIL
    assert any('null value in column "nick"' in line for line in found.previous.output)
    assert found.verdict(is_tier_1=True) is Verdict.FAIL


GOOD = ('op.add_column("users", sa.Column("nick", sa.Text))', 'op.drop_column("users", "nick")')


def test_a_migration_that_is_taken_away_leaves_it_open(project: Project) -> None:
    project.begun(settings(), GOOD)
    project.git("branch", "--quiet", "later")
    project.git("checkout", "--quiet", "-b", "without")
    project.git.commit({"migrations/versions/a2.py": None})
    change = Change.between(project.git.repository, "later", "HEAD")
    declared = Migrations.of(change.settings)
    assert declared is not None
    found = trial.tried(change, declared, lambda _: None)

    assert (found.names, found.gone, found.verdict(is_tier_1=False)) == ((), ("a2",), Verdict.UNKNOWN)


def test_one_that_is_edited_is_tried_again_and_told(project: Project) -> None:
    project.begun(settings(tests=""), GOOD)
    project.git("branch", "--quiet", "later")
    project.git.commit({"migrations/versions/a2.py": alembic_files({"a1": A1, "a2": LOSES})["migrations/versions/a2.py"]})
    change = Change.between(project.git.repository, "later", "HEAD")
    declared = Migrations.of(change.settings)
    assert declared is not None
    found = trial.tried(change, declared, lambda _: None)

    assert found.edited == ("a2",)
    assert found.lines()[:2] == [
        "a2 is edited: a database that has it does not run it again",
        "downgrade of a2 loses column users.legacy: 3 rows",
    ]


def test_a_second_head_is_no_pass(project: Project) -> None:
    """Each of the two goes up and down here; `alembic upgrade head` refuses both."""
    change = project.begun(settings(tests=""), GOOD)
    project.git.commit(
        {"migrations/versions/b2.py": revision("b2", "a1", 'op.execute("CREATE TABLE b ()")', 'op.drop_table("b")')}
    )
    declared = Migrations.of(change.settings)
    assert declared is not None
    found = trial.tried(project.change, declared, lambda _: None)

    assert (found.round_trip, found.verdict(is_tier_1=False)) == (Verdict.PASS, Verdict.UNKNOWN)
    assert found.lines()[0].endswith("are heads beside each other: an upgrade to the head is refused")
    assert set(found.heads) == {"a2", "b2"}


def test_a_head_of_each_app_is_none_too_many() -> None:
    def made(*names: str) -> list[Migration]:
        return [Migration(name, (f"{name.split('.')[0]}.0001",) if "2" in name else (), "x.py") for name in names]

    one = made("shop.0001", "shop.0002a", "users.0001")
    assert heads_of(one) == {"shop": ["shop.0002a"], "users": ["users.0001"]}
    assert heads_of([*one, *made("shop.0002b")])["shop"] == ["shop.0002a", "shop.0002b"]


def test_a_migration_that_the_settings_of_the_change_do_not_lead_to_leaves_it_open(project: Project) -> None:
    change = project.begun(settings(tests=""), LOSES)
    harmless = alembic_files({"a1": A1})
    others = {name.replace("migrations/", "harmless/"): text for name, text in harmless.items() if "/" in name}
    project.git.commit({"alembic.ini": "[alembic]\nscript_location = harmless\n", **others})
    found = answer.answer(project.change)

    assert change is not None
    assert found is not None
    assert found.verdict is Verdict.UNKNOWN
    assert "migrations/versions/a2.py looks like a migration, and is none of those that are run here" in found.evidence


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (
            "shop/migrations/0002.py",
            "from django.db.migrations import Migration as Base\n\n\nclass Migration(m.Migration): ...\n",
        ),
        ("db/migrate/2.sql", "DROP TABLE users;"),
        ("sql/V2__drop_users.sql", "DROP TABLE users;"),
    ],
)
def test_what_looks_like_a_migration_is_asked_about_where_none_are_declared(git: Git, path: str, text: str) -> None:
    git.commit({"interlock.toml": ""})
    git.branch("change")
    git.commit({path: text})
    found = answer.answer(Change.between(git.repository, "main", "HEAD"))

    assert found is not None
    assert (found.verdict, path in found.answer) == (Verdict.UNKNOWN, True)


def test_a_rehearsal_is_kept(project: Project, interlock_in: Interlock) -> None:
    project.begun(settings(), GOOD)
    ran = interlock_in("rehearse", "migrations", "--base", "main", folder=project.git.root)
    (path,) = (project.git.root / ".interlock" / "evidence" / "migrations").glob("*.json")

    first, *lines = ran.out.splitlines()
    assert (ran.code, first) == (0, "pass: the code can go back alone over a2"), ran.err
    assert "the previous release's tests pass on the new schema" in lines[1]
    assert set(read(path).subjects) == {"migrations/versions/a2.py"}
    assert read(path).found["previous_commit"] == project.change.start


class TestWhatTheGateSays:
    """Where it can try, it tries; where it cannot, the answer is open."""

    def asked(self, change: Change) -> Any:  # noqa: ANN401 - None, or an answer.
        return answer.answer(change)

    def test_nothing_of_a_change_without_migrations(self, project: Project) -> None:
        project.git.commit({"interlock.toml": settings(), **alembic_files({"a1": A1})})
        project.git("checkout", "--quiet", "-b", "change")
        project.git.commit({"other.py": "A = 1\n"})

        assert self.asked(project.change) is None

    def test_unknown_where_migrations_are_not_declared(self, project: Project) -> None:
        found = self.asked(project.begun("", GOOD))

        assert found.verdict is Verdict.UNKNOWN
        assert found.answer == (
            "it brings migrations (migrations/versions/a2.py), and no [migrations] at the base says how they are run"
        )

    def test_unknown_without_a_postgres(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        def none() -> None:
            message = "no postgres on this machine"
            raise WorldError(message)

        monkeypatch.setattr("interlock.prove.wire.postgres_process._programs", none)
        monkeypatch.setattr(trial, "server", server)
        found = self.asked(project.begun(settings(), GOOD))

        assert (found.verdict, found.answer) == (Verdict.UNKNOWN, "migrations: no postgres on this machine")

    def test_unknown_without_alembic(self, project: Project, tmp_path: Path) -> None:
        bare = tmp_path / "python"
        bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
        bare.chmod(0o755)
        found = self.asked(project.begun(settings().replace(sys.executable, str(bare)), GOOD))

        assert found.verdict is Verdict.UNKNOWN
        assert "the migrations cannot be listed: ModuleNotFoundError: No module named 'alembic'" in found.answer

    def test_unknown_without_the_interpreter(self, project: Project) -> None:
        found = self.asked(project.begun(settings().replace(sys.executable, ".venv/bin/nowhere"), GOOD))

        assert found.verdict is Verdict.UNKNOWN
        assert "[migrations] python says which interpreter runs the migrations" in found.answer

    def test_the_base_says_what_may_be_lost_and_the_change_does_not(self, project: Project) -> None:
        lossy = '\n[[migrations.lossy]]\ncolumn = "users.legacy"\nreason = "written by nobody"\n'
        project.begun(settings(tests=""), LOSES)
        project.git.commit({"interlock.toml": settings(tests="", more=lossy)})
        assert self.asked(project.change).verdict is Verdict.FAIL

        project.git("checkout", "--quiet", "main")
        project.git.commit({"interlock.toml": settings(tests="", more=lossy)})
        project.git("checkout", "--quiet", "change")
        found = self.asked(project.change)
        assert found.verdict is Verdict.PASS
        assert "users.legacy may be lost: written by nobody" in found.evidence


class TestWhatIsOnRecord:
    """Evidence of a trial, where the gate itself has no Postgres."""

    @pytest.fixture
    def kept(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
        change = project.begun(settings(tests=""), GOOD)
        trip = Trip(migration="a2", path="migrations/versions/a2.py", verdict=Verdict.PASS)
        found = Trial(previous_commit=change.start, names=("a2",), trips=(trip,))
        write(answer.as_evidence(found, project.change, ()), project.git.root)

        def none(*_: object) -> None:
            message = "no postgres on this machine"
            raise WorldError(message)

        monkeypatch.setattr(trial, "tried", none)
        return project

    def test_counts_for_this_change(self, kept: Project) -> None:
        found = answer.answer(kept.change)

        assert found is not None
        assert found.verdict is Verdict.PASS
        assert [(ground.what, ground.trust) for ground in found.grounds] == [("trial of the migrations", "self")]

    def test_counts_for_no_other_change(self, kept: Project) -> None:
        kept.git.commit({"other.py": "A = 1\n"})
        found = answer.answer(kept.change)

        assert found is not None
        assert found.verdict is Verdict.UNKNOWN
        assert found.evidence[0].endswith(": it is of another change")

    def test_needs_a_signature_where_tier_1_is_touched(self, kept: Project) -> None:
        kept.git("checkout", "--quiet", "main")
        kept.git.commit({"interlock.toml": settings(more=TIER_1)})
        kept.git("checkout", "--quiet", "change")
        found = answer.answer(kept.change)

        assert found is not None
        assert found.verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("", "no [migrations] at the base"),
        ("[migrations]\n", "migrations needs either alembic (a file) or django (a settings module)"),
        ('[migrations]\nalembic = "a.ini"\nenvironment = ["A"]\n', "environment in migrations holds 'A'; expected NAME=VALUE"),
        (
            '[migrations]\nalembic = "a.ini"\n[[migrations.lossy]]\ncolumn = "users.a"\nreason = " "\n',
            "lossy 'users.a' needs a column such as users.legacy, and a reason",
        ),
    ],
)
def test_what_is_declared_wrong_is_told(git: Git, interlock_in: Interlock, wrong: str, told: str) -> None:
    git.commit({"interlock.toml": wrong})
    ran = interlock_in("rehearse", "migrations", "--base", "main", folder=git.root)

    assert ran.code == 2
    assert told in ran.err


def test_the_scripts_for_the_teams_interpreter_import_nothing_of_ours() -> None:
    code = "import sys, interlock.gate.migrations.theirs.steps as s; print(s.__file__)"
    where = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    shown = (
        "import runpy, sys; runpy.run_path(sys.argv[1]); print([name for name in sys.modules if name.startswith('interlock')])"
    )
    done = subprocess.run([sys.executable, "-S", "-I", "-c", shown, where], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
