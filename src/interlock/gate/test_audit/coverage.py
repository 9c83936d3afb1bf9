"""Which part of each changed file the tests run, from the JSON report of coverage.py (`coverage json`)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from interlock.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Covered:
    """One file."""

    path: str
    run: int | None  # how many of its lines are run; None if the report does not know the file
    lines: int = 0

    @property
    def share(self) -> float:
        """0 to 1; a file of which nothing is known is not covered."""
        return 0.0 if self.run is None else self.run / self.lines if self.lines else 1.0


def covered(report: Path, paths: Iterable[str]) -> list[Covered]:
    """What a report says of some files.

    Raises:
        UsageError: If it is no such report.
    """
    try:
        files = cast("dict[str, Any]", json.loads(report.read_bytes())["files"])
        told = {path.replace("\\", "/"): file["summary"] for path, file in files.items()}
        return [_of(path, told.get(path)) for path in paths]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"{report}: no report of coverage.py can be read from it ({error!r}); expected what `coverage json` writes"
        raise UsageError(message) from error


def _of(path: str, summary: dict[str, Any] | None) -> Covered:
    return Covered(path, None) if summary is None else Covered(path, summary["covered_lines"], summary["num_statements"])
