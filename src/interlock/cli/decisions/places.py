"""The decision as SARIF: what has a place in the code is a result, every other open or bad answer a notification.

Code scanning shows a result only where its lines are; a rollback that nobody rehearsed is in no line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interlock.cli.sarif import concerned, log
from interlock.core.verdict import Verdict

if TYPE_CHECKING:
    from interlock.cli.decisions.ruling import Ruling
    from interlock.gate.question import Asked


def told(ruling: Ruling) -> str:
    """The log. It is no success where a required question is open: then less was seen than had to be."""
    decision = ruling.decision
    findings = [finding for asked in decision.asked for finding in asked.answer.findings]
    notes = [_note(asked) for asked in ruling.answered(Verdict.FAIL, Verdict.UNKNOWN)]
    notes += [{"level": "warning", "message": {"text": line}} for line in decision.set_aside]
    rules = concerned(findings, ruling.change.hazards)
    return log(findings, rules, notes, is_whole=not decision.open_count, category="interlock/gate/")


def _note(asked: Asked) -> dict[str, Any]:
    answer, question = asked.answer, asked.question
    level = "error" if answer.verdict is Verdict.FAIL else "warning" if asked.required else "note"
    again = f" (answer it: {question.prove_with})" if answer.verdict is Verdict.UNKNOWN else ""
    waived = f"; {asked.waiver.told}" if asked.waiver else ""
    return {"level": level, "message": {"text": f"{asked.word}: {question.text} {answer.answer}{waived or again}"}}
