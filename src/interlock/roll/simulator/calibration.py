"""Does the judge keep its promise? At most alpha of the good releases stopped, of each kind."""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING, Final

from interlock.core.verdict import Verdict
from interlock.roll.simulator.rules.interlock_ import ALPHA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interlock.roll.simulator.play import Result

_BY_CHANCE: Final = 0.001  # A judge that keeps its promise exactly is accused of breaking it this often, per scenario.
_TRAP: Final = "the trap"  # Scenarios that feed the judge wrongly on purpose.
_LEAST: Final = 100


def verdict_of(results: Sequence[Result]) -> tuple[Verdict, str]:
    """Fail if one kind of good release was stopped too often to be chance, unknown if too few were played to tell."""
    good = [result for result in results if result.rule == "interlock" and result.is_good and _TRAP not in result.scenario]
    if not good:
        return Verdict.UNKNOWN, "no good release was played"
    worst = min(good, key=lambda result: at_least(result.stopped, len(result.stops), ALPHA))
    told = f"at worst {worst.stopped} of {len(worst.stops)} good releases stopped ({worst.scenario}); promised: {ALPHA:.0%}"
    if at_least(worst.stopped, len(worst.stops), ALPHA) < _BY_CHANCE:
        return Verdict.FAIL, told
    return (Verdict.PASS if min(len(result.stops) for result in good) >= _LEAST else Verdict.UNKNOWN), told


def at_least(count: int, of: int, probability: float) -> float:
    """The probability of so many or more by chance (binomial)."""
    fewer = sum(comb(of, k) * probability**k * (1.0 - probability) ** (of - k) for k in range(count))
    return max(0.0, 1.0 - fewer)
