"""Labels of instances that differ for no reason: an urn that remembers what was drawn.

One instance serves from a slower disk, and has 30 % more failures than the next, whatever the version. Then labels are not
independent: within a block of time the canary's probability is itself drawn, around what the ratio says. With a beta law for
it, the labels of a block are those of Polya's urn, and their price is a ratio of beta-binomial probabilities (Eggenberger &
Polya 1923; as an over-dispersed binomial: Skellam 1948)

    BB(c; b + c, theta S, (1 - theta) S)        S = 1 / (theta (1 - theta) cv^2) - 1

where cv is how much the ratio of the two sides varies between blocks. On odds the ratio r is a factor, so a small change of it
by d changes theta by theta (1 - theta) d; that is where S comes from. The null hypothesis is priced by the same law, so the
price is exact at every moment in the block; when a block ends, what was won stays and the urn is emptied.
"""

from __future__ import annotations

from math import lgamma, log
from typing import TYPE_CHECKING

from interlock.roll.judge.labels import on_canary

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from interlock.roll.judge.labels import Group

Beta = tuple[float, float, float]
UrnState = list[tuple[int, list[int]]]

_LAWS_KEPT = 16


class Urn:
    """Prices labels whose probability varies from block to block by `cv`."""

    __slots__ = ("_cv", "_drawn", "_laws", "_now", "_ratios")

    def __init__(self, ratios: Sequence[float], cv: float) -> None:
        self._ratios = (1.0, *ratios)
        self._cv = cv
        self._laws: dict[float, list[Beta]] = {}
        self._drawn: dict[int, list[int]] = {}  # Baseline and canary, of shares that are about the same.
        self._now: dict[int, tuple[float, list[float]]] = {}

    def empty(self) -> None:
        """A new block begins."""
        self._drawn.clear()
        self._now.clear()
        self._laws.clear()

    def price(self, groups: Iterable[Group]) -> list[float]:
        """For each ratio, the logarithm of the factor that these labels are worth."""
        factors = [0.0] * (len(self._ratios) - 1)
        for share, baseline, canary in groups:
            about = _about(share)
            drawn = self._drawn.setdefault(about, [0, 0])
            known = self._now.get(about)
            before = known[1] if known and known[0] == share else self._probabilities(share, drawn)
            drawn[0] += baseline
            drawn[1] += canary
            after = self._probabilities(share, drawn)
            self._now[about] = share, after
            null = after[0] - before[0]
            factors = [sum_ + now - then - null for sum_, now, then in zip(factors, after[1:], before[1:], strict=True)]
        return factors

    def _probabilities(self, share: float, drawn: list[int]) -> list[float]:
        """For the null and each ratio, the logarithm of the probability of all that was drawn, up to a constant."""
        baseline, canary = drawn
        total = baseline + canary
        laws = self._laws.get(share) or self._learn(share)
        return [lgamma(on + canary) + lgamma(off + baseline) - lgamma(size + total) for on, off, size in laws]

    def _learn(self, share: float) -> list[Beta]:
        if len(self._laws) >= _LAWS_KEPT:  # A measured share is new in every tick; memory stays constant all the same.
            self._laws.clear()
        laws: list[Beta] = []
        for ratio in self._ratios:
            theta = on_canary(ratio, share)
            size = max(1.0 / (theta * (1.0 - theta) * self._cv**2) - 1.0, 0.5)
            laws.append((theta * size, (1.0 - theta) * size, size))
        self._laws[share] = laws
        return laws

    def state(self) -> UrnState:
        """What a successor has to know."""
        return list(self._drawn.items())

    def restore(self, state: UrnState) -> None:
        """Goes on where a predecessor was."""
        self.empty()
        self._drawn = {about: list(drawn) for about, drawn in state}


def _about(share: float) -> int:
    """Shares whose odds differ by less than 10 % are drawn from one urn; a measured share is never twice the same."""
    return round(10.0 * log(share / (1.0 - share)))
