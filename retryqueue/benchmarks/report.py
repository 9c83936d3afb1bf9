"""A run as Markdown for people and as JSON for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from benchmarks.parts import PARTS
from benchmarks.peers import OURS
from benchmarks.results import targets

if TYPE_CHECKING:
    from benchmarks.results import Found, Run

HEADINGS = {
    "enqueue": "single enqueue/s",
    "batch": "batch enqueue/s",
    "drain": "drain/s",
    "lateness": "lateness p50 / p99, ms",
    "recovery": "again after SIGKILL, s",
    "memory": "bytes per payment",
}


def as_json(run: Run) -> dict[str, Any]:
    """Everything, down to the figures of each round."""
    return asdict(run) | {"targets": [asdict(target) for target in targets(run)]}


def as_markdown(run: Run) -> str:
    """The table of figures, the table of settings, and what went wrong."""
    return "\n\n".join(filter(None, [_circumstances(run), _figures(run), _settings(run), _problems(run)])) + "\n"


def as_targets(run: Run) -> str:
    """One line for each target."""
    return "\n".join(f"{target.verdict:8} {target.claim}: {target.measured}" for target in targets(run))


def _circumstances(run: Run) -> str:
    about = run.circumstances
    rounds = about["rounds"]
    load = f"load {about['load']} at the start, {about['load_at_end']} at the end"
    values = "one round" if rounds == 1 else f"median of {rounds} rounds, least to most in brackets"
    return (
        f"Measured {about['date']} in one run on one fresh Redis {about['redis']} (`appendfsync everysec`, loopback), "
        f"{about['cores']} cores ({about['machine']}), Python {about['python']}; {values}; {load}.\n"
        "Payments are 222 bytes of JSON; each queue has one producer process and one worker process."
    )


def _figures(run: Run) -> str:
    parts = [part for part in PARTS if any(part in found for found in run.found.values())]
    rows = [["queue", *(HEADINGS[part] for part in parts)]]
    rows += [
        [f"**{queue}**" if queue == OURS else queue, *(cell(run.at(queue, part), part) for part in parts)]
        for queue in run.found
    ]
    return _table(rows)


def _settings(run: Run) -> str:
    rows = [["queue", "versions", "deduplicates by", "batch", "worker", "lateness", "recovery"]]
    for queue, facts in run.facts.items():
        versions = ", ".join(f"{package} {version}" for package, version in facts["versions"].items())
        way = next((figures["way"] for figures in run.at(queue, "batch").figures), "-")
        rows.append(
            [queue, versions, facts["deduplicates"] or "nothing", way, facts["worker"], facts["lateness"], facts["recovery"]]
        )
    return _table(rows)


def _problems(run: Run) -> str:
    said = []
    for queue, parts in run.found.items():
        for part, found in parts.items():
            said += [f"* {queue}, {part}: failed: {error}" for error in found.errors]
            said += [f"* {queue}, {part}: not measured: {found.skipped}"] if found.skipped else []
            said += [
                f"* {queue}, {part}: {figures['executed']:.0f} executions of {figures['payments']} payments"
                for figures in found.figures
                if "executed" in figures
            ]
    return "\n".join(said)


def cell(found: Found, part: str) -> str:
    """What the table says of one part of one queue."""
    if found.errors:
        return "failed"
    if not found.figures:
        return "-"
    if part == "lateness":
        return f"{_spread(found, 'value', 2)} / {_spread(found, 'p99_ms', 1)}"
    if part == "recovery" and found.median() is None:
        return f"> {found.figures[0]['cap_s']:.0f}"
    return _spread(found, "value", 1 if part == "recovery" else 0)


def _spread(found: Found, figure: str, digits: int) -> str:
    values, median = found.values(figure), found.median(figure)
    if len(values) == 1:
        return f"{median:,.{digits}f}"
    return f"{median:,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def _table(rows: list[list[str]]) -> str:
    heading, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([heading, "|" + " --- |" * len(rows[0]), *body])
