"""What a team declares of its rollback: which files it depends on, and where its environments tell their version and health.

[rollback]
covers = ["deploy/**", "migrations/**"]
within_s = 600

[[environment]]
name = "staging"
version_url = "https://staging.shop.example/version"
health_url = "https://staging.shop.example/health"
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from interlock.core.errors import UsageError, nearest
from interlock.core.globs import matches
from interlock.core.settings import strict, tables

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interlock.core.settings import Document


@dataclass(frozen=True, slots=True)
class Rollback:
    """What a rehearsal is bound to: it counts as long as these files stay what they were."""

    covers: tuple[str, ...]  # globs
    within_s: float = 600.0

    @classmethod
    def of(cls, document: Document) -> Self | None:
        """What the settings say; None if they say nothing."""
        return strict(document, cls, document.tables["rollback"], "rollback") if "rollback" in document.tables else None

    def covered(self, paths: Iterable[str]) -> list[str]:
        """Those of some paths that it depends on."""
        return sorted(path for path in paths if any(matches(path, glob) for glob in self.covers))


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a rehearsal can be carried out."""

    name: str
    version_url: str  # answers with the version that serves: text, or JSON with `version` (and `image`)
    health_url: str  # answers with 2xx if all is well

    @classmethod
    def all_of(cls, document: Document) -> dict[str, Self]:
        """The environments that are declared, by name. Raises UsageError if one is not declared right."""
        found = [strict(document, cls, table, "environment") for table in tables(document, "environment")]
        return {one.name: one for one in found}

    @classmethod
    def named(cls, document: Document, name: str) -> Self:
        """One of the declared environments. Raises UsageError if there is none of this name."""
        known = cls.all_of(document)
        if name not in known:
            message = f"no [[environment]] called {name!r}; {nearest(name, known) if known else 'none is declared'}"
            raise UsageError(message)
        return known[name]
