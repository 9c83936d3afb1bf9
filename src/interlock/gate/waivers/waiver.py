"""A waiver: an owner's signed word that one open question need not be answered for one change, with a reason and a last day.

It is evidence like any other, in `.interlock/evidence/waiver/`. It is bound to the content of all that the change touches and
to the settings by which it was judged, so that it is of no use to another change, nor under other rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final, Self

from interlock.core.errors import UsageError
from interlock.core.evidence import Evidence
from interlock.core.finding import printable
from interlock.core.verdict import Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from interlock.gate.change import Change
    from interlock.gate.left_behind import LeftBehind
    from interlock.gate.question import Asked
    from interlock.gate.records.kept import Kept
    from interlock.gate.records.signers import Trust

KIND: Final = "waiver"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """What one says. Where it does not say it, nothing."""

    question: str  # the name of a question
    owner: str  # who answers for it
    reason: str
    until: date | None  # the last day on which it counts, in UTC
    made_at: datetime
    trust: Trust
    by: str  # who signed it
    path: str  # of its file, relative to the project

    @classmethod
    def of(cls, one: Kept, root: Path) -> Self:
        """What a piece of evidence says as a waiver."""
        found = one.evidence.found
        return cls(
            question=_line(found.get("question")),
            owner=_line(found.get("owner")),
            reason=_line(found.get("reason")),
            until=_day(found.get("until")),
            made_at=one.evidence.made_at,
            trust=one.trust,
            by=one.signer,
            path=one.path.relative_to(root).as_posix(),
        )

    @property
    def told(self) -> str:
        """One line for people."""
        return f"waived by {self.owner} until {self.until}: {self.reason} ({self.trust})"

    def as_facts(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "owner": self.owner,
            "reason": self.reason,
            "until": None if self.until is None else self.until.isoformat(),
            "made_at": self.made_at.astimezone(UTC).isoformat(timespec="seconds"),
            "trust": self.trust,
            "path": self.path,
        }


@dataclass(frozen=True, slots=True)
class Bound:
    """What a waiver of a change is bound to."""

    left: LeftBehind
    policies: list[dict[str, Any]]  # the settings of the base

    @classmethod
    def to(cls, change: Change) -> Self:
        """All of a change.

        Raises:
            UsageError: If there is something in it that has no content, or nothing that has.
        """
        left = change.left_behind
        if left.bare or not left.subjects:
            what = f"{left.bare[0]} is no plain file" if left.bare else "the change leaves no file behind"
            message = f"{what}, so there is no content that a waiver could be bound to"
            raise UsageError(message)
        return cls(left, change.policies)


def made(change: Change, asked: Asked, *, owner: str, reason: str, until: date) -> Evidence:
    """A waiver, not signed yet.

    Args:
        change: What it is for.
        asked: The question, with what was known when it was given.
        owner: Who answers for it.
        reason: Why it need not be answered.
        until: The last day on which it counts.

    Raises:
        UsageError: If there is nothing that it could be bound to.
    """
    bound = Bound.to(change)
    return Evidence(
        kind=KIND,
        verdict=Verdict.UNKNOWN,  # As the answer stays.
        subjects=bound.left.subjects,
        made_at=change.moment,
        command=("interlock", "waive", asked.name, "--base", change.base, "--head", change.head),
        found={
            "question": asked.name,
            "owner": owner,
            "reason": reason,
            "until": until.isoformat(),
            "answer": asked.answer.answer,
            **bound.left.beside,
            "policies": bound.policies,
        },
    )


def _line(value: object) -> str:
    """A text on one line that moves no cursor; nothing, if it is none."""
    return printable(" ".join(value.split())) if isinstance(value, str) else ""


def _day(value: object) -> date | None:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
