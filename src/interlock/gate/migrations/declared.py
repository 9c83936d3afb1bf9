"""What a team declares of its migrations. The base's word counts: a change cannot name its own losses.

[migrations]
alembic = "alembic.ini"                              # or: django = "shop.settings"
python = ".venv/bin/python"                          # what runs them and the tests; the one that runs interlock, if not said
tests = ["python", "-m", "pytest", "tests/smoke"]    # of the previous release, on the new schema
seed = "tests/rows.sql"                              # rows, where made-up ones will not do
environment = ["SECRET_KEY=none"]                    # all that the team's code is given, beside the database

[[migrations.lossy]]
column = "users.legacy"
reason = "written by nobody since 2023"
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from interlock.core.errors import WorldError
from interlock.core.settings import strict

if TYPE_CHECKING:
    from pathlib import Path

    from interlock.core.settings import Document


@dataclass(frozen=True, slots=True)
class Lossy:
    """A column whose values may be lost on the way back."""

    column: str  # table.column, or schema.table.column outside of public
    reason: str


@dataclass(frozen=True, slots=True)
class Migrations:
    """How migrations are run, and what may be lost.

    Attributes:
        alembic: The settings of Alembic: alembic.ini, or a pyproject.toml that holds them. Relative to `folder`.
        django: The module with Django's settings.
        folder: Where both are started, relative to the repository.
        python: The interpreter, relative to the repository if it has a slash in it.
        tests: The command that runs the previous release's tests; `python` in front is the interpreter.
        seed: A file of SQL that fills the tables of the base, relative to the repository.
        environment: NAME=VALUE of further variables; {url}, {host}, {database} and {user} stand for the throw-away database.
            DATABASE_URL is given in any case.
        within_s: How long each move, and each run of the tests, may take.
        lossy: Tables of `column` and `reason`.
    """

    alembic: str = ""
    django: str = ""
    folder: str = ""
    python: str = ""
    tests: tuple[str, ...] = ()
    seed: str = ""
    environment: tuple[str, ...] = ()
    within_s: float = 300.0
    lossy: list[object] = field(default_factory=list[object])

    @classmethod
    def of(cls, document: Document) -> Self | None:
        """What the settings say; None if they say nothing. Raises UsageError if they are not right."""
        if "migrations" not in document.tables:
            return None
        found = strict(document, cls, document.tables["migrations"], "migrations")
        if bool(found.alembic) == bool(found.django):
            raise document.fail("migrations", "migrations needs either alembic (a file) or django (a settings module)")
        for pair in found.environment:
            if not pair.partition("=")[0].isidentifier() or "=" not in pair:
                raise document.fail("environment", f"environment in migrations holds {pair!r}; expected NAME=VALUE")
        found.losses(document)
        return found

    def losses(self, document: Document) -> tuple[Lossy, ...]:
        """The columns that may be lost. Raises UsageError if one is declared without a reason."""
        losses = tuple(strict(document, Lossy, table, "lossy") for table in self.lossy)
        for loss in losses:
            if not loss.reason.strip() or "." not in loss.column:
                raise document.fail("column", f"lossy {loss.column!r} needs a column such as users.legacy, and a reason")
        return losses

    def interpreter(self, root: Path) -> str:
        """The program that runs the team's code.

        Raises:
            WorldError: If it is not there.
        """
        named = str(root / self.python) if "/" in self.python else self.python or sys.executable
        found = shutil.which(named)
        if found is None:
            message = f"{named} is not there; [migrations] python says which interpreter runs the migrations"
            raise WorldError(message)
        return found
