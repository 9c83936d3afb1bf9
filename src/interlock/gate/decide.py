"""Asks every question and draws the verdict.

A bad answer closes the gate, whoever asked. An open question closes it where the question is always required, or where the
change touches a Tier-1 feature: unknown never becomes pass. Where no evidence can settle it, a person's waiver does, in full
view.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.core.errors import UsageError
from interlock.core.verdict import Verdict, worst
from interlock.gate.question import Answer, Asked, Question
from interlock.gate.records.ground import Ground
from interlock.gate.waivers.settling import settled

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from interlock.gate.change import Change


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate says, and why."""

    verdict: Verdict
    asked: tuple[Asked, ...]
    set_aside: tuple[str, ...] = ()  # the waivers that do not count, a line each

    @property
    def open_count(self) -> int:
        """How many required questions have no answer yet."""
        return sum(asked.required and asked.counts_as is Verdict.UNKNOWN for asked in self.asked)


@cache
def questions() -> dict[str, Question]:
    """Every question that there is, by the name of its file, in the order in which they are asked."""
    folder = Path(__file__).parent / "questions"
    names = sorted(path.stem for path in folder.glob("[a-z]*.py"))
    found: dict[str, Question] = {name: import_module(f"{__package__}.questions.{name}").QUESTION for name in names}
    return dict(sorted(found.items(), key=lambda item: item[1].place))


def decide(change: Change) -> Decision:
    """The gate's verdict on a change."""
    answers = [(name, question, answered(question, change)) for name, question in questions().items()]
    is_tier_1 = _touches_tier_1(change)
    weighed = tuple(_weighed(name, question, answer, is_tier_1=is_tier_1) for name, question, answer in answers)
    asked, set_aside = settled(weighed, change)
    return Decision(verdict_of(asked), asked, set_aside)


def verdict_of(asked: Iterable[Asked]) -> Verdict:
    """What the answers come to: the worst of those that are required and that no waiver settles."""
    return worst(item.counts_as for item in asked if item.required)


def _touches_tier_1(change: Change) -> bool:
    """Whether the strictest rules hold. They do where it cannot be told."""
    try:
        return change.touches_tier_1
    except UsageError:
        raise
    except Exception:  # noqa: BLE001 - the question about it tells what went wrong.
        return True


def answered(question: Question, change: Change) -> Answer:
    """A question's answer. One that fails to find it is unknown, and the others are asked all the same."""
    try:
        return grounded(question, change.answer(question), change.moment)
    except UsageError:
        raise
    except Exception as error:  # noqa: BLE001 - the fault may be ours or the world's: either way nothing is known.
        why = traceback.format_exception_only(error)[-1].strip()
        return Answer(verdict=Verdict.UNKNOWN, answer=f"could not be asked: {why}")


def grounded(question: Question, answer: Answer, moment: datetime) -> Answer:
    """An answer with all that it rests on. A pass that names nothing to rest on is none."""
    if question.recomputes and answer.verdict is not Verdict.UNKNOWN:
        return replace(answer, grounds=(Ground.recomputed(question.recomputes, moment), *answer.grounds))
    if answer.verdict is Verdict.PASS and not answer.grounds:
        return replace(answer, verdict=Verdict.UNKNOWN, answer=f"{answer.answer}, but nothing is named that this rests on")
    return answer


def _weighed(name: str, question: Question, answer: Answer, *, is_tier_1: bool) -> Asked:
    required = question.always_required or is_tier_1 or answer.verdict is Verdict.FAIL
    return Asked(name=name, question=question, answer=answer, required=required)
