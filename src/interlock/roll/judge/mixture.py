"""The e-process: how much would a gambler have won who bet that the canary is worse?

For each rate ratio r_j that harm may have, a gambler bets on the labels of events (see `labels`) against the best that the null
hypothesis can offer, a ratio of `null`. With b events on the baseline and c on the canary in a tick at share w

    M_j <- (M_j + v) (theta(r_j) / theta(null))^c ((1 - theta(r_j)) / (1 - theta(null)))^b        M_j = 0 at the start
    E = sum_j p_j M_j + (1 - sum v)

v is the part of the stake that is put down in this tick: half of it at once, the rest evenly over the planned rollout, so
that a fault that begins late is not found late. Each M_j is a supermartingale for every true ratio on the harmless side of
`null`, so P(E ever reaches 1/alpha) <= alpha, however often one looks (Ville 1939; mixtures over start times: Shin, Ramdas,
Rinaldo, "E-detectors", 2023; over alternatives: Robbins 1970). The share may change from tick to tick; nothing is pooled, so
a drift that meets a ramp is no Simpson's paradox.
"""

from __future__ import annotations

from math import exp, log
from typing import TYPE_CHECKING, Final

from interlock.roll.judge.labels import on_canary

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# From the smallest harm worth stopping for to a service that is down. The weights favour small harm: there each factor costs
# users, while a tenfold rate is found at once whatever its weight.
WORSE: Final = ((1.25, 0.10), (1.5, 0.22), (2.0, 0.20), (3.0, 0.14), (5.0, 0.12), (10.0, 0.08), (20.0, 0.07), (50.0, 0.07))
FEWER: Final = ((0.95, 0.10), (0.9, 0.15), (0.8, 0.25), (0.7, 0.20), (0.5, 0.15), (0.25, 0.08), (0.05, 0.07))

AT_ONCE: Final = 0.5  # The part of the stake for faults that are there from the start.
_LARGEST: Final = 1e150  # Far above every threshold, far below what a float can hold.

Group = tuple[float, int, int]  # Share at exposure, events on the baseline, events on the canary.


class Stake:
    """How much is put down in a tick: half at the first, the rest as time passes, until it is used up."""

    __slots__ = ("_planned_s", "begun", "left")

    def __init__(self, planned_s: float) -> None:
        self._planned_s = planned_s
        self.left = 1.0
        self.begun = False

    def put_down(self, elapsed_s: float) -> float:
        """The stake of a tick that came so long after the one before."""
        later = (1.0 - AT_ONCE) * elapsed_s / self._planned_s
        stake = min(self.left, later if self.begun else AT_ONCE + later)
        self.begun = True
        self.left -= stake
        return stake


class Mixture:
    """Bets on several ratios at once."""

    __slots__ = ("_bets", "_coefficients", "_null", "_ratios", "_weights")

    def __init__(self, ratios: Sequence[tuple[float, float]], null: float = 1.0) -> None:
        total = sum(weight for _, weight in ratios)
        self._ratios = [ratio for ratio, _ in ratios]
        self._weights = [weight / total for _, weight in ratios]
        self._null = null
        self._bets = [0.0] * len(ratios)
        self._coefficients: dict[float, list[tuple[float, float]]] = {}

    def add(self, groups: Iterable[Group], stake: float) -> None:
        """One tick: the stake is put down, and then the labels are seen."""
        bets = [bet + stake for bet in self._bets]
        for share, baseline, canary in groups:
            bets = [
                min(bet * exp(canary * on + baseline * off), _LARGEST)
                for bet, (on, off) in zip(bets, self._odds(share), strict=True)
            ]
        self._bets = bets

    def _odds(self, share: float) -> list[tuple[float, float]]:
        """For each ratio, what a label is worth: the logarithms for canary and for baseline. Kept for the last few shares."""
        known = self._coefficients.get(share)
        if known is None:
            if len(self._coefficients) > 16:  # noqa: PLR2004 - a measured share is new in every tick; memory stays constant.
                self._coefficients.clear()
            null = on_canary(self._null, share)
            thetas = [on_canary(ratio, share) for ratio in self._ratios]
            known = [(log(theta / null), log((1.0 - theta) / (1.0 - null))) for theta in thetas]
            self._coefficients[share] = known
        return known

    @property
    def won(self) -> float:
        """What the stakes that were put down are worth now; add what was not put down to have an e-value."""
        return sum(weight * bet for weight, bet in zip(self._weights, self._bets, strict=True))

    def state(self) -> list[float]:
        """What a successor has to know."""
        return self._bets

    def restore(self, state: list[float]) -> None:
        """Goes on where a predecessor was."""
        self._bets = [float(bet) for bet in state]
