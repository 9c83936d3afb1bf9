"""Says what each step of the rollout can and cannot see, before it starts.

How many events of a metric there are a second, over the whole service, is given by --rate: failures of users, orders, slow
answers. Answers with unknown if there is a metric that no step can see.
"""

from __future__ import annotations

from math import isinf
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.cli.settings import project_around
from interlock.core.errors import UsageError, nearest
from interlock.core.verdict import Verdict
from interlock.roll.plan import load_plan
from interlock.roll.planner import sights

if TYPE_CHECKING:
    import argparse

    from interlock.cli.console import Console
    from interlock.roll.plan import Plan
    from interlock.roll.planner import Sight

HELP = "say what each step can and cannot see"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("--rate", action="append", default=[], metavar="METRIC=PER_SECOND", help="such as failures=8.4")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Prints the steps, and what each sees."""
    plan = load_plan(project_around(Path.cwd()).document)
    rates = dict(_rate(text, plan) for text in arguments.rate)
    seen = sights(plan, rates)
    for step in plan.steps:
        console.result(f"{100 * step.share:.4g} % of the users" + (f" for {_time(step.bake_s)}" if step.share < 1.0 else ""))
        for sight in seen:
            if sight.step is step:
                console.result(f"  {_told(sight)}")
    unseen = [metric.name for metric in plan.metrics if not any(sight.metric is metric and sight.is_seeing for sight in seen)]
    if unseen:
        console.result(f"unknown: no step can tell whether these are good: {', '.join(unseen)}")
        console.result("  give --rate for each, and longer steps or a larger share where the rate is low")
    return (Verdict.UNKNOWN if unseen else Verdict.PASS).exit_code


def _rate(text: str, plan: Plan) -> tuple[str, float]:
    name, _, number = text.partition("=")
    known = [metric.name for metric in plan.metrics]
    if name not in known:
        message = f"--rate {text}: no metric {name!r}; {nearest(name, known)}"
        raise UsageError(message)
    try:
        rate = float(number)
    except ValueError:
        rate = -1.0
    if not 0.0 <= rate < float("inf"):
        message = f"--rate {text}: found {number!r}, expected events a second, such as {name}=8.4"
        raise UsageError(message)
    return name, rate


def _told(sight: Sight) -> str:
    """One metric in one step."""
    tolerance = f"{sight.metric.tolerance:.0%}"
    if sight.smallest is None:
        first = "no change, however large, is visible"
    elif sight.smallest >= 1.0:
        first = f"visible from x{sight.smallest:.2f} on"
    else:
        first = f"visible when {1.0 - sight.smallest:.0%} are missing"
    harm = "never" if isinf(sight.harm_after_s) else f"after {_time(sight.harm_after_s)}"
    good = "never" if isinf(sight.pass_after_s) else f"after {_time(sight.pass_after_s)}"
    blind = "" if sight.is_seeing else " - NOT in this step"
    return f"{sight.metric.name}: {first}; {tolerance} worse is stopped {harm}, excluded {good}{blind}"


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"  # noqa: PLR2004 - minutes read better from two on.
