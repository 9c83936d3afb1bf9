"""What to do next, from the plan, the step and the judgement: wait, promote, hold or abort.

A pure function, so that the rollout on one machine and the one on Kubernetes decide alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from interlock.core.verdict import Verdict
from interlock.roll.plan import Kind, OnUnknown

if TYPE_CHECKING:
    from collections.abc import Container

    from interlock.roll.judge import Judgement
    from interlock.roll.plan import Plan

_SPOTLESS_USERS: Final = 300


class Action(StrEnum):
    """What happens to the rollout now."""

    WAIT = "wait"  # The bake time is not over.
    PROMOTE = "promote"  # On to the next step.
    HOLD = "hold"  # The bake time is over, but nothing may go on; ask again at the next tick.
    ABORT = "abort"  # Share 0, and roll back.


@dataclass(frozen=True, slots=True)
class Decision:
    """An action, and the sentence that says why."""

    action: Action
    reason: str


def decide(plan: Plan, step: int, baked_s: float, judgement: Judgement) -> Decision:
    """What to do in this step after so many seconds of it."""
    if judgement.verdict is Verdict.FAIL:
        return Decision(Action.ABORT, judgement.reason)
    if baked_s < plan.watched_s(plan.steps[step]):
        return Decision(Action.WAIT, judgement.hold or judgement.reason)
    if judgement.hold:
        return Decision(Action.HOLD, judgement.hold)
    unsure = [metric for metric in judgement.metrics if metric.visible and metric.verdict is not Verdict.PASS]
    if unsure and plan.on_unknown is OnUnknown.HOLD:
        return Decision(Action.HOLD, f"not known to be good: {', '.join(metric.name for metric in unsure)}")
    unseen = [metric.name for metric in judgement.metrics if not metric.visible and metric.verdict is not Verdict.PASS]
    return Decision(Action.PROMOTE, f"too little to see of {', '.join(unseen)}" if unseen else judgement.reason)


def unseen(plan: Plan, judgement: Judgement, *, told: Container[str]) -> list[str]:
    """The metrics that nobody can call good. No failure among 300 users is good: below 1 % at 95 % (the rule of three).

    Not so where not the requests tell of a metric, but a source of its own (`told`): it may have had nothing to say to us.
    """
    enough = judgement.exposed_users >= _SPOTLESS_USERS
    kinds = {Kind.FAILURES, Kind.LATENCY} if enough else set[Kind]()
    spotless = {metric.name for metric in plan.metrics if metric.kind in kinds and metric.name not in told}
    return [
        metric.name
        for metric in judgement.metrics
        if metric.verdict is not Verdict.PASS and (metric.canary or metric.name not in spotless)
    ]
