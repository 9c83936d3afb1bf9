"""Absolute limits, beside the comparison: harm that hurts both sides alike is invisible to it.

A canary that exhausts the shared database slows the baseline just as much. So a metric may have a limit for the whole
service: a part of the requests that may fail at most, or events per hour that there must be at least. Whether it is broken
is again a bet that may be looked at any time: for failures on k of n at a probability p_j above the limit p, each tick is
worth (p_j/p)^k ((1-p_j)/(1-p))^(n-k); for events per hour on a rate l_j below the limit l, in d hours (l_j/l)^k exp((l -
l_j) d) (Wald's likelihood ratios, 1945, mixed as in `mixture`). The threshold is ten times that of harm: limits come on top
of alpha.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, Any, Final

from interlock.roll.judge.mixture import Mixture, Stake
from interlock.roll.plan import Kind

if TYPE_CHECKING:
    from interlock.roll.plan import Metric, Plan

_ABOVE: Final = (1.2, 1.5, 2.0, 4.0, 10.0)
_BELOW: Final = (0.8, 0.5, 0.2, 0.01)


class Limit:
    """One metric's absolute limit."""

    __slots__ = ("_is_ratio", "_limit", "_mixture", "_needed", "_stake")

    def __init__(self, plan: Plan, metric: Metric) -> None:
        self._limit = metric.limit
        self._is_ratio = metric.kind in {Kind.FAILURES, Kind.LATENCY}
        self._needed = 10.0 / plan.alpha
        self._mixture = Mixture([1.0] * len(self._others()))
        self._stake = Stake(plan.planned_s)

    def _others(self) -> list[float]:
        """The probabilities, or rates, that are bet on."""
        if self._is_ratio:
            return [min(factor * self._limit, (1.0 + self._limit) / 2) for factor in _ABOVE]
        return [factor * self._limit for factor in _BELOW]

    def tick(self, events: int, requests: int, elapsed_s: float) -> None:
        """What the whole service did in a tick, both sides together."""
        hours = elapsed_s / 3600.0
        if self._is_ratio:
            good = max(0, requests - events)
            factors = [
                events * log(other / self._limit) + good * log((1 - other) / (1 - self._limit)) for other in self._others()
            ]
        else:
            factors = [events * log(other / self._limit) + (self._limit - other) * hours for other in self._others()]
        self._mixture.add(self._stake.put_down(elapsed_s), factors)

    @property
    def broken(self) -> str:
        """How the limit is broken; empty if that is not certain enough."""
        if self._stake.left + self._mixture.won < self._needed:
            return ""
        how = f"more than {self._limit:.2%} of the requests" if self._is_ratio else f"fewer than {self._limit:g} an hour"
        return f"{how}, over the whole service"

    def state(self) -> list[Any]:
        """What a successor has to know."""
        return [self._mixture.bets, self._stake.left, self._stake.begun]

    def restore(self, state: list[Any]) -> None:
        """Goes on where a predecessor was."""
        self._mixture.bets = list(state[0])
        self._stake.left, self._stake.begun = state[1:]
