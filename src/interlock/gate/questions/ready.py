"""Can the team answer for what must never fail, if this change breaks it?

Five questions of each Tier-1 feature that the change touches. Where evidence answers one, it does; else what people have
written down at the base counts, as their word. What evidence contradicts, nobody has said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from interlock.core.errors import UsageError
from interlock.core.settings import FILES
from interlock.core.verdict import Verdict
from interlock.gate.question import Answer, Question
from interlock.gate.questions import alerts, canary, rollback, tests
from interlock.gate.readiness import ASKED, Readiness, example

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.gate.change import Change
    from interlock.gate.features import Feature

_EVIDENCE: Final = {
    "rollback": rollback.QUESTION,
    "blast_radius": canary.QUESTION,
    "must_keep_running": tests.QUESTION,
    "worst_case": alerts.QUESTION,
}
_CONTRADICTED: Final = ("rollback", "blast_radius")  # By a bad answer of that question; the others say no more than they ask.


@dataclass(frozen=True, slots=True)
class _Told:
    """What is known of one of the five."""

    name: str
    verdict: Verdict
    line: str


def ask(change: Change) -> Answer:
    """What is known of the five, of each feature."""
    features = [feature for feature in change.touched if feature.tier == 1]
    if not features:
        return Answer(verdict=Verdict.UNKNOWN, answer="it touches no feature of tier 1, of which alone this is asked")
    told = {feature: [_told(change, feature, name) for name in Readiness.names()] for feature in features}
    missing = {feature: [one.name for one in five if one.verdict is not Verdict.PASS] for feature, five in told.items()}
    lines = [f"{feature.name}: {ASKED[one.name]} {one.line}" for feature, five in told.items() for one in five]
    if not any(missing.values()):
        names = ", ".join(feature.name for feature in features)
        return Answer(verdict=Verdict.PASS, answer=f"yes, all five questions are answered of {names}", evidence=tuple(lines))
    return Answer(
        verdict=Verdict.UNKNOWN,
        answer="; ".join(f"{feature.name}: nobody can say {', '.join(names)}" for feature, names in missing.items() if names),
        evidence=(*lines, *_to_paste(change, missing)),
    )


def _told(change: Change, feature: Feature, name: str) -> _Told:
    said, seen = feature.readiness.said(name), _seen(change, name)
    if seen is not None and seen.verdict is Verdict.PASS:
        return _Told(name, Verdict.PASS, f"{seen.answer} (evidence)")
    if seen is not None and seen.verdict is Verdict.FAIL and name in _CONTRADICTED:
        return _Told(name, Verdict.UNKNOWN, f"{f'{said} (said at the base), but' if said else 'not so:'} {seen.answer}")
    return _Told(name, Verdict.PASS, f"{said} (said at the base)") if said else _Told(name, Verdict.UNKNOWN, "nobody has said")


def _seen(change: Change, name: str) -> Answer | None:
    """What the question that bears on one of the five comes to; None if there is none, or it cannot be asked."""
    question = _EVIDENCE.get(name)
    try:
        return change.answer(question) if question else None
    except UsageError:
        raise
    except Exception:  # noqa: BLE001 - that question tells of it; here it is no evidence.
        return None


def _to_paste(change: Change, missing: dict[Feature, list[str]]) -> Iterator[str]:
    section = "feature" if change.settings.name == FILES[0] else "tool.interlock.feature"
    for feature, names in missing.items():
        unsaid = [name for name in names if not feature.readiness.said(name)]
        if unsaid:
            yield from example(feature.name, unsaid, section)


QUESTION = Question(
    place=9,
    text="Is the team ready for it to go wrong?",
    prove_with="declare [feature.readiness] below its [[feature]] in interlock.toml, on the base branch",
    ask=ask,
    recomputes="what the base says of its readiness, and the answers above",
)
