"""What the rounds of a run found, part by part, and what was promised of it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.peers import OURS, PEERS

if TYPE_CHECKING:
    from collections.abc import Callable

PASS, FAIL, UNKNOWN = "pass", "fail", "unknown"


@dataclass(slots=True)
class Found:
    """One part of one queue: the figures of each round, the errors of rounds that failed, or why it was left out."""

    figures: list[dict[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    skipped: str = ""

    def values(self, name: str = "value") -> list[float]:
        """This figure of every round that has it."""
        return [figures[name] for figures in self.figures if figures.get(name) is not None]

    def median(self, name: str = "value") -> float | None:
        """The median of all rounds; None when one of them failed or has no such value."""
        values = self.values(name)
        complete = values and not self.errors and len(values) == len(self.figures)
        return statistics.median(values) if complete else None


@dataclass(slots=True)
class Run:
    """All of one run: its circumstances, the facts of each queue, and `found[queue][part]`."""

    circumstances: dict[str, Any]
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    found: dict[str, dict[str, Found]] = field(default_factory=dict)

    def at(self, queue: str, part: str) -> Found:
        """What was found of this part; nothing where it was not measured."""
        return self.found.get(queue, {}).get(part, Found())


@dataclass(frozen=True, slots=True)
class Target:
    """One thing that is to be true, with the measured figures in words and whether it is: `pass`, `fail` or `unknown`."""

    claim: str
    measured: str
    verdict: str


def targets(run: Run) -> list[Target]:
    """Everything promised, judged by this run alone."""
    deduplicating = [queue for queue in PEERS if run.facts.get(queue, {}).get("deduplicates", "unknown")]
    lease_s = run.facts.get(OURS, {}).get("lease_s")
    return [
        _ratio(run, "enqueue", 1.0, deduplicating, "single enqueue: at least level with the fastest that deduplicates"),
        _ratio(run, "batch", 5.0, PEERS, "coalesced or batch enqueue: at least 5 times the best peer's"),
        _ratio(run, "drain", 2.0, PEERS, "whole life by one worker process: at least 2 times the best peer's drain"),
        _bound(run, "lateness", "value", 2.0, "lateness p50: within 2 ms"),
        _bound(run, "lateness", "p99_ms", 10.0, "lateness p99: within 10 ms"),
        _bound(run, "recovery", "value", lease_s and lease_s + 1, "a killed worker's payment: again within its lease + 1 s"),
        _bound(run, "memory", "value", 500.0, "memory: at most 500 bytes a payment"),
    ]


def _ratio(run: Run, part: str, least: float, queues: list[str] | tuple[str, ...], claim: str) -> Target:
    ours = run.at(OURS, part).median()
    theirs = {queue: median for queue in queues if (median := run.at(queue, part).median()) is not None}
    if ours is None or not theirs:
        return Target(claim, "not measured", UNKNOWN)
    best = max(theirs, key=theirs.__getitem__)
    ratio = ours / theirs[best]
    missing = [queue for queue in queues if queue not in theirs]
    verdict = FAIL if ratio < least else UNKNOWN if missing else PASS  # A queue without a figure might have been the best.
    without = f"; without {', '.join(missing)}" if missing else ""
    return Target(claim, f"{ours:,.0f}/s is {ratio:.2f} times {theirs[best]:,.0f}/s ({best}){without}", verdict)


def _bound(run: Run, part: str, figure: str, most: float | None, claim: str) -> Target:
    found = run.at(OURS, part)
    if most is None or not found.figures or found.errors:
        return Target(claim, "not measured", UNKNOWN)
    ours = found.median(figure)
    if ours is None:
        return Target(claim, "not within the cap", FAIL)
    return Target(claim, f"{ours:,.2f} (limit {most:,.2f})", PASS if ours <= most else FAIL)


def exit_code(judged: list[Target]) -> int:
    """1 when a target is missed, 3 when one is unknown, 0 when all are met."""
    verdicts: Callable[[str], bool] = {target.verdict for target in judged}.__contains__
    return 1 if verdicts(FAIL) else 3 if verdicts(UNKNOWN) else 0
