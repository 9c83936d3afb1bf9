"""Audits what is there already: the tests of a change, or past deployments.

interlock audit --tests --base main      do the tests that must exist run, pass, and fail on planted hazards?
interlock audit --last 3                 what would the gate have said of the last deployments, with the evidence of then?
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from interlock.check.repository import Repository
from interlock.cli.settings import project_around
from interlock.core import evidence
from interlock.core.counting import counted
from interlock.core.errors import UsageError
from interlock.core.evidence import Evidence, git_blob
from interlock.core.verdict import Verdict, worst
from interlock.gate.change import Change
from interlock.gate.past import Deployments, audited
from interlock.gate.records.signers import sign
from interlock.gate.test_audit.audit import Audit, audit, test_result
from interlock.gate.test_audit.coverage import Coverage, coverage_of
from interlock.gate.test_audit.declared import TestSettings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from interlock.cli.console import Console
    from interlock.gate.past import Deployment

HELP = "audit the tests of a change, or past deployments"
_COLOURS: Final = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.UNKNOWN: "yellow"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own arguments."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--tests", action="store_true", help="run the tests that must exist, with hazards planted")
    what.add_argument("--last", type=int, metavar="N", help="ask the gate's questions of the last N deployments")
    parser.add_argument("--base", default="main", metavar="REF", help="with --tests: merged into this (default: main)")
    parser.add_argument("--coverage", type=Path, metavar="FILE", help="with --tests: what `coverage json` wrote")
    parser.add_argument("--sign", type=Path, metavar="KEY", help="with --tests: sign the evidence with this SSH key")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print the result (default: text)")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Audits, prints, and answers with an exit code."""
    repository = Repository.needed(Path.cwd(), "audit")
    if arguments.last is not None:
        return _past(arguments, repository, console)
    return _tests(arguments, repository, console)


def _past(arguments: argparse.Namespace, repository: Repository, console: Console) -> int:
    if arguments.last < 1:
        message = f"--last: found {arguments.last}, expected 1 or more"
        raise UsageError(message)
    found = audited(repository, Deployments.of(project_around(repository.root).document), arguments.last)
    console.result(_past_json(found) if arguments.format == "json" else "\n".join(_table(found, console)))
    console.note(f"{counted(len(found), 'deployment')}, {console.elapsed_s:.2f} s")
    return worst(one.decision.verdict for one in found).exit_code


def _table(found: list[Deployment], console: Console) -> Iterator[str]:
    """A row for each question, a column for each deployment."""
    questions = [asked.question.text for asked in found[0].decision.asked]
    width, columns = max(map(len, questions)), [max(8, len(one.name)) for one in found]
    yield " " * width + "".join(f"  {one.name:{column}}" for one, column in zip(found, columns, strict=True))
    for row, question in enumerate(questions):
        cells = [one.decision.asked[row] for one in found]
        shown = [
            console.paint(f"{cell.word:{column}}", _COLOURS[cell.answer.verdict])
            for cell, column in zip(cells, columns, strict=True)
        ]
        yield f"{question:{width}}" + "".join(f"  {cell}" for cell in shown)
    verdicts = [
        console.paint(f"{one.decision.verdict:{column}}", _COLOURS[one.decision.verdict], "bold")
        for one, column in zip(found, columns, strict=True)
    ]
    yield f"{'the gate would have said':{width}}" + "".join(f"  {verdict}" for verdict in verdicts)
    said = [f"{one.said.verdict or 'no word':{column}}" for one, column in zip(found, columns, strict=True)]
    yield f"{'the gate did say, as far as it was kept':{width}}" + "".join(f"  {verdict}" for verdict in said)
    yield from (f"{one.name}: {line}" for one in found for line in (*one.decision.set_aside, *one.said.set_aside))


def _past_json(found: list[Deployment]) -> str:
    told = [
        {
            "deployment": one.name,
            "verdict": one.decision.verdict,
            "said": None if one.said.ground is None else {"verdict": one.said.verdict, **one.said.ground.as_facts()},
            "said_set_aside": list(one.said.set_aside),
            "questions": [
                {
                    "name": asked.name,
                    "question": asked.question.text,
                    "verdict": asked.answer.verdict,
                    "answer": asked.answer.answer,
                    "waiver": asked.waiver.as_facts() if asked.waiver else None,
                }
                for asked in one.decision.asked
            ],
        }
        for one in found
    ]
    return json.dumps({"version": 1, "deployments": told}, indent=2)


def _tests(arguments: argparse.Namespace, repository: Repository, console: Console) -> int:
    change = Change.between(repository, arguments.base, "HEAD")
    settings = TestSettings.of(change.settings)
    names = {feature.name for feature in change.touched}
    musts = [must for must in change.must_tests if must.feature in names]
    found = audit(change, musts, settings, console.note)
    coverage = coverage_of(change, arguments.coverage, settings.coverage_min)
    verdict = worst([found.verdict, coverage.verdict])
    kept = _kept(arguments, change, found, coverage, verdict)
    if arguments.format == "json":
        console.result(json.dumps({"version": 1, "verdict": verdict, **_facts(found, coverage)}, indent=2))
    else:
        console.result("\n".join(_lines(found, coverage, verdict, console)))
    console.note(f"evidence: {kept.relative_to(repository.root)}")
    console.note(f"{counted(len(found.ran), 'test')}, {counted(len(found.planted), 'mutant')}, {console.elapsed_s:.1f} s")
    return verdict.exit_code


def _facts(found: Audit, coverage: Coverage) -> dict[str, Any]:
    """All that was seen, as JSON has it."""
    facts = found.as_facts()
    doubts = [*facts["doubts"], *coverage.doubts]
    return {**facts, "doubts": doubts, "covered": dict(coverage.shares), "uncovered": list(coverage.too_little)}


def _lines(found: Audit, coverage: Coverage, verdict: Verdict, console: Console) -> Iterator[str]:
    for name, why in found.missing.items():
        yield f"{console.paint(name, 'red', 'bold')}: {why}"
    for one in found.survivors:
        yield f"{one.path}:{one.line}: {console.paint(one.hazard, 'red', 'bold')} no test fails when {one.what}"
    yield from (*coverage.too_little, *found.doubts, *coverage.doubts)
    if not found.ran:
        yield "no test must exist for what the change touches: declare [[must_test]] at the base"
    noticed = sum(one.is_noticed is True for one in found.planted)
    told = f"{noticed} of {counted(len(found.planted), 'hazard')} noticed"
    yield f"{console.paint(f'{verdict}', _COLOURS[verdict], 'bold')}: {told}"


def _kept(arguments: argparse.Namespace, change: Change, found: Audit, coverage: Coverage, verdict: Verdict) -> Path:
    """Leaves evidence: of the changed files, and of the tests."""
    paths = {*change.sources[1], *(name.partition("::")[0] for name in found.ran)}
    contents = change.repository.contents(change.head, sorted(paths))
    claim = Evidence(
        kind="tests",
        verdict=verdict,
        subjects={path: git_blob(content) for path, content in contents.items()},
        made_at=datetime.now(UTC),
        command=("interlock", "audit", "--tests", "--base", arguments.base),
        found=_facts(found, coverage),
        frame=test_result(found, coverage.too_little, verdict, change),
    )
    path = evidence.write(claim, change.repository.root)
    if arguments.sign is not None:
        sign(path, arguments.sign)
    return path
