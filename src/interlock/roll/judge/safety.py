"""Evidence that going on is safe: a bet against "the canary is worse by the tolerance".

The null hypothesis is turned round: a rate ratio of 1 + tolerance or more (for what must not drop, 1 - tolerance or less).
The bet is that nothing changed, and 1/beta is needed: a canary at the edge of the tolerance is called good with a
probability of at most beta. Noise between instances can make a bad version look good, so the edge is moved by the factor
that noise exceeds in one case of twenty. It is asked now, not ever: harm that begins later takes the winnings away again.
"""

from __future__ import annotations

from math import log, sqrt
from typing import TYPE_CHECKING, Final

from interlock.roll.judge.labels import Labels
from interlock.roll.judge.mixture import Mixture
from interlock.roll.judge.noise import FLOOR_CV

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interlock.roll.judge.labels import Group
    from interlock.roll.judge.noise import Noise

_ONE_OF_TWENTY: Final = 0.05
_MUCH: Final = 1.6  # Times the least number of events that a mixture needs; measured by the simulator at 1 % and 10 %.


class Safety:
    """What the labels of one count say for "it is not worse than tolerated"."""

    __slots__ = ("_labels", "_mixture", "_stake", "_tolerance", "_worse")

    def __init__(self, tolerance: float, *, worse: bool) -> None:
        self._tolerance, self._worse = tolerance, worse
        self._mixture = Mixture((0.6, 0.2, 0.2))
        self._labels: Labels | None = None
        self._stake = 1.0

    def begin_step(self, noise: Noise, spread: float) -> None:
        """The canary's instances differ by so much from now on."""
        edge = tolerated(self._tolerance, noise, spread, worse=self._worse)
        harmless = edge > 1.0 if self._worse else edge < 1.0
        self._labels = Labels((1.0, (1.0 + edge) / 2.0, 1.0 / sqrt(edge)), null=edge) if harmless else None

    def add(self, groups: Sequence[Group]) -> None:
        """One tick."""
        if self._labels is not None:
            self._mixture.add(self._stake, self._labels.price(groups))
            self._stake = 0.0

    @property
    def value(self) -> float:
        """The e-value; 0 if the noise is as large as the tolerance, so that nothing can be excluded."""
        return self._mixture.won if self._labels is not None else 0.0

    def state(self) -> list[float]:
        """What a successor has to know."""
        return [self._stake, *self._mixture.bets]

    def restore(self, state: list[float]) -> None:
        """Goes on where a predecessor was."""
        self._stake, *self._mixture.bets = state


def tolerated(tolerance: float, noise: Noise, spread: float, *, worse: bool) -> float:
    """The rate ratio to exclude, after noise had its say."""
    lucky = noise.largest(spread, _ONE_OF_TWENTY) if noise.whole_cv > FLOOR_CV else 1.0
    return (1.0 + tolerance) / lucky if worse else (1.0 - tolerance) * lucky


def events_to_pass(edge: float, beta: float, *, worse: bool) -> float:
    """How many events on the canary it takes to exclude a ratio, if the version changes nothing; inf if it cannot be."""
    if edge <= 1.0 if worse else edge >= 1.0:
        return float("inf")
    information = edge - 1.0 - log(edge)  # Per event: Kullback & Leibler between Poisson rates 1 and `edge`.
    return _MUCH * log(1.0 / beta) / information
