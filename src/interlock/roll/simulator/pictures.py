"""Which pictures are drawn of which results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.roll.simulator.plot import Bars

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from interlock.roll.simulator.play import Result


def pictures(found: Mapping[str, Sequence[Result]]) -> dict[str, str]:
    """The pictures by file name, of the experiments that were played."""
    drawn: dict[str, str] = {}
    if "incident" in found:
        bars = _bars(
            found["incident"], "Failed users until a bad release is stopped (median; 420 requests/s, canary 1 %)", harmed
        )
        drawn["roll-harmed.svg"] = bars.svg()
    if "good" in found:
        bars = _bars(found["good"], "How many of the good releases are stopped", lambda result: 100.0 * result.part, " %")
        drawn["roll-false-aborts.svg"] = bars.svg()
    return drawn


def harmed(result: Result) -> float | None:
    """The median, if at least half of the rollouts were stopped."""
    return result.harmed if result.part >= 0.5 else None  # noqa: PLR2004 - a median.


def _bars(results: Sequence[Result], title: str, value: Callable[[Result], float | None], unit: str = "") -> Bars:
    rules = tuple(dict.fromkeys(result.rule for result in results))
    scenarios = dict.fromkeys(result.scenario for result in results)
    by_both = {(result.scenario, result.rule): value(result) for result in results}
    groups = {scenario: [by_both[scenario, rule] for rule in rules] for scenario in scenarios}
    return Bars(title, unit, rules, groups, logarithmic=not unit)
