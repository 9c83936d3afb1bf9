"""What a question is, and what an answer carries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.gate.change import Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One question, answered."""

    verdict: Verdict
    answer: str  # one line, in words
    evidence: tuple[str, ...] = ()  # what was seen, a line each


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question that a change must answer before it ships."""

    place: int  # the order in which questions are asked
    text: str
    prove_with: str  # the command that answers it, or adds what is missing
    ask: Callable[[Change], Answer]
    always_required: bool = False  # also where no Tier-1 feature is touched
    is_planned: bool = False  # this version cannot gather the evidence yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question with its answer."""

    question: Question
    answer: Answer
    required: bool = field(default=True)


def no_evidence(missing: str) -> Callable[[Change], Answer]:
    """The answer of a question for which this version cannot gather evidence: unknown, never a pass."""

    def ask(_: Change) -> Answer:
        return Answer(verdict=Verdict.UNKNOWN, answer=f"{missing}; this version cannot gather it")

    return ask
