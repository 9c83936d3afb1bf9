"""What is normal, learned from the baseline before the first step: how slow is slow, and how much do instances differ.

Both are fixed when the rollout begins, so that everything after it is judged by a rule that was there before it. Thresholds
of latency are the quantiles 50, 90, 99 and 99.9 % of what was seen, in buckets 1 % wide, so that comparing tails is counting
again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import floor, log
from typing import TYPE_CHECKING, Final

from interlock.roll.judge.noise import MINUTE_S, Noise
from interlock.roll.plan import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interlock.roll.judge.observations import Event
    from interlock.roll.plan import Metric, Plan

_QUANTILES: Final = (0.5, 0.9, 0.99, 0.999)
_WIDTH: Final = log(1.01)
_MINUTES_KEPT: Final = 60
_MINUTES_LEAST: Final = 5
_VALUES_LEAST: Final = 1000  # Fewer say nothing of a quantile of 99.9 %.


@dataclass(frozen=True, slots=True)
class Normal:
    """What was learned: noise by metric, thresholds by metric of latency."""

    noise: Mapping[str, Noise] = field(default_factory=dict[str, Noise])
    above_ms: Mapping[str, tuple[float, ...]] = field(default_factory=dict[str, tuple[float, ...]])


class Learner:
    """Watches the baseline before the first step."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._values: dict[str, Counter[int]] = {metric.name: Counter() for metric in plan.metrics}
        self._minutes: dict[str, dict[int, Counter[str]]] = {metric.name: {} for metric in plan.metrics}
        self._traffic: dict[str, Counter[str]] = {metric.name: Counter() for metric in plan.metrics}
        self._slow_ms: dict[str, float] = {}

    def see(self, metric: Metric, event: Event) -> None:
        """One event."""
        minute = floor(event.at_s / MINUTE_S)
        minutes = self._minutes[metric.name]
        if minute not in minutes:
            self._turn(metric, minute)
        self._traffic[metric.name][event.instance] += 1
        if metric.kind is Kind.LATENCY and event.value > 0:
            self._values[metric.name][floor(log(event.value) / _WIDTH)] += 1
            counts = event.value > self._slow_ms.get(metric.name, float("inf"))
        else:
            counts = event.bad or metric.kind in {Kind.BUSINESS, Kind.COUNT}
        minutes[minute][event.instance] += counts

    def _turn(self, metric: Metric, minute: int) -> None:
        """A new minute: the oldest is forgotten, and what is slow is known better."""
        minutes = self._minutes[metric.name]
        minutes[minute] = Counter()
        if len(minutes) > _MINUTES_KEPT:
            del minutes[min(minutes)]
        thresholds = metric.above_ms or self._quantiles(metric.name)
        if thresholds and metric.name not in self._slow_ms:
            self._slow_ms[metric.name] = thresholds[(len(thresholds) - 1) // 2]
            minutes.clear()
            minutes[minute] = Counter()

    def normal(self) -> Normal:
        """What was learned so far."""
        return Normal(
            noise={metric.name: self._noise(metric) for metric in self._plan.metrics},
            above_ms={
                metric.name: metric.above_ms or self._quantiles(metric.name)
                for metric in self._plan.metrics
                if metric.kind is Kind.LATENCY
            },
        )

    def _noise(self, metric: Metric) -> Noise:
        """From all minutes but the first and the last, which were not seen whole; assumed, if there is too little."""
        minutes = self._minutes[metric.name]
        whole = range(min(minutes) + 1, max(minutes)) if minutes else range(0)
        traffic = self._traffic[metric.name]
        instances = sorted(traffic)
        if len(whole) < _MINUTES_LEAST or len(instances) < 2:  # noqa: PLR2004 - one instance cannot differ.
            return Noise.assumed(self._plan.noise_cv)
        counts = [[minutes.get(minute, Counter[str]())[instance] for instance in instances] for minute in whole]
        answers = metric.kind in {Kind.FAILURES, Kind.LATENCY}
        return Noise.of_instances(counts, [traffic[instance] for instance in instances] if answers else ())

    def _quantiles(self, name: str) -> tuple[float, ...]:
        values = self._values[name]
        total = values.total()
        if total < _VALUES_LEAST:
            return ()
        found: list[float] = []
        below = 0
        for bucket in sorted(values):
            below += values[bucket]
            while len(found) < len(_QUANTILES) and below >= _QUANTILES[len(found)] * total:
                found.append(1.01 ** (bucket + 1))
        return tuple(found)
