"""Kayenta: every 30 minutes, a Mann-Whitney test on two series of failure rates, one number a minute.

As its judge does it (NetflixACAJudge.scala, MannWhitneyClassifier.scala): confidence 0.98, tolerance 0.25. A metric is High,
and a critical one fails the canary, if the interval of the shift lies above 0.25 of the Hodges-Lehmann estimate and the
means are not in the other order. The interval is that of the ordered pairwise differences (Conover, Practical Nonparametric
Statistics, 1999, 5.4).
"""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist, fmean, median
from typing import TYPE_CHECKING, Final

from interlock.roll.simulator.rules.window import Window

if TYPE_CHECKING:
    from interlock.roll.simulator.world import Moment

_CONFIDENCE: Final = 0.98
_TOLERANCE: Final = 0.25
_MINUTES: Final = 30


class Kayenta:
    """One critical metric, direction increase."""

    def __init__(self) -> None:
        self._window = Window()
        self._series: tuple[list[float], list[float]] = ([], [])
        self._minutes = 0

    def stops(self, moment: Moment) -> bool:
        """Whether the run that ends now fails the canary."""
        sums = self._window.add(moment)
        if sums is None:
            return False
        self._minutes += 1
        for series, requests, bad in ((self._series[0], *sums[:2]), (self._series[1], *sums[2:])):
            if requests:  # No value is left out.
                series.append(bad / requests)
        if self._minutes % _MINUTES:
            return False
        baseline, canary = self._series
        self._series = ([], [])
        return bool(baseline and canary) and is_high(baseline, canary)


def is_high(baseline: list[float], canary: list[float]) -> bool:
    """Kayenta's `High`."""
    if baseline == canary or fmean(canary) < fmean(baseline):
        return False
    differences = sorted(one - other for one in canary for other in baseline)
    m, n = len(canary), len(baseline)
    z = NormalDist().inv_cdf(0.5 + _CONFIDENCE / 2.0)
    rank = int(m * n / 2.0 - z * sqrt(m * n * (m + n + 1) / 12.0))
    return rank >= 1 and differences[rank - 1] > _TOLERANCE * abs(median(differences))
