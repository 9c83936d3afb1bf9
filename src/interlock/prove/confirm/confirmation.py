"""Runs a finding again among processes, several times, and tells how often it broke the contract there, too."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interlock.core.counting import counted
from interlock.prove.confirm.processes import ProcessRun
from interlock.prove.effect import Uncontrolled
from interlock.prove.scheduler import Stuck
from interlock.prove.steering import Steering

if TYPE_CHECKING:
    from interlock.prove.bench import Bench
    from interlock.prove.schedule import Schedule

TIMES = 5


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What became of a finding among processes.

    Attributes:
        times: How often it was repeated.
        same: How often it broke the contract in the same way.
        killed: How many processes SIGKILL has ended, in all.
        otherwise: What happened instead, the first time that it was not the same.
    """

    times: int
    same: int
    killed: int
    otherwise: str = ""

    @property
    def is_sure(self) -> bool:
        """Whether it was the same every time."""
        return self.same == self.times

    @property
    def said(self) -> str:
        """For people."""
        kills = f", {counted(self.killed, 'SIGKILL')}" if self.killed else ""
        if self.is_sure:
            return f"confirmed in real processes: {self.same} of {self.times}{kills}"
        return f"in one process only: {self.same} of {self.times} in real processes{kills}; there, {self.otherwise}"


def confirmation(bench: Bench, schedule: Schedule, broken: tuple[str, ...], times: int = TIMES) -> Confirmation:
    """Repeats a schedule that broke a contract.

    Args:
        bench: Where it was found.
        schedule: What is repeated.
        broken: What it broke.
        times: How often.
    """
    same, killed, otherwise = 0, 0, ""
    for _ in range(times):
        found, kills = _once(bench, schedule)
        killed += kills
        if found == broken:
            same += 1
        else:
            otherwise = otherwise or (found if isinstance(found, str) else _other(found))
    return Confirmation(times, same, killed, otherwise)


def _once(bench: Bench, schedule: Schedule) -> tuple[tuple[str, ...] | str, int]:
    """What it broke among processes, or why nobody knows; and how many of them were killed."""
    with ExitStack() as stack:
        runs: list[ProcessRun] = []

        def make(*args: Any, **options: Any) -> ProcessRun:
            run = ProcessRun(*args, **options)
            run.servers = bench.servers()
            runs.append(run)
            stack.callback(runs[-1].end)
            return runs[-1]

        try:
            violation = bench.schedule(schedule.program, Steering(dict(schedule.switches)).choose, make=make)
        except (Uncontrolled, Stuck) as error:
            return str(error), 0
        return (violation.broken if violation else ()), sum(run.killed for run in runs)


def _other(broken: tuple[str, ...]) -> str:
    return "; ".join(broken) or "the contract holds"
