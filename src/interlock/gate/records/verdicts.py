"""The gate's own verdict on record: what a deployment can ask for without asking every question again.

It is framed as in-toto's Simple Verification Result: the properties are the questions that pass, those that are waived
(as such), and `INTERLOCK_GATE` where the change may ship. It is bound to the content of what the change leaves behind; what it
deletes has none, and is told beside; so is what has no content of its own, such as a link.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from interlock.core.evidence import SIMPLE_VERIFICATION_RESULT, Evidence, Frame
from interlock.core.verdict import Verdict

if TYPE_CHECKING:
    from interlock.gate.change import Change
    from interlock.gate.decide import Decision
    from interlock.gate.question import Asked

KIND: Final = "gate"
_VERIFIER: Final = "urn:interlock:gate:v1"  # The next one has other questions, or takes other answers for a pass.


def recorded(decision: Decision, change: Change) -> Evidence | None:
    """A decision as evidence; None if the change leaves no file behind that it could be bound to."""
    left = change.left_behind
    if not left.subjects:
        return None
    return Evidence(
        kind=KIND,
        verdict=decision.verdict,
        subjects=left.subjects,
        made_at=change.moment,
        command=("interlock", "gate", "--base", change.base, "--head", change.head),
        found={
            "base": change.base,
            "head": change.head,
            **left.beside,
            "bare": left.bare,
            "questions": [_question(asked) for asked in decision.asked],
        },
        frame=_frame(decision, change),
    )


def _frame(decision: Decision, change: Change) -> Frame:
    passed = [f"INTERLOCK_{asked.name.upper()}" for asked in decision.asked if asked.answer.verdict is Verdict.PASS]
    waived = [f"INTERLOCK_WAIVED_{asked.name.upper()}" for asked in decision.asked if asked.waiver]
    fields = {
        "verifier": {"id": _VERIFIER, "policies": change.policies},
        "timeCreated": change.moment.isoformat(timespec="seconds"),
        "properties": [*(["INTERLOCK_GATE"] if decision.verdict is Verdict.PASS else []), *passed, *waived],
    }
    return Frame(SIMPLE_VERIFICATION_RESULT, fields)


def _question(asked: Asked) -> dict[str, Any]:
    return {
        "name": asked.name,
        "verdict": asked.answer.verdict,
        "answer": asked.answer.answer,
        "required": asked.required,
        "waiver": asked.waiver.as_facts() if asked.waiver else None,
        "grounds": [ground.as_facts() for ground in asked.answer.grounds],
    }
