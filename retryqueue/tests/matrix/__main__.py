"""Runs every row and prints the table as Markdown: `python -m matrix`, in the folder `tests`.

Progress goes to the standard error. The exit status is 0 if each published queue fails as it was measured to, and ours passes.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis
from servers import any_binary

if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMNS = ("original", "fixed", "ours")


@dataclass(slots=True)
class Row:
    """One row of the table.

    Attributes:
        name: A letter, and a figure where a letter has several.
        asked: What is measured, and in which units.
        passes: When a queue passes.
        cells: What was measured, by queue.
        failed: The tests of this row that did not pass.
    """

    name: str
    asked: str
    passes: str
    cells: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)


class Table:
    """Listens to a run of pytest, and remembers what its tests have told.

    Attributes:
        rows: By name.
    """

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Each class is a row."""
        for item in session.items:
            row = getattr(item, "cls", None)
            if row is not None and hasattr(row, "asked"):
                name = row.__name__.removeprefix("TestRow")
                self.rows.setdefault(name, Row(name, row.asked, row.__doc__ or ""))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Each test fills a cell."""
        found = re.search(r"::TestRow(\w+)::(\w+)", report.nodeid)
        if found is None:
            return
        row = self.rows[found[1]]
        if report.failed:
            row.failed.append(found[2])
        if report.when == "call":
            row.cells.update((name, str(value)) for name, value in report.user_properties)

    def markdown(self) -> str:
        """The table, and below it what each row demands."""
        rows = sorted(self.rows.values(), key=lambda row: row.name)
        head = ["| row | what is asked | original | fixed | ours |", "| --- | --- | --- | --- | --- |"]
        lines = [f"| {row.name} | {row.asked} | {' | '.join(_cells(row))} |" for row in rows]
        demands = [f"- **{row.name}**: {row.passes}" for row in rows]
        return "\n".join([_measured_on(), "", *head, *lines, "", "A queue passes a row if this is true:", "", *demands])


def _cells(row: Row) -> list[str]:
    cells = [row.cells.get(column, "-") for column in COLUMNS]
    return cells if not row.failed else [*cells[:2], f"{cells[2]} **FAILED: {', '.join(row.failed)}**"]


def _measured_on() -> str:
    server = subprocess.run([any_binary(), "--version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"v=(\S+)", server)
    kind = Path(any_binary()).name.removesuffix("-server").capitalize()
    return (
        f"Measured on {kind} {version[1] if version else '?'}, redis-py {redis.__version__}, "
        f"Python {platform.python_version()}, {os.cpu_count()} cores; counts are exact, times are those of one run."
    )


def main(arguments: Sequence[str]) -> int:
    """Measures, and prints."""
    table = Table()
    with redirect_stdout(sys.stderr):
        status = pytest.main([str(Path(__file__).parent), "-q", "-p", "no:cacheprovider", *arguments], plugins=[table])
    sys.stdout.write(table.markdown() + "\n")
    return int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
