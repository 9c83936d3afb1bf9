"""Says what each step of the rollout can and cannot see, before it starts.

Rates are per second over the whole service, by metric: --rate failures=8.4 --rate orders=21
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from interlock.cli.settings import project_around
from interlock.roll.plan import load_plan

if TYPE_CHECKING:
    import argparse

    from interlock.cli.console import Console

HELP = "say what each step can and cannot see"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("--rate", action="append", default=[], metavar="METRIC=PER_SECOND", help="events of a metric a second")


def execute(arguments: argparse.Namespace, console: Console) -> int:  # noqa: ARG001 - the rates are used by the next version.
    """Prints the plan."""
    plan = load_plan(project_around(Path.cwd()).document)
    for step in plan.steps:
        console.result(f"{step.share:.2%} for {step.bake_s:.0f} s")
    return 0
