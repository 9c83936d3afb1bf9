"""The decision as JSON: docs/design.md says what may be relied upon."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from interlock.cli.decisions.ruling import Ruling
    from interlock.gate.question import Asked
    from interlock.gate.records.ground import Ground


def told(ruling: Ruling) -> str:
    """The document."""
    return json.dumps(document(ruling), indent=2)


def document(ruling: Ruling) -> dict[str, Any]:
    """All of it."""
    return {
        "version": 1,
        "verdict": ruling.decision.verdict,
        "dry_run": ruling.is_dry_run,
        "waivers_set_aside": list(ruling.decision.set_aside),
        "questions": [_question(asked, ruling.change.moment) for asked in ruling.decision.asked],
    }


def _question(asked: Asked, now: datetime) -> dict[str, Any]:
    return {
        "name": asked.name,
        "question": asked.question.text,
        "verdict": asked.answer.verdict,
        "answer": asked.answer.answer,
        "evidence": list(asked.answer.evidence),
        "grounds": [_ground(ground, now) for ground in asked.answer.grounds],
        "facts": dict(asked.answer.facts),
        "prove_with": asked.question.prove_with,
        "required": asked.required,
        "waiver": asked.waiver.as_facts() if asked.waiver else None,
    }


def _ground(ground: Ground, now: datetime) -> dict[str, Any]:
    age = ground.age(now)
    return {**ground.as_facts(), "age_s": None if age is None else int(age.total_seconds())}
