"""Would somebody be woken by the failure that this very change can cause?

Recomputed each time: what to replay is what the base declares, and what an incident's file says there; the rules and routes are
those of the change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.core.errors import UsageError, WorldError
from interlock.core.verdict import Verdict, worst
from interlock.gate.drills.drill import Drill, Monitoring, Result, is_needed, replay
from interlock.gate.question import Answer, Question

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.gate.change import Change
    from interlock.gate.features import Feature


def ask(change: Change) -> Answer:
    """Every drill of every feature that the change touches."""
    if not change.touched:
        return Answer(verdict=Verdict.UNKNOWN, answer="it touches no declared feature, so there is nothing to replay")
    monitoring = Monitoring.of(change.settings)
    if monitoring is None:
        return Answer(verdict=Verdict.UNKNOWN, answer="no [alerts] at the base: where the rules are is not known")
    results = [result for feature in change.touched for result in _drilled(change, feature, monitoring)]
    return Answer(
        verdict=worst(result.verdict for _, result in results),
        answer="; ".join(f"{name}: {result.answer}" for name, result in results),
        evidence=(*_fired(results), *_unmatched(change)),
        facts={"drills": [{"feature": name, **result.as_facts()} for name, result in results]},
    )


def _drilled(change: Change, feature: Feature, monitoring: Monitoring) -> list[tuple[str, Result]]:
    drills = [drill for drill in Drill.all_of(change.settings) if drill.feature == feature.name]
    if not drills:
        return [(feature.name, Result(verdict=Verdict.UNKNOWN, answer="no [[drill]] is declared for it"))]
    incidents = {drill.incident for drill in drills if drill.incident}
    needed = [path for path in change.repository.tree(change.head) if is_needed(path, monitoring, drills)]
    files = {
        **change.repository.contents(change.head, [path for path in needed if path not in incidents]),
        **change.repository.contents(change.base, incidents),
    }
    return [(feature.name, _replayed(drill, change, monitoring, files, feature.pagers)) for drill in drills]


def _fired(results: list[tuple[str, Result]]) -> Iterator[str]:
    for name, result in results:
        for fired in result.fired:
            where = ", ".join(fired.receivers) or "nobody known"
            yield f"{name}: {fired.alert} fires after {fired.after_s:.0f} s, goes to {where}"


def _unmatched(change: Change) -> Iterator[str]:
    """Who is on call in words alone: words cannot be held against routes, so any pager will do."""
    for feature in change.touched:
        if feature.on_call and not feature.pagers:
            yield f"{feature.name}: which receivers wake {feature.on_call} is not declared (pagers), so any pager counts"


def _replayed(
    drill: Drill, change: Change, monitoring: Monitoring, files: dict[str, bytes], on_call: tuple[str, ...]
) -> Result:
    """The drill; unknown, with the reason, where the tools or the files do not let it be run."""
    try:
        return replay(drill, drill.shown(change.settings), monitoring, files, on_call)
    except (UsageError, WorldError) as error:
        return Result(verdict=Verdict.UNKNOWN, answer=str(error))


QUESTION = Question(
    place=8,
    text="Would an alert fire on the failure it can cause, and reach a pager?",
    prove_with="interlock drill",
    ask=ask,
    recomputes="the drills, with promtool and amtool",
)
