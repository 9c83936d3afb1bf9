"""Incidents that teach: records without blame, each open until it has taught the guards.

interlock incident list       the records in incidents/*.toml, with times to detect and to repair
interlock incident check      is each of them closed? Its hazard known, its test executed on both versions, its drill run
interlock incident trends     mean times, users, money, and incidents per deployment, by quarter
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Final

from interlock.check.repository import Repository
from interlock.cli.settings import project_around
from interlock.core.counting import counted
from interlock.core.errors import UsageError
from interlock.core.verdict import Verdict, worst
from interlock.gate.incidents import Record, costs, lessons, mean, records
from interlock.gate.past import Deployments

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from datetime import datetime, timedelta

    from interlock.cli.console import Console

HELP = "incidents that teach: records, and whether each has taught the guards"
_COLOURS: Final = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.UNKNOWN: "yellow"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own arguments."""
    parser.add_argument("what", choices=("list", "check", "trends"), help="what to do with the records")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print the result (default: text)")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Reads the records, and answers with an exit code."""
    repository = Repository.needed(Path.cwd(), "incident")
    found = records(repository)
    if not found:
        message = f"no record in {repository.root / 'incidents'}; expected a TOML file for each incident (docs/incidents.md)"
        raise UsageError(message)
    match arguments.what:
        case "list":
            return _list(found, arguments.format, console)
        case "check":
            return _check(found, repository, arguments.format, console)
        case _:
            return _trends(found, repository, arguments.format, console)


def _list(found: list[Record], form: str, console: Console) -> int:
    if form == "json":
        told = [
            {
                "path": one.path,
                "title": one.title,
                "started_at": one.started_at.isoformat(),
                "to_detect_s": one.to_detect.total_seconds(),
                "to_repair_s": one.to_repair.total_seconds(),
                "users": one.users,
                "money": costs([one]),
            }
            for one in found
        ]
        console.result(json.dumps({"version": 1, "incidents": told}, indent=2))
    else:
        console.result("\n".join(_line(one) for one in found))
    console.note(counted(len(found), "incident"))
    return 0


def _line(one: Record) -> str:
    money = "".join(f", {amount:,} {currency}" for currency, amount in costs([one]).items())
    times = f"detected after {_minutes(one.to_detect)}, repaired after {_minutes(one.to_repair)}"
    return f"{one.started_at:%Y-%m-%d} {one.title}: {times}, {one.users:,} users{money}"


def _check(found: list[Record], repository: Repository, form: str, console: Console) -> int:
    document = project_around(repository.root).document
    judged = [(one, list(lessons(one, repository, document))) for one in found]
    verdicts = [verdict for _, told in judged for _, verdict, _ in told]
    if form == "json":
        shown = [
            {
                "path": one.path,
                "is_open": worst(verdict for _, verdict, _ in told) is not Verdict.PASS,
                "lessons": [{"lesson": name, "verdict": verdict, "answer": why} for name, verdict, why in told],
            }
            for one, told in judged
        ]
        console.result(json.dumps({"version": 1, "verdict": worst(verdicts), "incidents": shown}, indent=2))
    else:
        console.result("\n".join(line for one, told in judged for line in _lessons(one, told, console)))
    console.note(f"{counted(len(found), 'incident')}, {console.elapsed_s:.1f} s")
    return worst(verdicts).exit_code


def _lessons(one: Record, told: list[tuple[str, Verdict, str]], console: Console) -> Iterator[str]:
    state = "closed" if all(verdict is Verdict.PASS for _, verdict, _ in told) else "open"
    yield f"{one.path}: {state}"
    yield from (f"  {console.paint(f'{verdict:8}', _COLOURS[verdict], 'bold')} {name}: {why}" for name, verdict, why in told)


def _trends(found: list[Record], repository: Repository, form: str, console: Console) -> int:
    tags = Deployments.of(project_around(repository.root).document).tags
    deployed = [tag.made_at for tag in repository.tags() if fnmatchcase(tag.name, tags)]
    quarters = sorted({_quarter(one.started_at) for one in found} | {_quarter(moment) for moment in deployed})
    rows = [_row(quarter, found, deployed) for quarter in quarters]
    console.result(json.dumps({"version": 1, "quarters": rows}, indent=2) if form == "json" else "\n".join(_trend_lines(rows)))
    return 0


def _row(quarter: str, found: list[Record], deployed: list[datetime]) -> dict[str, object]:
    """One quarter. Of how many deployments an incident escaped is not known where nothing was deployed."""
    own = [one for one in found if _quarter(one.started_at) == quarter]
    count = sum(_quarter(moment) == quarter for moment in deployed)
    return {
        "quarter": quarter,
        "incidents": len(own),
        "deployments": count,
        "escape_rate": round(len(own) / count, 4) if count else None,
        "mean_to_detect_s": mean([one.to_detect for one in own]).total_seconds() if own else None,
        "mean_to_repair_s": mean([one.to_repair for one in own]).total_seconds() if own else None,
        "users": sum(one.users for one in own),
        "money": costs(own),
    }


def _trend_lines(rows: list[dict[str, object]]) -> Iterator[str]:
    yield f"{'quarter':8} {'incidents':>9} {'deployments':>11} {'escaped':>8} {'to detect':>10} {'to repair':>10} {'users':>9}"
    for row in rows:
        rate, detect, repair = row["escape_rate"], row["mean_to_detect_s"], row["mean_to_repair_s"]
        escaped = f"{rate:.1%}" if isinstance(rate, float) else "-"
        times = [f"{value / 60:.0f} min" if isinstance(value, float) else "-" for value in (detect, repair)]
        counts = f"{row['quarter']!s:8} {row['incidents']!s:>9} {row['deployments']!s:>11} {escaped:>8}"
        yield f"{counts} {times[0]:>10} {times[1]:>10} {row['users']:>9,}"


def _quarter(moment: datetime) -> str:
    return f"{moment.year}-Q{(moment.month + 2) // 3}"


def _minutes(time: timedelta) -> str:
    return f"{time.total_seconds() / 60:.0f} min"
