"""The label of an event: given that something bad happened, was it on the canary?

If the version changes nothing, each label is `canary` with the probability that a user is on the canary, whatever the
traffic, the hour, a shared incident or the baseline's own rate. If the canary's rate is r times the baseline's, it is

    theta(r) = w r / (w r + 1 - w)                                w: the canary's share of the users at exposure

This is the conditional form of comparing two Poisson rates (Przyborowski & Wilenski 1940), one label at a time as in
Lindon & Malek, "Anytime-valid inference for multinomial count data" (NeurIPS 2022). Where the share is not asked for but
measured in the same tick, labels are drawn without replacement; that makes every bet below smaller in expectation (Hoeffding
1963, theorem 4), so the bound holds.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Group = tuple[float, int, int]  # Share at exposure, events on the baseline, events on the canary.

_SHARES_KEPT = 16  # A measured share is new in every tick; memory stays constant all the same.


def on_canary(ratio: float, share: float) -> float:
    """The probability that an event is the canary's, if the canary's rate is `ratio` times the baseline's."""
    return share * ratio / (share * ratio + 1.0 - share)


class Labels:
    """Prices labels as independent of each other: for each ratio, the logarithm of what a bet of 1 on it becomes.

    With c events on the canary and b on the baseline it becomes (theta(r) / theta(null))^c ((1 - theta(r)) / (1 -
    theta(null)))^b. In expectation that is at most 1 whenever the true ratio lies on the harmless side of `null`.
    """

    __slots__ = ("_known", "null", "ratios")

    def __init__(self, ratios: Sequence[float], null: float = 1.0) -> None:
        self.ratios = ratios
        self.null = null
        self._known: dict[float, list[tuple[float, float]]] = {}

    def price(self, groups: Iterable[Group]) -> list[float]:
        """For each ratio, the logarithm of the factor that these labels are worth."""
        factors = [0.0] * len(self.ratios)
        for share, baseline, canary in groups:
            worth = self._known.get(share) or self._learn(share)
            factors = [sum_ + canary * on + baseline * off for sum_, (on, off) in zip(factors, worth, strict=True)]
        return factors

    def _learn(self, share: float) -> list[tuple[float, float]]:
        if len(self._known) >= _SHARES_KEPT:
            self._known.clear()
        null = on_canary(self.null, share)
        thetas = [on_canary(ratio, share) for ratio in self.ratios]
        worth = self._known[share] = [(log(theta / null), log((1.0 - theta) / (1.0 - null))) for theta in thetas]
        return worth
