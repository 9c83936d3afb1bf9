"""One schedule, so that it can be run again: what is fixed in it, and where its order differs from the plainest one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from interlock.prove.steering import called, number_of
from interlock.prove.worker import LANES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interlock.prove.effect import Step
    from interlock.prove.fault import Fault
    from interlock.prove.programs import Program
    from interlock.prove.steering import Turn


@dataclass(frozen=True, slots=True)
class Schedule:
    """One schedule.

    Attributes:
        program: What is fixed in it.
        switches: Who goes on after a turn, where it is not as in the plainest order.
    """

    program: Program
    switches: tuple[tuple[Turn, str], ...] = ()

    def with_plan(self, plan: tuple[tuple[tuple[int, int], Fault], ...]) -> Schedule:
        """The same with other faults."""
        return replace(self, program=replace(self.program, plan=plan))

    def without(self, gone: int) -> Schedule:
        """The same without one of the workers: those after it move up."""
        plan = tuple(
            ((_moved(worker, gone), place), fault) for (worker, place), fault in self.program.plan if worker % LANES != gone
        )
        switches = tuple(
            ((_renamed(worker, gone), turn), _renamed(to, gone))
            for (worker, turn), to in self.switches
            if gone not in {number_of(name) % LANES for name in (worker, to) if name}
        )
        return Schedule(replace(self.program, workers=self.program.workers - 1, plan=plan), switches)

    def exchanged(self, one: int, other: int) -> Schedule:
        """The same with two of the workers in each other's place."""
        places = {one: other, other: one}
        plan = tuple(((_put(worker, places), place), fault) for (worker, place), fault in self.program.plan)
        switches = tuple(((_put_name(name, places), turn), _put_name(to, places)) for (name, turn), to in self.switches)
        return Schedule(replace(self.program, plan=plan), tuple(sorted(switches)))


def _put(worker: int, places: dict[int, int]) -> int:
    """The number of a worker or lane in the place that its worker has now."""
    return worker - worker % LANES + places.get(worker % LANES, worker % LANES)


def _put_name(name: str, places: dict[int, int]) -> str:
    return called(_put(number_of(name), places)) if name else name


def _moved(worker: int, gone: int) -> int:
    """The number of a worker or lane without the one that is gone."""
    return worker - (worker % LANES > gone)


def _renamed(name: str, gone: int) -> str:
    return called(_moved(number_of(name), gone)) if name else name


def digest(steps: Iterable[Step]) -> str:
    """Tells two histories apart: who did what, in which order, and what went wrong."""
    told = "\n".join(f"{step.worker}|{step.effect.said}|{step.fault or ''}" for step in steps)
    return hashlib.sha256(told.encode()).hexdigest()[:16]
