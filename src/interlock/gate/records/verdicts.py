"""The gate's own verdict on record: what a deployment can ask for without asking every question again.

It is framed as in-toto's Simple Verification Result: the properties are the questions that pass, those that are waived
(as such), and `INTERLOCK_GATE` where the change may ship. It is bound to the content of what the change leaves behind; what it
deletes has none, and is told beside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from interlock.core.errors import UsageError
from interlock.core.evidence import SIMPLE_VERIFICATION_RESULT, Evidence, Frame, git_blob, is_on_record
from interlock.core.verdict import Verdict

if TYPE_CHECKING:
    from interlock.gate.change import Change
    from interlock.gate.decide import Decision
    from interlock.gate.question import Asked

KIND: Final = "gate"
_VERIFIER: Final = "urn:interlock:gate:v1"  # The next one has other questions, or takes other answers for a pass.


def recorded(decision: Decision, change: Change) -> Evidence:
    """A decision as evidence.

    Raises:
        UsageError: If the change leaves no file behind that it could be bound to.
    """
    subjects, deleted = left_behind(change)
    if not subjects:
        message = "the change leaves no file behind, so there is no content that its verdict could be bound to"
        raise UsageError(message)
    return Evidence(
        kind=KIND,
        verdict=decision.verdict,
        subjects=subjects,
        made_at=change.moment,
        command=("interlock", "gate", "--base", change.base, "--head", change.head),
        found={
            "base": change.base,
            "head": change.head,
            "deleted": deleted,
            "questions": [_question(asked) for asked in decision.asked],
        },
        frame=_frame(decision, change),
    )


def left_behind(change: Change) -> tuple[dict[str, str], list[str]]:
    """What a change leaves behind, with its git blobs, and what it deletes. Evidence that it brings along is no part of it."""
    paths = {path for path in change.paths if not is_on_record(path)}
    contents = change.repository.contents(change.head, sorted(paths))
    return {path: git_blob(content) for path, content in contents.items()}, sorted(paths - contents.keys())


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
