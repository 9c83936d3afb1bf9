"""Does the code of this change hold a known hazard that was not there before?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.check.run import check_change
from interlock.core.verdict import Verdict
from interlock.gate.question import Answer, Question

if TYPE_CHECKING:
    from interlock.check.run import Report
    from interlock.gate.change import Change


def ask(change: Change) -> Answer:
    """What `check` finds in the change, with the exclusions of the base."""
    excluded = change.check_settings.excludes
    python = {path: content for path, content in change.after.items() if path.endswith((".py", ".pyw")) and not excluded(path)}
    report = check_change(change.before, python)
    return Answer(verdict=report.verdict, answer=_in_words(report), evidence=tuple(_seen(report)))


def _in_words(report: Report) -> str:
    hazards = dict.fromkeys(finding.hazard for finding in report.findings)
    match report.verdict:
        case Verdict.FAIL:
            return f"yes: {', '.join(hazards)}"
        case Verdict.UNKNOWN:
            return f"{len(report.problems)} files could not be read"
        case Verdict.PASS:
            accepted = f", {len(report.suppressed)} accepted by name" if report.suppressed else ""
            return f"no: {report.files} changed Python files, {report.hazards} hazards looked for{accepted}"


def _seen(report: Report) -> list[str]:
    found = [f"{finding.location}: {finding.hazard} {finding.message}" for finding in report.findings]
    accepted = [
        f"{finding.location}: {finding.hazard} is suppressed with a reason: {finding.code}" for finding in report.suppressed
    ]
    return found + accepted + [str(problem) for problem in report.problems]


QUESTION = Question(
    place=2,
    text="Does it plant a known hazard?",
    prove_with="interlock check --base BASE",
    ask=ask,
    always_required=True,
)
