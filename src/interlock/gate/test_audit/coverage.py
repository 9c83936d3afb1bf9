"""Which part of each changed module the tests run, from the JSON report of coverage.py (`coverage json`).

It is asked of every module that an assistant wrote. Where there is a report, of all others as well. A line that the change
wrote and that the report leaves out (`# pragma: no cover`, `exclude_also`) is one that no test runs.
"""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from interlock.core.errors import UsageError
from interlock.core.verdict import Verdict
from interlock.gate.features import parsed
from interlock.gate.reviews.written import written_by_assistants
from interlock.source.module import is_test_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from interlock.gate.change import Change

HOW: Final = "coverage run -m pytest; coverage json; interlock audit --tests --coverage coverage.json"


@dataclass(frozen=True, slots=True)
class Coverage:
    """What is known of a change's modules.

    Attributes:
        shares: Which share of a module the tests run, 0 to 1.
        too_little: The modules of which they run too little, a line each.
        doubts: The modules that an assistant wrote and of which nothing is known, a line each.
    """

    shares: Mapping[str, float]
    too_little: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Fail if too little is run; unknown if that is not known of what an assistant wrote."""
        if self.too_little:
            return Verdict.FAIL
        return Verdict.UNKNOWN if self.doubts else Verdict.PASS


def coverage_of(change: Change, report: Path | None, at_least: float) -> Coverage:
    """What a report, if there is one, says of the modules of a change.

    Raises:
        UsageError: If it is no such report.
    """
    if report is None:
        written = written_by_assistants(change).items()
        doubts = tuple(
            f"{path}: {tool} wrote it, and which part of it the tests run is not known: {HOW}" for path, tool in written
        )
        return Coverage({}, doubts=doubts)
    after = change.sources[1]
    known = covered(report, {path: _to_run(change, path) for path in sorted(after) if not is_test_path(path)})
    too_little = [
        f"{one.path}: the tests run {one.share:.0%} of it, expected {at_least:.0%}" for one in known if one.share < at_least
    ]
    return Coverage({one.path: round(one.share, 4) for one in known}, tuple(too_little))


def uncovered(change: Change, shares: Mapping[str, float], at_least: float) -> str:
    """What an audit does not know of a module that an assistant wrote, or knows to be too little; nothing, if all is well."""
    for path, tool in written_by_assistants(change).items():
        if path not in shares:
            return f"{tool} wrote {path}, and it does not know which part of that the tests run ({HOW})"
        if shares[path] < at_least:
            return f"{tool} wrote {path}, of which the tests run {shares[path]:.0%}, expected {at_least:.0%}"
    return ""


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


def covered(report: Path, written: Mapping[str, AbstractSet[int]]) -> list[Covered]:
    """What a report says of some files.

    Args:
        report: Where it is.
        written: The files, each with the lines of it that count also where the report leaves them out.

    Raises:
        UsageError: If it is no such report.
    """
    try:
        files = cast("dict[str, Any]", json.loads(report.read_bytes())["files"])
        told = {path.replace("\\", "/"): file for path, file in files.items()}
        return [_of(path, told.get(path), lines) for path, lines in written.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"{report}: no report of coverage.py can be read from it ({error!r}); expected what `coverage json` writes"
        raise UsageError(message) from error


def _of(path: str, file: dict[str, Any] | None, lines: AbstractSet[int]) -> Covered:
    if file is None:
        return Covered(path, None)
    left_out = len(lines & set(file.get("excluded_lines", [])))
    return Covered(path, file["summary"]["covered_lines"], file["summary"]["num_statements"] + left_out)


def _to_run(change: Change, path: str) -> set[int]:
    """The lines that the change wrote, without those that are there for the type checker alone."""
    tree = parsed(change.sources[1][path])
    unrun = [node for node in ast.walk(tree) if isinstance(node, ast.stmt) and _is_for_types(node)]
    return change.lines[path][1] - {line for node in unrun for line in range(node.lineno, (node.end_lineno or 0) + 1)}


def _is_for_types(node: ast.stmt) -> bool:
    """Whether a statement is `if TYPE_CHECKING`, or a function of which only the signature is there."""
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"), orelse=[]):
            return True
        case (
            ast.FunctionDef(body=[*_, ast.Expr(value=ast.Constant(value=last))])
            | ast.AsyncFunctionDef(body=[*_, ast.Expr(value=ast.Constant(value=last))])
        ):
            return last is ... and all(isinstance(one, ast.Expr) for one in node.body)
        case _:
            return False
