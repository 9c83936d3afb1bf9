"""The plugin for flake8. Being installed beside it is enough.

ILK001  a known hazard
ILK002  something that was not checked: a suppression that does not count, a file too deep to read
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from interlock import __version__
from interlock.cli.linters.seen import in_file

if TYPE_CHECKING:
    import ast
    from collections.abc import Iterator, Sequence


class Plugin:
    """What flake8 makes for each file, and runs. Source: https://flake8.pycqa.org/en/latest/plugin-development/."""

    name = "interlock"
    version = __version__

    def __init__(self, tree: ast.AST, filename: str, lines: Sequence[str]) -> None:
        del tree  # By asking for it a plugin becomes one that is run once a file.
        self._path = Path(filename)
        self._lines = lines

    def run(self) -> Iterator[tuple[int, int, str, type[Plugin]]]:
        """Each finding: line from 1, column from 0, text, and who says it."""
        content = self._path.read_bytes() if self._path.is_file() else "".join(self._lines).encode()
        seen = in_file(self._path, content)
        for finding in seen.findings:
            place = finding.location
            yield place.line, place.column - 1, f"ILK001 {finding.hazard} {finding.message}", type(self)
        for problem in seen.problems:
            yield problem.line or 1, 0, f"ILK002 {problem.message}", type(self)
