"""Projects with migrations, and the real Postgres, Alembic and Django that run them."""

from __future__ import annotations

import shutil
import textwrap
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from interlock.gate.migrations.server import server
from tests.machine import not_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.gate.migrations.server import Server

# Somebody's own database: whatever env.py asks for, the connection goes to the throw-away one.
ENV = """
    import os
    import sqlalchemy
    from alembic import context

    engine = sqlalchemy.create_engine("postgresql+psycopg://root:secret@db.shop.example/production")
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=None)
        with context.begin_transaction():
            context.run_migrations()
"""
INI = "[alembic]\nscript_location = migrations\n"


def revision(name: str, parent: str | None, up: str, down: str) -> str:
    """A migration of Alembic's."""
    head = f"import sqlalchemy as sa\nfrom alembic import op\n\nrevision = {name!r}\ndown_revision = {parent!r}\n"
    bodies = {"upgrade": up, "downgrade": down}
    functions = (
        f"\n\ndef {what}():\n{textwrap.indent(textwrap.dedent(body).strip(), '    ')}\n" for what, body in bodies.items()
    )
    return head + "".join(functions)


def alembic_files(migrations: dict[str, tuple[str, str]]) -> dict[str, str]:
    """The files of a project, with its migrations one after the other: name -> up and down."""
    names = list(migrations)
    parents = dict(zip(names, [None, *names], strict=False))
    versions = {f"migrations/versions/{name}.py": revision(name, parents[name], *bodies) for name, bodies in migrations.items()}
    return {"alembic.ini": INI, "migrations/env.py": textwrap.dedent(ENV), **versions}


def lay(folder: Path, files: dict[str, str]) -> Path:
    """Writes files into a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def postgres() -> None:
    """There is a Postgres on this machine, and Alembic."""
    has_server = shutil.which("postgres") or list(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if has_server and find_spec("alembic"):
        return
    not_run("no postgres (make servers) or no alembic (requirements/test.txt) on this machine")


@pytest.fixture(scope="module")
def running(postgres: None) -> Iterator[Server]:  # noqa: ARG001 - it must be there.
    """A server of our own."""
    with server() as found:
        yield found
