"""What a question is, and what an answer carries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from interlock.core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from interlock.core.finding import Finding
    from interlock.gate.change import Change
    from interlock.gate.records.ground import Ground
    from interlock.gate.waivers.waiver import Waiver


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One question, answered."""

    verdict: Verdict
    answer: str  # one line, in words
    evidence: tuple[str, ...] = ()  # what was seen, a line each
    grounds: tuple[Ground, ...] = ()  # the pieces of evidence that it rests on; those that did not count are none
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])  # figures for programs and pictures, as JSON has them
    findings: tuple[Finding, ...] = ()  # those of what was seen that have a place in the code


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question that a change must answer before it ships."""

    place: int  # the order in which questions are asked
    text: str
    prove_with: str  # the command that answers it, or adds what is missing
    ask: Callable[[Change], Answer]
    recomputes: str = ""  # what the gate works out anew to answer it; empty if all that it rests on is on record
    always_required: bool = False  # also where no Tier-1 feature is touched
    no_waiver: str = ""  # why no waiver settles it; empty if one may


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question with its answer."""

    name: str  # stays the same however the question is worded: the name of its file
    question: Question
    answer: Answer
    required: bool = field(default=True)
    waiver: Waiver | None = None  # that counts, and settles it as long as it is open

    @property
    def counts_as(self) -> Verdict:
        """What it adds to the verdict. A waiver takes the place of an answer, never that of a bad one."""
        return Verdict.PASS if self.waiver and self.answer.verdict is Verdict.UNKNOWN else self.answer.verdict

    @property
    def word(self) -> str:
        """Its answer in a word, for people: the verdict, or that it is waived."""
        return str(self.answer.verdict) if self.counts_as is self.answer.verdict else "waived"
