"""Random counts from the standard library: Poisson, gamma and lognormal draws with a seed."""

from __future__ import annotations

from math import exp, floor, lgamma, log, sqrt
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from random import Random

_FEW: Final = 12.0


def poisson(random: Random, mean: float) -> int:
    """A Poisson count: by multiplication if few are expected, else by transformed rejection (Hormann 1993, PTRS)."""
    if mean <= 0.0:
        return 0
    if mean < _FEW:
        return _few(random, mean)
    b = 0.931 + 2.53 * sqrt(mean)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    v_r = 0.9277 - 3.6224 / (b - 2.0)
    while True:
        u, v = random.random() - 0.5, random.random()
        us = 0.5 - abs(u)
        k = floor((2.0 * a / us + b) * u + mean + 0.43)
        if us >= 0.07 and v <= v_r:  # noqa: PLR2004 - the constants are those of the paper.
            return k
        if k < 0 or (us < 0.013 and v > us):  # noqa: PLR2004 - likewise.
            continue
        if log(v) + log(inverse_alpha) - log(a / (us * us) + b) <= -mean + k * log(mean) - lgamma(k + 1):
            return k


def _few(random: Random, mean: float) -> int:
    """Knuth's method (The Art of Computer Programming 2, 3.4.1)."""
    edge, product, count = exp(-mean), random.random(), 0
    while product > edge:
        product *= random.random()
        count += 1
    return count


def noise(random: Random, cv: float) -> float:
    """A factor around 1: lognormal with mean 1 and this coefficient of variation."""
    if not cv:
        return 1.0
    sigma = sqrt(log(1.0 + cv * cv))
    return exp(random.gauss(-sigma * sigma / 2, sigma))
