"""One metric under judgement: its counts, its bets, and its answer."""

from __future__ import annotations

from math import isinf
from typing import TYPE_CHECKING, Any, Final

from interlock.core.verdict import Verdict
from interlock.roll.judge.evidence import Evidence, spread
from interlock.roll.judge.judgement import MetricJudgement
from interlock.roll.judge.labels import Labels
from interlock.roll.judge.limit import Limit
from interlock.roll.judge.mixture import FEWER, WORSE, Mixture, Stake
from interlock.roll.judge.safety import Safety, events_to_pass, tolerated
from interlock.roll.plan import Direction, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interlock.roll.judge.intake import Told
    from interlock.roll.judge.labels import Group
    from interlock.roll.judge.learning import Normal
    from interlock.roll.plan import Metric, Plan

_COLD: Final = 5.0  # How much worse a cold instance may be than a warm one: x3 is common, and forgiven.
_COLD_WEIGHT: Final = 0.1  # The part of alpha for the time in which it is cold.


class MetricJudge:
    """What is known of one metric. Its size does not depend on how much it was told."""

    def __init__(self, plan: Plan, metric: Metric, weight: float, normal: Normal) -> None:
        self.metric, self.weight = metric, weight
        self.needed = 1.0 / (plan.alpha * weight)
        self.above_ms = metric.above_ms or normal.above_ms.get(metric.name, ())
        self._plan = plan
        self._noise = normal.noise[metric.name]
        self._sides = {Direction.UP: (True,), Direction.DOWN: (False,), Direction.EITHER: (True, False)}[metric.direction]
        self._counts = [[0.0, 0.0] for _ in range(self.channels)]  # For each threshold: expected, seen.
        several = self.channels * len(self._sides)
        self._against = [
            [Evidence(WORSE if worse else FEWER, self._noise, plan.steps, self.needed * several) for worse in self._sides]
            for _ in range(self.channels)
        ]
        self._for = [Safety(metric.tolerance, worse=worse) for worse in self._sides]
        self._cold = [_Cold(worse=worse) for worse in self._sides] if metric.warm_up_s else []
        self._stake = Stake(plan.planned_s)
        self._limit = Limit(plan, metric) if metric.limit else None
        self._step = 0

    @property
    def channels(self) -> int:
        """How many counts are compared: one for each threshold of latency, else one."""
        return len(self.above_ms) if self.metric.kind is Kind.LATENCY else 1

    def begin_step(self, index: int, at_s: float) -> None:
        """The canary has a new share, and new instances."""
        self._step = index
        for several in self._against:
            for evidence in several:
                evidence.begin_step(index, at_s)
        for safety in self._for:
            safety.begin_step(self._noise, self._spread)

    @property
    def _spread(self) -> float:
        return spread(self._plan.steps[self._step])

    def tick(self, told: Told, elapsed_s: float, at_s: float, requests: int) -> None:
        """What happened in a tick."""
        stake = self._stake.put_down(elapsed_s)
        if self._limit and told.groups:
            self._limit.tick(told.arrived, requests, elapsed_s)
        for cold in self._cold if told.cold else ():
            cold.add(told.cold)
        for counts, against, groups in zip(self._counts, self._against, told.groups, strict=True):
            for share, baseline, canary in groups:
                counts[0] += baseline * share / (1.0 - share)
                counts[1] += canary
            for evidence in against:
                evidence.add(groups, stake, at_s)
        for safety in self._for:
            safety.add(told.groups[0] if told.groups else ())

    @property
    def evidence(self) -> float:
        """The e-value against "the version changes nothing": a mean over thresholds, directions, and cold and warm."""
        if not self.channels:
            return 1.0
        values = [evidence.value(self._stake.left) for several in self._against for evidence in several]
        warm = sum(values) / len(values)
        if not self._cold:
            return warm
        return (1.0 - _COLD_WEIGHT) * warm + _COLD_WEIGHT * sum(cold.value for cold in self._cold) / len(self._cold)

    @property
    def harmed(self) -> float:
        """How many users the evidence is about: those on whom something happened, or, of a drop, on whom it should have."""
        cold = sum(cold.canary for cold in self._cold)
        happened = max((seen for _, seen in self._counts), default=0.0) + cold if True in self._sides else 0.0
        missed = max((expected for expected, _ in self._counts), default=0.0) if False in self._sides else 0.0
        return max(happened, missed)

    @property
    def broken_limit(self) -> str:
        """How the absolute limit is broken; empty if there is none, or it is not."""
        return self._limit.broken if self._limit else ""

    def judgement(self) -> MetricJudgement:
        """The three answers."""
        verdict, reason = self._answer()
        expected, seen = self._counts[0] if self._counts else (0.0, 0.0)
        return MetricJudgement(
            name=self.metric.name,
            verdict=verdict,
            evidence=self.evidence,
            needed=self.needed,
            canary=int(seen),
            expected=expected,
            visible=not self.channels or expected >= self._wanted,
            reason=reason,
        )

    @property
    def _wanted(self) -> float:
        """How many events must be expected on the canary before the tolerance can be told from no change."""
        edges = [(tolerated(self.metric.tolerance, self._noise, self._spread, worse=worse), worse) for worse in self._sides]
        return max(events_to_pass(edge, self._plan.beta, worse=worse) for edge, worse in edges)

    def _answer(self) -> tuple[Verdict, str]:
        if not self.channels:
            return Verdict.UNKNOWN, "no thresholds: above_ms is not set, and too little was seen before the first step"
        expected, seen = self._counts[0]
        told = f"{seen:.0f} on the canary where {expected:.1f} were to be expected"
        if broken := self.broken_limit:
            return Verdict.FAIL, broken
        if self.evidence >= self.needed and self.harmed >= self._plan.harmed_min:
            return Verdict.FAIL, f"{told}; evidence {self.evidence:,.0f} of {self.needed:,.0f} needed"
        if min(safety.value for safety in self._for) >= 1.0 / self._plan.beta:
            return Verdict.PASS, f"{told}; a change by {self.metric.tolerance:.0%} is excluded"
        if isinf(self._wanted):
            return Verdict.UNKNOWN, f"{told}; instances differ too much to exclude a change by {self.metric.tolerance:.0%}"
        if expected < self._wanted:
            return Verdict.UNKNOWN, f"{told}; {self._wanted:.0f} are needed to exclude a change by {self.metric.tolerance:.0%}"
        return Verdict.UNKNOWN, f"{told}; a change by {self.metric.tolerance:.0%} is not excluded"

    def state(self) -> dict[str, Any]:
        """What a successor has to know."""
        return {
            "step": self._step,
            "counts": self._counts,
            "against": [[evidence.state() for evidence in several] for several in self._against],
            "for": [safety.state() for safety in self._for],
            "cold": [cold.state() for cold in self._cold],
            "stake": [self._stake.left, self._stake.begun],
            "limit": self._limit.state() if self._limit else None,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where a predecessor was."""
        self._step, self._counts = state["step"], [list(pair) for pair in state["counts"]]
        self._stake.left, self._stake.begun = state["stake"]
        for several, kept in zip(self._against, state["against"], strict=True):
            for evidence, one in zip(several, kept, strict=True):
                evidence.restore(one)
        for safety, one in zip(self._for, state["for"], strict=True):
            safety.begin_step(self._noise, self._spread)
            safety.restore(one)
        for cold, one in zip(self._cold, state["cold"], strict=True):
            cold.restore(one)
        if self._limit:
            self._limit.restore(state["limit"])


class _Cold:
    """While instances warm up, what is judged is whether they are worse by more than cold ones are."""

    __slots__ = ("_labels", "_mixture", "_stake", "canary")

    def __init__(self, *, worse: bool) -> None:
        edge = _COLD if worse else 1.0 / _COLD
        ratios = WORSE if worse else FEWER
        self._labels = Labels([edge * ratio for ratio, _ in ratios], null=edge)
        self._mixture = Mixture([weight for _, weight in ratios])
        self._stake = 1.0
        self.canary = 0

    def add(self, groups: Sequence[Group]) -> None:
        """One tick."""
        self.canary += sum(canary for _, _, canary in groups)
        self._mixture.add(self._stake, self._labels.price(groups))
        self._stake = 0.0

    @property
    def value(self) -> float:
        return self._stake + self._mixture.won

    def state(self) -> list[Any]:
        return [self._mixture.bets, self._stake, self.canary]

    def restore(self, state: list[Any]) -> None:
        self._mixture.bets, self._stake, self.canary = list(state[0]), state[1], state[2]
