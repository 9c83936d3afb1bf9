"""Plays rollouts again and again: the judge against the rules of Argo Rollouts, Flagger and Kayenta.

Answers with pass if the judge stopped no kind of good release more often than its alpha allows, and with fail if it did.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.core.counting import counted
from interlock.core.errors import UsageError, WorldError, nearest

if TYPE_CHECKING:
    import argparse

    from interlock.cli.console import Console
    from interlock.roll.simulator.experiments import Experiment
    from interlock.roll.simulator.play import Result

HELP = "play rollouts again and again, against other rules"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument(
        "experiment", nargs="*", metavar="EXPERIMENT", help="incident, good, orders, noise, late, low (default: all)"
    )
    parser.add_argument("--rollouts", type=int, default=200, metavar="N", help="rollouts of each scenario (default: 200)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="another seed is another chance (default: 1)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (default: one a processor)"
    )
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="write the pictures there, as SVG")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print the result (default: text)")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Plays, prints, draws, and answers with an exit code."""
    from interlock.roll.simulator.calibration import verdict_of  # noqa: PLC0415 - other verbs need not pay for it.
    from interlock.roll.simulator.play import play_many  # noqa: PLC0415 - likewise.
    from interlock.roll.simulator.report import LEGEND, table  # noqa: PLC0415 - likewise.

    if arguments.rollouts < 1 or arguments.jobs < 1:
        message = f"--rollouts {arguments.rollouts} --jobs {arguments.jobs}; expected at least 1 of each"
        raise UsageError(message)
    found: dict[str, list[Result]] = {}
    for experiment in _asked(arguments.experiment):
        results = found[experiment.name] = []
        for scenario in experiment.scenarios:
            console.note(f"{experiment.name}: {scenario.name} ...")
            results += play_many(scenario, experiment.rules, arguments.rollouts, arguments.seed, arguments.jobs)
        if arguments.format == "text":
            console.result(f"{table(experiment, results)}\n")
    verdict, reason = verdict_of([result for results in found.values() for result in results])
    if arguments.format == "json":
        console.result(json.dumps(document(found, verdict, reason), indent=2))
    else:
        console.result(f"{LEGEND}\n\n{verdict}: {reason}")
    if arguments.pictures:
        _draw(arguments.pictures, found)
    played = sum(len(result.stops) for results in found.values() for result in results if result.rule == "interlock")
    console.note(f"{counted(played, 'rollout')}, seed {arguments.seed}, {console.elapsed_s:.0f} s")
    return verdict.exit_code


def _asked(names: list[str]) -> list[Experiment]:
    from interlock.roll.simulator.experiments import EXPERIMENTS  # noqa: PLC0415 - as above.

    known = {experiment.name: experiment for experiment in EXPERIMENTS}
    if unknown := next((name for name in names if name not in known), None):
        message = f"no experiment {unknown!r}; {nearest(unknown, known)}"
        raise UsageError(message)
    return [known[name] for name in names] or list(EXPERIMENTS)


def _draw(folder: Path, found: dict[str, list[Result]]) -> None:
    from interlock.roll.simulator.pictures import pictures  # noqa: PLC0415 - as above.

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, svg in pictures(found).items():
            (folder / name).write_text(svg, encoding="utf-8")
    except OSError as error:
        message = f"{folder}: the pictures cannot be written: {error.strerror}"
        raise WorldError(message) from error


def document(found: dict[str, list[Result]], verdict: str, reason: str) -> dict[str, Any]:
    """The results for programs; docs/json.md says what each field means."""
    told = [
        {
            "experiment": name,
            "scenario": result.scenario,
            "rule": result.rule,
            "good": result.is_good,
            "rollouts": len(result.stops),
            "stopped": result.stopped,
            "median_s": result.delay_s(),
            "late_s": result.delay_s(0.95),
            "harmed": result.harmed,
        }
        for name, results in found.items()
        for result in results
    ]
    return {"version": 1, "verdict": verdict, "reason": reason, "results": told}
