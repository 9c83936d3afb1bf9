"""What the gate costs: a change of 20 files to a repository of 100,000 lines, with the settings of the example shop.

    python benchmarks/gate.py

The lines are this Python's own library, with the shop beside them: its features, manifests, alerts, routes and drill. The
change adds a function to 18 files, a line to what takes payments, and a migration of Alembic's, which is tried up, down and up
on a Postgres of its own. Nothing is on record, so that every question is either computed anew, which takes the time, or open.
Needs git, promtool, amtool, Postgres, and Alembic beside interlock. Prints the least and the most of three runs; fails if one
takes 60 s or more, or if something that can be computed anew is not answered.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

LIMIT_S = 60.0
LINES_MIN, FILES = 100_000, 20
SHOP = Path(__file__).resolve().parent.parent / "examples" / "checkout" / "releases" / "baseline"
TRIED = "a2 can be downgraded without loss"  # What the question about the rollback says of the migration.
INI = "[alembic]\nscript_location = migrations\n"
ENV = """
import os

import sqlalchemy
from alembic import context

with sqlalchemy.create_engine(os.environ["DATABASE_URL"]).connect() as connection:
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
"""
FIRST = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "a1", None


def upgrade():
    op.create_table("orders", sa.Column("id", sa.Integer, primary_key=True), sa.Column("paid", sa.Boolean))


def downgrade():
    op.drop_table("orders")
"""
SECOND = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "a2", "a1"


def upgrade():
    op.add_column("orders", sa.Column("note", sa.Text))


def downgrade():
    op.drop_column("orders", "note")
"""
COMPUTED = ("touched", "planted", "canary", "alerts")


def main() -> int:
    """Lays it out, asks three times, prints."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "repository"
        lines = lay_out(root)
        took = [asked(root) for _ in range(3)]
    seconds = [second for second, _ in took]
    answers = took[0][1]
    verdicts = {name: question["verdict"] for name, question in answers.items()}
    is_tried = TRIED in answers["rollback"]["answer"]
    print(f"{lines:,} lines, {FILES} changed files: {min(seconds):.1f} to {max(seconds):.1f} s (limit {LIMIT_S:g})")
    for name, verdict in verdicts.items():
        print(f"  {verdict:8} {name}{' (computed anew)' if name in COMPUTED else ''}")
    print(f"  {'yes' if is_tried else 'no':8} the migration was tried, as a part of rollback (computed anew)")
    is_answered = is_tried and all(verdicts[name] != "unknown" for name in COMPUTED)
    return int(max(seconds) >= LIMIT_S or not is_answered)


def lay_out(root: Path) -> int:
    """Makes the repository and the change, and answers with how many lines of Python it has."""
    shutil.copytree(SHOP, root)
    lines = 0
    copied: list[Path] = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("**/*.py")):
        if lines >= LINES_MIN:
            break
        if not {"test", "tests", "site-packages", "lib2to3", "idlelib"} & set(path.parts):
            target = root / "lib" / path.relative_to(sysconfig.get_path("stdlib"))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            copied.append(target)
            lines += path.read_bytes().count(b"\n")
    versions = root / "migrations" / "versions"
    versions.mkdir(parents=True)
    settings = root / "interlock.toml"
    settings.write_text(settings.read_text(encoding="utf-8") + '\n[migrations]\nalembic = "alembic.ini"\n', encoding="utf-8")
    for path, text in ((root / "alembic.ini", INI), (versions.parent / "env.py", ENV), (versions / "a1.py", FIRST)):
        path.write_text(text, encoding="utf-8")
    git(root, "init", "--quiet", "--initial-branch=main")
    commit(root)
    git(root, "checkout", "--quiet", "-b", "change")
    for path in copied[:: len(copied) // FILES][: FILES - 2]:
        path.write_bytes(path.read_bytes() + b"\n\ndef added(order):\n    return order.id\n")
    (versions / "a2.py").write_text(SECOND, encoding="utf-8")
    provider = root / "shop" / "payments" / "provider.py"
    provider.write_text(provider.read_text(encoding="utf-8") + "\nRETRIES = 0\n", encoding="utf-8")
    commit(root)
    return lines


def asked(root: Path) -> tuple[float, dict[str, dict[str, Any]]]:
    """How long the gate took, in seconds as a whole process, and its questions by their names."""
    began_s = time.perf_counter()
    command = [sys.executable, "-m", "interlock", "gate", "--base", "main", "--head", "change", "--format", "json"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began_s
    return seconds, {question["name"]: question for question in json.loads(done.stdout)["questions"]}


def commit(root: Path) -> None:
    """Everything as it is."""
    git(root, "add", "--all")
    git(root, "-c", "user.name=Ada", "-c", "user.email=ada@shop.example", "commit", "--quiet", "--message=a change")


def git(root: Path, *arguments: str) -> None:
    """Runs git."""
    subprocess.run(["git", *arguments], cwd=root, check=True)


if __name__ == "__main__":
    sys.exit(main())
