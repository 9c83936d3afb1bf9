"""Is this a feature that must never fail? Its tier decides how much evidence the change needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.core.counting import counted
from interlock.core.verdict import Verdict
from interlock.gate.namesakes import clashes
from interlock.gate.providers import unclaimed
from interlock.gate.question import Answer, Question
from interlock.hazards.own import is_shared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.gate.change import Change

_MOST_REASONS = 4  # A page must stay a page.


def ask(change: Change) -> Answer:
    """Which declared features the change touches, with the reasons. Touching one is no fault; not knowing is unknown."""
    features = change.features
    if not change.paths:
        return Answer(verdict=Verdict.UNKNOWN, answer="nothing lies between base and head: there is no change to judge")
    if not features:
        told = "no feature is declared at the base, so nobody can say"
        return Answer(verdict=Verdict.UNKNOWN, answer=told, evidence=tuple(_to_begin_with(change)))
    named = [f"{feature.name} (tier {feature.tier})" for feature in change.touched]
    evidence = [f"{feature.name}: {line}" for feature, reasons in change.touched.items() for line in _shortened(reasons)]
    evidence += [f"{feature.name}: on call: {feature.on_call}" for feature in change.touched if feature.on_call]
    doubts = list(_doubts(change))
    answer = f"yes: {', '.join(named)}" if named else f"no: none of {counted(len(features), 'declared feature')}"
    return Answer(
        verdict=Verdict.UNKNOWN if doubts else Verdict.PASS,
        answer=f"{answer}, but the map is in doubt" if doubts else answer,
        evidence=(*evidence, *doubts),
    )


def _to_begin_with(change: Change) -> Iterator[str]:
    """What whoever asks for the first time has to know."""
    if change.alters_settings:
        yield "the settings that the change brings are in force once they are on the base branch"
    elif not change.settings.tables:
        yield "there are no settings yet: interlock init writes first ones, with proposals for this project"


def _doubts(change: Change) -> Iterator[str]:
    """Why the map cannot be relied upon: it names what is not there, or the change alters the settings that it is part of."""
    files = list({*change.repository.tree(change.base), *change.paths})
    for feature in change.features:
        yield from feature.astray(files)
    yield from clashes(change)
    if change.alters_settings:
        yield "the change alters the settings: a person has to agree that they guard as much as before"
    for contact in unclaimed(change):
        yield f"{contact}, and belongs to no feature: declare which, on the base branch, be it of tier 3"
    yield from (f"the change alters {path}: a person has to agree that it finds as much as before" for path in _altered(change))


def _altered(change: Change) -> Iterator[str]:
    """What the change does to the team's own hazards, other than to add one. Until it is merged those of the base are run."""
    own = change.own_hazards
    for difference in change.differences if own else ():
        is_inside = own is not None and difference.path.startswith(f"{own.folder}/") and difference.path.endswith(".py")
        if is_inside and (difference.status != "A" or is_shared(difference.path)):
            yield difference.path


def _shortened(reasons: list[str]) -> list[str]:
    rest = len(reasons) - _MOST_REASONS
    return [*reasons[:_MOST_REASONS], *([f"and {rest} more"] if rest > 0 else [])]


QUESTION = Question(
    place=1,
    text="Does it touch a declared feature?",
    prove_with="declare [[feature]] in interlock.toml on the base branch",
    ask=ask,
    recomputes="the base's map of features, on the diff",
    always_required=True,
)
