"""How much instances of one version differ for no reason, over a minute, over five, and for as long as they live.

It is measured on the baseline's own instances before the rollout: how much more do their counts vary than chance alone would
have it? In a block of time, instance i has k_i bad events where its part of the traffic lets expect e_i. With independent
events the mean of (k_i - e_i)^2 is e_i (1 - e_i / sum e); what is beyond that, over e_i^2, is the square of the coefficient
of variation (the method of moments for over-dispersed counts, as in McCullagh & Nelder, Generalized Linear Models, 1989,
4.5). A block's shared ups and downs cancel, because each instance is compared with the others at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

MINUTE_S: Final = 60.0
FIVE_MINUTES_S: Final = 300.0
FLOOR_CV: Final = 0.03  # No two machines are equal.
_MORE: Final = 1.05
_SURE: Final = 0.9


@dataclass(frozen=True, slots=True)
class Noise:
    """Coefficients of variation of one instance's rate, averaged over blocks of a minute, of five, and over all time."""

    minute_cv: float
    five_minutes_cv: float
    whole_cv: float
    freedom: int = 0  # Of the variance behind `whole_cv`: instances less one. 0: it was not measured, but assumed.

    @classmethod
    def assumed(cls, cv: float) -> Noise:
        """Where nothing was measured: instances differ by so much, for as long as they live."""
        return cls(cv, cv, cv)

    @classmethod
    def of_instances(cls, minutes: Sequence[Sequence[int]], traffic: Sequence[float] = ()) -> Noise:
        """From the bad events of each instance in each minute: `minutes[minute][instance]`.

        `traffic` is each instance's part of the requests; equal if it is not given.
        """
        parts = traffic or [1.0] * (len(minutes[0]) if minutes else 0)
        freedom = max(1, len(parts) - 1)
        several = ((1, freedom * len(minutes)), (5, freedom * (len(minutes) // 5)), (max(1, len(minutes)), 0))
        minute, five, whole = (
            max(FLOOR_CV, _variation(_blocks(minutes, length), parts) * _caution(draws)) for length, draws in several
        )
        return cls(minute, five, whole, freedom=freedom)

    @property
    def cautious_cv(self) -> float:
        """The 90 % upper bound of `whole_cv`: a few instances may look more alike than they are."""
        return self.whole_cv if self.whole_cv <= FLOOR_CV else self.whole_cv * _caution(self.freedom)

    def largest(self, spread: float, probability: float) -> float:
        """The factor that noise alone exceeds with this probability, if it lasts for the whole step.

        A lognormal law with median 1; where its width was measured on n instances, the next one exceeds the t quantile with
        n - 1 degrees of freedom (a prediction interval), which is approximated from the normal one (Abramowitz & Stegun
        26.7.5).
        """
        z = NormalDist().inv_cdf(1.0 - probability)
        if self.freedom:
            second = (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / (96.0 * self.freedom**2)
            z += (z**3 + z) / (4.0 * self.freedom) + second
        return exp(z * sqrt(log(1.0 + (spread * self.whole_cv) ** 2)))

    def scales(self) -> list[tuple[float, float]]:
        """Blocks (in seconds; 0: the whole step) and their variation, without those that a longer one explains."""
        blocks = [(MINUTE_S, self.minute_cv), (FIVE_MINUTES_S, self.five_minutes_cv)]
        return [*((length_s, cv) for length_s, cv in blocks if cv > _MORE * self.whole_cv), (0.0, self.cautious_cv)]


def _blocks(minutes: Sequence[Sequence[int]], length: int) -> list[list[int]]:
    """Sums over so many minutes; a rest that is shorter is left out."""
    starts = range(0, len(minutes) - length + 1, length)
    return [[sum(column) for column in zip(*minutes[start : start + length], strict=True)] for start in starts]


def _variation(blocks: Sequence[Sequence[int]], parts: Sequence[float]) -> float:
    beyond = room = 0.0
    for counts in blocks:
        total = sum(counts)
        for count, part in zip(counts, parts, strict=True):
            rest = 1.0 - part / sum(parts)
            expected = total * part / sum(parts)
            beyond += (count - expected) ** 2 - expected * rest
            room += expected**2 * rest
    return sqrt(max(0.0, beyond / room)) if room else 0.0


def _caution(freedom: int) -> float:
    """From an estimate of a standard deviation to its 90 % upper bound, by the chi-square law (Wilson & Hilferty 1931)."""
    if not freedom:
        return 1.0
    ninth = 2.0 / (9.0 * freedom)
    return 1.0 / sqrt(max((1.0 - ninth - NormalDist().inv_cdf(_SURE) * sqrt(ninth)) ** 3, 0.05))
