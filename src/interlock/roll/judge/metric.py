"""One metric under judgement: its bets, its counts, and the three answers."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, Any, Final

from interlock.core.verdict import Verdict
from interlock.roll.judge.judgement import MetricJudgement
from interlock.roll.judge.mixture import FEWER, WORSE, Mixture, Stake
from interlock.roll.plan import Direction, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interlock.roll.judge.mixture import Group
    from interlock.roll.plan import Metric, Plan

_MUCH: Final = 1.6  # How many times the least possible number of events a mixture needs; measured by the simulator.


class MetricJudge:
    """What is known of one metric. Its size does not depend on how much it was told."""

    def __init__(self, plan: Plan, metric: Metric, weight: float) -> None:
        self.metric = metric
        self.needed = 1.0 / (plan.alpha * weight)
        self._plan = plan
        self.weight = weight
        thresholds = max(1, len(metric.above_ms)) if metric.kind is Kind.LATENCY else 1
        ratios = {Direction.UP: (WORSE,), Direction.DOWN: (FEWER,), Direction.EITHER: (WORSE, FEWER)}[metric.direction]
        self._against = [[Mixture(towards) for towards in ratios] for _ in range(thresholds)]
        self._stake = Stake(plan.planned_s)
        edges = {Direction.UP: (True,), Direction.DOWN: (False,), Direction.EITHER: (True, False)}[metric.direction]
        self._for = [_safety(metric.tolerance, worse=worse) for worse in edges]
        self._canary = [0] * thresholds
        self._expected = [0.0] * thresholds

    def tick(self, groups: Sequence[Sequence[Group]], elapsed_s: float) -> None:
        """What happened in a tick, for each threshold."""
        stake = self._stake.put_down(elapsed_s)
        for index, seen in enumerate(groups):
            for mixture in self._against[index]:
                mixture.add(seen, stake)
            for share, baseline, canary in seen:
                self._canary[index] += canary
                self._expected[index] += baseline * share / (1.0 - share)
        for mixture in self._for:
            mixture.add(groups[0], 1.0 if not self._begun_safety else 0.0)

    @property
    def _begun_safety(self) -> bool:
        return any(any(mixture.state()) for mixture in self._for)

    @property
    def evidence(self) -> float:
        """The e-value against "the version changes nothing": a mean over thresholds and directions."""
        values = [mixture.won + self._stake.left for mixtures in self._against for mixture in mixtures]
        return sum(values) / len(values)

    @property
    def safety(self) -> float:
        """The e-value against "it is worse by the tolerance"."""
        return min(mixture.won for mixture in self._for)

    def judgement(self) -> MetricJudgement:
        """The three answers."""
        canary, expected = self._canary[0], self._expected[0]
        wanted = events_to_pass(self.metric, self._plan.beta)
        harmed = canary if self.metric.direction is not Direction.DOWN else expected - canary
        visible = expected >= wanted
        if self.evidence >= self.needed and harmed >= self._plan.harmed_min:
            verdict, reason = Verdict.FAIL, f"{canary} on the canary, {expected:.1f} expected"
        elif self.safety >= 1.0 / self._plan.beta:
            verdict, reason = Verdict.PASS, f"a change by {self.metric.tolerance:.0%} is excluded"
        else:
            verdict = Verdict.UNKNOWN
            reason = f"{expected:.1f} of {wanted:.0f} events expected so far" if not visible else "not excluded yet"
        return MetricJudgement(
            name=self.metric.name,
            verdict=verdict,
            evidence=self.evidence,
            needed=self.needed,
            canary=canary,
            expected=expected,
            visible=visible,
            reason=reason,
        )

    def state(self) -> dict[str, Any]:
        """What a successor has to know."""
        return {
            "against": [[mixture.state() for mixture in mixtures] for mixtures in self._against],
            "for": [mixture.state() for mixture in self._for],
            "stake": [self._stake.left, self._stake.begun],
            "canary": self._canary,
            "expected": self._expected,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where a predecessor was."""
        for mixtures, kept in zip(self._against, state["against"], strict=True):
            for mixture, bets in zip(mixtures, kept, strict=True):
                mixture.restore(bets)
        for mixture, bets in zip(self._for, state["for"], strict=True):
            mixture.restore(bets)
        self._stake.left, self._stake.begun = state["stake"]
        self._canary, self._expected = list(state["canary"]), list(state["expected"])


def _safety(tolerance: float, *, worse: bool) -> Mixture:
    """Bets that the canary is no different, against its being worse by the tolerance."""
    edge = 1.0 + tolerance if worse else 1.0 - tolerance
    return Mixture(((1.0, 0.6), ((1.0 + edge) / 2, 0.2), (1.0 / edge**0.5, 0.2)), null=edge)


def events_to_pass(metric: Metric, beta: float) -> float:
    """How many events on the canary it takes to exclude the tolerance, if the version changes nothing."""
    edge = 1.0 - metric.tolerance if metric.direction is Direction.DOWN else 1.0 + metric.tolerance
    return _MUCH * log(1.0 / beta) / (edge - 1.0 - log(edge))
