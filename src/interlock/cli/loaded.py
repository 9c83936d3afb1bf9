"""How the results of `prove --load` are printed: for people in a terminal, for programs, and as a page with plots."""

from __future__ import annotations

import json
from dataclasses import asdict
from html import escape
from typing import TYPE_CHECKING

from interlock.cli.loadplot import plot
from interlock.cli.page import page, verdict
from interlock.core.counting import counted

if TYPE_CHECKING:
    from interlock.prove.load.result import LoadResult, Openness, Spread


def told(form: str, results: list[LoadResult]) -> str:
    """All results in one of the formats."""
    match form:
        case "json":
            return json.dumps({"version": 1, "loads": [_data(result) for result in results]}, indent=2)
        case "html":
            return page("interlock prove --load", "\n".join(_section(result) for result in results))
        case _:
            return "\n".join(line for result in results for line in _lines(result))


def _lines(result: LoadResult) -> list[str]:
    lines = [f"{_head(result)}: {result.verdict} ({counted(result.calls, 'call')}, {result.seconds:.1f} s)"]
    lines += [f"  {name:<12} {said}" for name, said in _rows(result)]
    lines += [f"  BROKEN: {violation}" for violation in result.violations]
    lines += [f"  note: {note}" for note in result.notes]
    return lines + [f"  unknown: {reason}" for reason in result.reasons]


def _rows(result: LoadResult) -> list[tuple[str, str]]:
    """The figures, each with its name."""
    rows = [("calls", _calls(result))]
    if result.success is not None:
        rows.append(("success", f"{result.success:.2%} (at least {result.success_min:.0%} are demanded)"))
    if result.payments is not None:
        rows.append(("payments", f"{result.payments:,}: {_outcomes(result)}"))
    if result.failures:
        rows.append(("failures", "; ".join(f"{count:,} x {error}" for error, count in result.failures[:3])))
    rows.append(("latency", f"{_spread(result.latency_ms, 'ms')}; without waiting {_spread(result.service_ms, 'ms')}"))
    if result.payments is not None:
        rows.append(("lateness", _spread(result.late_s, "s")))
    if result.files.most:
        rows.append(
            (
                "connections",
                f"Redis {_open(result.connections)}; provider {_open(result.services)}; files {_open(result.files)}",
            )
        )
    if result.struck or result.restarts:
        rows.append(("faults", f"{result.struck:,} on connections, {counted(result.restarts, 'restart')}"))
    return rows


def _calls(result: LoadResult) -> str:
    said = f"{result.calls:,} of {result.planned:,}"
    if result.at_once:
        said += f", {result.at_once:,} on their way at one time"
    if result.begun_within_ms is not None:
        return f"{said}, begun within {result.begun_within_ms:,.0f} ms"
    return f"{said}, {result.covered_s:,.1f} s of {result.over_s:,.1f} s, made in {result.made_in_s:,.1f} s"


def _outcomes(result: LoadResult) -> str:
    collisions, duplicates = counted(result.collisions, "collision"), counted(result.duplicates, "duplicate")
    return f"{collisions}, {duplicates}, {result.lost:,} lost, {result.set_aside:,} set aside"


def _spread(spread: Spread, unit: str) -> str:
    return f"p50 {spread.p50:,.1f} {unit}, p99 {spread.p99:,.1f} {unit}, max {spread.most:,.1f} {unit}"


def _open(openness: Openness) -> str:
    return f"{openness.first} -> {openness.last}, {openness.most} at most"


def _head(result: LoadResult) -> str:
    return f"{result.contract}, {result.shape}"


def _data(result: LoadResult) -> dict[str, object]:
    data = asdict(result)
    del data["sources"]
    if result.payments is None:  # Nobody knows, and nought would say that somebody does.
        data |= dict.fromkeys(("collisions", "duplicates", "lost", "set_aside", "late_s"))
    data["failures"] = [{"error": error, "times": count} for error, count in result.failures]
    return data


def _section(result: LoadResult) -> str:
    head = f'<h2>{escape(_head(result))}: {verdict(result.verdict)} <span class="faint">({result.seconds:.1f} s)</span></h2>'
    broken = "".join(f'<li class="fail">{escape(one)}</li>' for one in result.violations)
    broken += "".join(f'<li class="unknown">{escape(one)}</li>' for one in result.reasons)
    rows = "".join(f"<tr><th>{name}</th><td>{escape(said)}</td></tr>" for name, said in _rows(result))
    notes = "".join(f"<li>{escape(note)}</li>" for note in result.notes)
    picture = f'<div class="picture">{plot(result.moments)}</div>' if result.moments else ""
    return f"{head}<ul>{broken}{notes}</ul><table>{rows}</table>{picture}"
