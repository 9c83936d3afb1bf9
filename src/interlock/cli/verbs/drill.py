"""Replays an incident against your own alert rules and routes: does one fire, when, and does it wake somebody?

What to replay is declared in the settings as [[drill]]: the feature, the incident and your series that would have shown it.
Rules are evaluated by promtool, routes by amtool. With --write-rule, a rule that fires is printed where none does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.cli.settings import project_around
from interlock.core.counting import counted
from interlock.core.errors import UsageError, nearest
from interlock.core.verdict import Verdict, worst
from interlock.gate.drills.drill import Drill, Monitoring, Result, in_minutes, replay
from interlock.gate.drills.missing_rule import rules
from interlock.gate.features import Feature

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from interlock.cli.console import Console
    from interlock.cli.settings import Project
    from interlock.gate.drills.series import Series

HELP = "replay an incident against your own alerts: does somebody wake up?"
_COLOURS = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.UNKNOWN: "yellow"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own arguments."""
    parser.add_argument("feature", metavar="FEATURE", nargs="?", help="drill this feature only (default: every [[drill]])")
    parser.add_argument("--write-rule", action="store_true", help="print a rule that fires, where none wakes anybody")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print the result (default: text)")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Replays, prints, and answers with an exit code."""
    project = project_around(Path.cwd())
    monitoring = Monitoring.of(project.document)
    drills = _chosen(Drill.all_of(project.document), arguments.feature)
    if monitoring is None:
        raise project.document.fail("alerts", "no [alerts] in the settings; expected where your rules are")
    files = _files(project, monitoring, drills)
    pagers = _pagers(project)
    results = [
        (drill, replay(drill, drill.shown(project.document), monitoring, files, pagers.get(drill.feature, ())))
        for drill in drills
    ]
    if arguments.format == "json":
        console.result(_json(results))
    else:
        console.result("\n".join(line for drill, result in results for line in _lines(drill, result, console)))
    if arguments.write_rule:
        _write_rules(results, project, monitoring, files, console)
    console.note(f"{counted(len(results), 'drill')}, {console.elapsed_s:.2f} s")
    return worst(result.verdict for _, result in results).exit_code


def _pagers(project: Project) -> dict[str, tuple[str, ...]]:
    """For each feature, the receivers that wake who is on call for it."""
    return {feature.name: feature.pagers for feature in Feature.all_of(project.document)}


def _chosen(drills: tuple[Drill, ...], feature: str | None) -> list[Drill]:
    chosen = [drill for drill in drills if feature in {None, drill.feature}]
    if not drills:
        message = "no [[drill]] in the settings; see docs/drill.md"
        raise UsageError(message)
    if not chosen:
        message = f"no drill of {feature!r}; {nearest(str(feature), [drill.feature for drill in drills])}"
        raise UsageError(message)
    return chosen


def _files(project: Project, monitoring: Monitoring, drills: list[Drill]) -> dict[str, bytes]:
    """The files that a drill may need: those that the settings name."""
    paths = [path for glob in monitoring.rules for path in project.root.glob(glob)]
    paths += [project.root / name for name in (monitoring.alertmanager, *(drill.incident for drill in drills)) if name]
    return {project.inside(path): path.read_bytes() for path in paths if path.is_file()}


def _lines(drill: Drill, result: Result, console: Console) -> Iterator[str]:
    yield f"{console.paint(f'{result.verdict:8}', _COLOURS[result.verdict], 'bold')} {drill.feature}: {result.answer}"
    for fired in result.fired:
        where = ", ".join(fired.receivers) or "not known"
        yield f"           {fired.alert} fires after {in_minutes(fired.after_s)}, goes to {where}"


def _json(results: list[tuple[Drill, Result]]) -> str:
    told = [
        {
            "feature": drill.feature,
            "incident": drill.incident or f"falls to {drill.falls_to:g}",
            "verdict": result.verdict,
            "answer": result.answer,
            "fired": [
                {
                    "alert": fired.alert,
                    "after_s": fired.after_s,
                    "receivers": list(fired.receivers),
                    "pages_after_s": fired.pages_after_s,
                }
                for fired in result.fired
            ],
        }
        for drill, result in results
    ]
    return json.dumps({"version": 1, "verdict": worst(result.verdict for _, result in results), "drills": told}, indent=2)


def _write_rules(
    results: list[tuple[Drill, Result]], project: Project, monitoring: Monitoring, files: dict[str, bytes], console: Console
) -> None:
    """Prints, for each drill that wakes nobody, the first rule that does so in a replay of its own."""
    pagers = _pagers(project)
    for drill, result in results:
        if result.verdict is Verdict.FAIL:
            series = drill.shown(project.document)
            rule = _waking(drill, series, monitoring, files, pagers.get(drill.feature, ()))
            console.result(rule or f"# {drill.feature}: no rule over these series wakes somebody in time")


def _waking(
    drill: Drill, series: list[Series], monitoring: Monitoring, files: dict[str, bytes], on_call: tuple[str, ...]
) -> str | None:
    alone = Monitoring(("rule.yml",), monitoring.alertmanager, monitoring.pagers)
    for rule in rules(drill.feature, drill.replayed(files), series, monitoring.page_labels):
        if replay(drill, series, alone, {**files, "rule.yml": rule.encode()}, on_call).verdict is Verdict.PASS:
            return rule
    return None
