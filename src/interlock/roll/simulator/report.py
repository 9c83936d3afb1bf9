"""What the simulation found, as tables in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interlock.roll.simulator.experiments import Experiment
    from interlock.roll.simulator.play import Result

_ALWAYS: Final = 0.995


def table(experiment: Experiment, results: Sequence[Result]) -> str:
    """One experiment: a line for each scenario, a column for each rule."""
    rules = experiment.rules
    lines = [
        f"### {experiment.question}",
        "",
        f"| {experiment.name} | {' | '.join(rules)} |",
        f"|---|{'---|' * len(rules)}",
    ]
    for scenario in experiment.scenarios:
        found = {result.rule: result for result in results if result.scenario == scenario.name}
        lines.append(f"| {scenario.name} | {' | '.join(cell(found[rule]) for rule in rules)} |")
    return "\n".join(lines)


def cell(result: Result) -> str:
    """One rule in one scenario: how often a good release was stopped, or how late a bad one and after how much harm."""
    if result.is_good:
        return f"{result.part:.1%}"
    power = "" if result.part > _ALWAYS else f" ({result.part:.0%} stopped)"
    middle, late = result.delay_s(), result.delay_s(0.95)
    if middle is None or result.harmed is None:
        return f"{result.part:.0%} stopped"
    slow = "never" if late is None else f"{late:.0f} s"
    return f"{result.harmed:.0f} · {middle:.0f} s, 95 %: {slow}{power}"


LEGEND: Final = (
    "A bad release: median of failed users (or orders) on the canary until it was stopped · median seconds until then, "
    "and the 95 % quantile. A good release: how many of the rollouts were stopped."
)
