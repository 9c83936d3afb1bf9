"""Evidence of harm that noise between instances does not explain: the least of what several views of the noise let stand.

Nobody knows how long an instance stays slow. So the same labels are priced as if noise were drawn anew every minute, every
five, and once for the whole step; each is an e-process if it is right about that, and so the smallest of them is one if any
of them is.

Noise that lasts for the whole step is the hard case: one canary instance shows one draw of it, however long one looks. While
the noise is small the urn prices it. Where it is large the urn would be slow to believe in harm of any size, because an
e-value of 1/alpha asks for more than an event of probability alpha. There the null hypothesis is widened instead: with x*
the factor that noise exceeds with probability a', the bets are priced against a ratio of x* (Labels). Unless the noise
exceeds x* they are supermartingales, so with winnings of at most B

    E [min(M, B)] <= 1 + a' B          so          min(M, B) / (1 + a' B) is an e-value.

With B thirty times the evidence that is needed (T) and a' = 0.97 / T, it is worth T when M reaches B: most of alpha goes to the
noise, and the labels, of which there are many, have to be thirty times as sure. a' is shared by the steps, each of which draws
anew.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any, Final

from interlock.roll.judge.labels import Labels
from interlock.roll.judge.mixture import Mixture
from interlock.roll.judge.urn import Urn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interlock.roll.judge.labels import Group
    from interlock.roll.judge.noise import Noise
    from interlock.roll.plan import Step

_SURER: Final = 30.0  # B / T.
# What remains beyond x* is often little: a bet on 1.25 x* would lose against a true ratio of 1.1 x*.
_BEYOND: Final = (1.03, 1.06, 1.12, 1.25, 1.5, 2.0, 4.0, 10.0)
_WIDE_CV: Final = 0.15  # From here on a wider null hypothesis finds x2 more often than the urn does (measured).


class Evidence:
    """What the labels of one count say against "the version changes nothing"."""

    def __init__(self, ratios: Sequence[tuple[float, float]], noise: Noise, steps: Sequence[Step], needed: float) -> None:
        self._ratios = [ratio for ratio, _ in ratios]
        self._noise = noise
        self._steps = steps
        self._needed = needed
        self._scales = [_Scale(length_s, cv, [weight for _, weight in ratios]) for length_s, cv in noise.scales()]
        self._wide = [step for step in steps if step.share < 1.0 and noise.cautious_cv * spread(step) > _WIDE_CV]
        self._step: int | None = None

    def begin_step(self, index: int, at_s: float) -> None:
        """The canary has other instances from now on."""
        self._step = index
        step = self._steps[index]
        for scale in self._scales:
            scale.begin(at_s, self._pricing(scale, step))

    def _pricing(self, scale: _Scale, step: Step) -> Labels | Urn:
        cv = scale.cv * spread(step)
        if scale.length_s or cv <= _WIDE_CV:
            return Urn(self._ratios, cv)
        edge = self._noise.largest(spread(step), (1.0 - 1.0 / _SURER) / (self._needed * len(self._wide)))
        if self._ratios[-1] > 1.0:
            return Labels([edge * beyond for beyond in _BEYOND], null=edge)
        return Labels([ratio / edge for ratio in self._ratios], null=1.0 / edge)

    def add(self, groups: Sequence[Group], stake: float, at_s: float) -> None:
        """One tick."""
        for scale in self._scales:
            scale.add(groups, stake, at_s)

    def value(self, stake_left: float) -> float:
        """The e-value."""
        least = stake_left + min(scale.mixture.won for scale in self._scales)
        return min(least / _SURER, self._needed) if self._wide else least

    def state(self) -> dict[str, Any]:
        """What a successor has to know."""
        return {"step": self._step, "scales": [scale.state() for scale in self._scales]}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where a predecessor was."""
        self._step = state["step"]
        for scale, kept in zip(self._scales, state["scales"], strict=True):
            if self._step is not None:
                scale.begin(0.0, self._pricing(scale, self._steps[self._step]))
            scale.restore(kept)


class _Scale:
    """One view of how long noise lasts."""

    __slots__ = ("_pricing", "_since_s", "cv", "length_s", "mixture")

    def __init__(self, length_s: float, cv: float, weights: Sequence[float]) -> None:
        self.length_s = length_s
        self.cv = cv
        self.mixture = Mixture(weights)
        self._pricing: Labels | Urn | None = None
        self._since_s = 0.0

    def begin(self, at_s: float, pricing: Labels | Urn) -> None:
        self._since_s = at_s
        self._pricing = pricing

    def add(self, groups: Sequence[Group], stake: float, at_s: float) -> None:
        if self._pricing is None:
            return
        if self.length_s and at_s - self._since_s > self.length_s and isinstance(self._pricing, Urn):
            self._since_s += self.length_s * ((at_s - self._since_s) // self.length_s)
            self._pricing.empty()
        self.mixture.add(stake, self._pricing.price(groups))

    def state(self) -> list[Any]:
        drawn = self._pricing.state() if isinstance(self._pricing, Urn) else []
        return [self.mixture.bets, self._since_s, drawn]

    def restore(self, state: list[Any]) -> None:
        self.mixture.bets, self._since_s = list(state[0]), state[1]
        if isinstance(self._pricing, Urn):
            self._pricing.restore(state[2])


def spread(step: Step) -> float:
    """How much the two sides of a step differ, in units of how much one instance does."""
    return sqrt(1.0 / step.canary_instances + (1.0 / step.baseline_instances if step.baseline_instances else 0.0))
