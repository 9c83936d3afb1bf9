"""What a step can and cannot see, said before it starts.

Each second of a step brings information about whether the canary is worse: with L events a second over the whole service, a
share w, and a true rate ratio of r, the expected growth of the logarithm of the best bet is

    I(r) = L (w r log(theta(r) / theta(1)) + (1 - w) log((1 - theta(r)) / (1 - theta(1))))

(Kullback & Leibler 1951, of labels). The bet is won when it has grown by log(1 / alpha), and what the mixture pays for not
knowing r. So a 20 % drop of orders, which are 5 % of 420 requests a second, is visible after 23 minutes at 1 %: a step of 15
minutes cannot see it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt
from typing import TYPE_CHECKING, Final

from interlock.roll.judge.evidence import spread
from interlock.roll.judge.labels import on_canary
from interlock.roll.judge.mixture import AT_ONCE, FEWER, WORSE
from interlock.roll.judge.noise import Noise
from interlock.roll.judge.safety import events_to_pass, tolerated
from interlock.roll.plan import Direction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interlock.roll.plan import Metric, Plan, Step

_NEVER: Final = float("inf")
_WORST: Final = 1000.0


@dataclass(frozen=True, slots=True)
class Sight:
    """What one step sees of one metric."""

    step: Step
    metric: Metric
    smallest: (
        float | None
    )  # The rate ratio nearest to 1 that is stopped within the bake time in half of the cases; None: not one.
    harm_after_s: float  # When a change by the tolerance is stopped, in half of the cases; inf: never.
    pass_after_s: float  # When a change by the tolerance is excluded, if nothing changed; inf: never.

    @property
    def is_seeing(self) -> bool:
        """Whether the step can tell the tolerance from no change."""
        return self.pass_after_s <= self.step.bake_s + self.metric.settles_s


def sights(plan: Plan, rates: Mapping[str, float]) -> list[Sight]:
    """What every step before everyone sees of every metric whose rate of events is known (a second, whole service)."""
    return [
        _sight(plan, step, metric, rates[metric.name])
        for step in plan.steps
        if step.share < 1.0
        for metric in plan.metrics
        if metric.name in rates
    ]


def _sight(plan: Plan, step: Step, metric: Metric, rate: float) -> Sight:
    worse = metric.direction is not Direction.DOWN
    harm = 1.0 + metric.tolerance if worse else 1.0 - metric.tolerance
    noise = Noise.assumed(plan.noise_cv)
    events = events_to_pass(tolerated(metric.tolerance, noise, spread(step), worse=worse), plan.beta, worse=worse)
    return Sight(
        step=step,
        metric=metric,
        smallest=_smallest(plan, step, metric, rate),
        harm_after_s=stopped_after_s(plan, step, metric, rate, harm) + metric.settles_s,
        pass_after_s=events / (rate * step.share) + metric.settles_s if rate else _NEVER,
    )


def stopped_after_s(plan: Plan, step: Step, metric: Metric, rate: float, ratio: float) -> float:
    """When a canary of this rate ratio is stopped, in half of the cases; inf if it never is."""
    if abs(log(max(ratio, 1e-3))) <= _hidden(plan, step):
        return _NEVER
    weight = metric.weight / sum(other.weight for other in plan.metrics)
    bets = WORSE if ratio > 1.0 else FEWER
    part = min(bets, key=lambda bet: abs(log(bet[0] / max(ratio, 1e-3))))[1] / sum(share for _, share in bets)
    gain = log(1.0 / (plan.alpha * weight * part * AT_ONCE))
    null, theta = on_canary(1.0, step.share), on_canary(ratio, step.share)
    off = (1.0 - step.share) * log((1.0 - theta) / (1.0 - null))
    on = step.share * ratio * log(theta / null) if theta else 0.0
    information = rate * (on + off)
    return gain / information if information > 0.0 else _NEVER


def _hidden(plan: Plan, step: Step) -> float:
    """Up to which logarithm of a ratio harm cannot be told from noise that lasts: an e-value of 1/alpha of a normal law."""
    return plan.noise_cv * spread(step) * sqrt(2.0 * log(1.0 / plan.alpha))


def _smallest(plan: Plan, step: Step, metric: Metric, rate: float) -> float | None:
    """By halving on the logarithm of the ratio."""
    worst = log(_WORST) if metric.direction is not Direction.DOWN else -log(_WORST)
    if stopped_after_s(plan, step, metric, rate, exp(worst)) > step.bake_s:
        return None
    seen, unseen = worst, 0.0
    for _ in range(40):
        middle = (seen + unseen) / 2.0
        if stopped_after_s(plan, step, metric, rate, exp(middle)) <= step.bake_s:
            seen = middle
        else:
            unseen = middle
    return exp(seen)
