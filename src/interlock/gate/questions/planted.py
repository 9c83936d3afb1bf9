"""Does the code of this change hold a known hazard that was not there before?

A suppression that the change brings along is its author's word, so it leaves the question open: nothing in a change can relax
its own gate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.check.run import check_change, unread
from interlock.core.counting import counted
from interlock.core.verdict import Verdict, worst
from interlock.gate.passed_off import passed_off
from interlock.gate.question import Answer, Question

if TYPE_CHECKING:
    from interlock.check.run import Report
    from interlock.gate.change import Change


def ask(change: Change) -> Answer:
    """What `check` finds in the change, with the exclusions of the base."""
    excluded = change.check_settings.excludes
    before, after = ({path: content for path, content in contents.items() if not excluded(path)} for contents in change.sources)
    report = check_change(before, after, change.hazards, code=passed_off(change))
    report.excluded = len(change.sources[1]) - len(after)
    links = unread(change.repository, change.start, change.head)
    report.problems += [problem for problem in links if not excluded(problem.path)]
    verdict = worst([report.verdict, Verdict.UNKNOWN if report.suppressed else Verdict.PASS])
    return Answer(verdict=verdict, answer=_in_words(report), evidence=tuple(_seen(report)), findings=tuple(report.findings))


def _in_words(report: Report) -> str:
    hazards = dict.fromkeys(finding.hazard for finding in report.findings)
    match report.verdict:
        case Verdict.FAIL:
            return f"yes: {', '.join(hazards)}"
        case Verdict.UNKNOWN:
            return f"{counted(len({problem.path for problem in report.problems}), 'file')} could not be read whole"
        case Verdict.PASS if report.suppressed:
            return (
                f"the change itself accepts {len(report.suppressed)}: a person has to agree, by a waiver or on the base branch"
            )
        case Verdict.PASS:
            tests = f" ({report.tests} of them test code, not looked at)" if report.tests else ""
            looked_for = counted(len(report.hazards), "hazard")
            left_out = f"; the base leaves {report.excluded} out" if report.excluded else ""
            return f"no: {counted(report.files, 'changed Python file')}{tests}, {looked_for} looked for{left_out}"


def _seen(report: Report) -> list[str]:
    found = [f"{finding.location}: {finding.hazard} {finding.message}" for finding in report.findings]
    accepted = [
        f"{finding.location}: {finding.hazard} {finding.message} (suppressed by the change)" for finding in report.suppressed
    ]
    advised = {finding.hazard: f"{finding.advice} (interlock explain {finding.hazard})" for finding in report.findings}
    found += [f"mend: {advice}" for advice in advised.values()]
    return found + accepted + [str(problem) for problem in report.problems]


QUESTION = Question(
    place=2,
    text="Does it plant a known hazard?",
    prove_with="interlock check --base",
    ask=ask,
    recomputes="interlock check, on what is new",
    always_required=True,
)
