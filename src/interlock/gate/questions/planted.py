"""Does the code of this change hold a known hazard that was not there before?

A suppression that the change brings along is its author's word, so it leaves the question open: nothing in a change can relax
its own gate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.check.run import check_change
from interlock.core.verdict import Verdict, worst
from interlock.gate.question import Answer, Question

if TYPE_CHECKING:
    from interlock.check.run import Report
    from interlock.gate.change import Change


def ask(change: Change) -> Answer:
    """What `check` finds in the change, with the exclusions of the base."""
    excluded = change.check_settings.excludes
    before, after = (
        {path: content for path, content in contents.items() if path.endswith((".py", ".pyw")) and not excluded(path)}
        for contents in (change.before, change.after)
    )
    report = check_change(before, after)
    verdict = worst([report.verdict, Verdict.UNKNOWN if report.suppressed else Verdict.PASS])
    return Answer(verdict=verdict, answer=_in_words(report), evidence=tuple(_seen(report)))


def _in_words(report: Report) -> str:
    hazards = dict.fromkeys(finding.hazard for finding in report.findings)
    match report.verdict:
        case Verdict.FAIL:
            return f"yes: {', '.join(hazards)}"
        case Verdict.UNKNOWN:
            return f"{len(report.problems)} files could not be read"
        case Verdict.PASS if report.suppressed:
            return f"the change itself accepts {len(report.suppressed)}: a person has to agree, on the base branch"
        case Verdict.PASS:
            return f"no: {report.files} changed Python files, {report.hazards} hazards looked for"


def _seen(report: Report) -> list[str]:
    found = [f"{finding.location}: {finding.hazard} {finding.message}" for finding in report.findings]
    accepted = [
        f"{finding.location}: {finding.hazard} {finding.message} (suppressed by the change)" for finding in report.suppressed
    ]
    return found + accepted + [str(problem) for problem in report.problems]


QUESTION = Question(
    place=2,
    text="Does it plant a known hazard?",
    prove_with="interlock check --base BASE",
    ask=ask,
    always_required=True,
)
