"""The e-process: how much would a gambler have won who bet that the canary is worse?

For each rate ratio r_j that harm may have, a gambler bets on the labels of events. What a bet becomes is priced so that in
expectation it does not grow while the version changes nothing (see `labels` and `urn`). With f_j the price of a tick's labels

    M_j <- (M_j + v) f_j          M_j = 0 at the start
    E = sum_j p_j M_j + (1 - sum v)

v is the part of the stake that is put down in this tick: most of it at once, the rest evenly over the planned rollout, so
that a fault that begins late is not found late. E is a nonnegative supermartingale that begins at 1, so P(E ever reaches
1/alpha) <= alpha, however often one looks (Ville 1939; mixtures over alternatives: Robbins 1970; over start times: Shin,
Ramdas, Rinaldo, "E-detectors", 2023). The share may change from tick to tick; nothing is pooled, so a drift that meets a
ramp is no Simpson's paradox.
"""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

# From the smallest harm worth stopping for to a service that is down. The weights favour small harm: there each factor costs
# users, while a tenfold rate is found at once whatever its weight.
WORSE: Final = ((1.25, 0.06), (1.5, 0.30), (2.0, 0.22), (3.0, 0.12), (5.0, 0.10), (10.0, 0.07), (20.0, 0.07), (50.0, 0.06))
FEWER: Final = ((0.95, 0.10), (0.9, 0.15), (0.8, 0.25), (0.7, 0.20), (0.5, 0.15), (0.25, 0.08), (0.05, 0.07))

AT_ONCE: Final = 0.6  # The part of the stake for faults that are there from the start.
_LARGEST: Final = 1e150  # Far above every threshold, far below what a float can hold.
_LARGEST_LOG: Final = 300.0  # Of one tick; a tick of many seconds can bring thousands of events.


class Stake:
    """How much is put down in a tick: most at the first, the rest as time passes, until it is used up."""

    __slots__ = ("_planned_s", "begun", "left")

    def __init__(self, planned_s: float) -> None:
        self._planned_s = planned_s
        self.left = 1.0
        self.begun = False

    def put_down(self, elapsed_s: float) -> float:
        """The stake of a tick that came so long after the one before."""
        stake = (1.0 - AT_ONCE) * elapsed_s / self._planned_s if self._planned_s else 0.0
        if not self.begun:
            stake += AT_ONCE
        stake = min(self.left, stake)
        self.begun = True
        self.left -= stake
        return stake


class Mixture:
    """Bets on several ratios at once."""

    __slots__ = ("_weights", "bets")

    def __init__(self, weights: Sequence[float]) -> None:
        total = sum(weights)
        self._weights = [weight / total for weight in weights]
        self.bets = [0.0] * len(weights)

    def add(self, stake: float, factors: Sequence[float]) -> None:
        """One tick: the stake is put down, and then the labels are seen. Factors are logarithms."""
        if max(factors) > _LARGEST_LOG:
            factors = [min(factor, _LARGEST_LOG) for factor in factors]
        bets = [(bet + stake) * exp(factor) for bet, factor in zip(self.bets, factors, strict=True)]
        self.bets = [min(bet, _LARGEST) for bet in bets] if max(bets) > _LARGEST else bets

    @property
    def won(self) -> float:
        """What the stakes that were put down are worth now; with what was not put down it is an e-value."""
        return sum(weight * bet for weight, bet in zip(self._weights, self.bets, strict=True))
