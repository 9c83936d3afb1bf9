"""Makes a schedule that breaks a contract as small as it can be: fewest faults, then fewest switches, then fewest workers.

Each smaller schedule is run, and kept if it breaks the contract in one of the same ways. So what is left is not what seems to
matter, but what does.

Source: the idea of taking parts away, half of them at first, is A. Zeller and R. Hildebrandt, "Simplifying and Isolating
Failure-Inducing Input", IEEE TSE 28(2), 2002.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise, product
from typing import TYPE_CHECKING

from interlock.prove.steering import Steering, number_of
from interlock.prove.worker import LANES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from interlock.prove.proof import Violation
    from interlock.prove.schedule import Schedule
    from interlock.prove.steering import Turn

# Systematic findings take 2 to 4 runs; those of random walks, with six switches to merge in pairs, up to 400.
RUNS_MAX = 500
FEW_SWITCHES = 2  # With more it is worth another hundred runs to find out whether they are needed.


@dataclass(slots=True)
class Shrinking:
    """One finding, getting smaller.

    Args:
        schedule: The smallest that breaks the contract so far.
        violation: What came of it.
        steering: How its order was taken.
        run: Runs a schedule; answers with what it broke.
        fewest_workers: How many there must be.
        ends_at_s: When to be content with what there is.

    Attributes:
        runs: How many schedules were run for it.
    """

    schedule: Schedule
    violation: Violation
    steering: Steering
    run: Callable[[Schedule, Steering], Violation | None]
    fewest_workers: int
    ends_at_s: float
    runs: int = 0
    _tried: set[Schedule] = field(default_factory=set["Schedule"])

    def finish(self) -> None:
        """Goes on until nothing smaller breaks the contract, or it takes too long."""
        while any(self._breaks(smaller) for smaller in self._smaller()):
            pass

    def _breaks(self, smaller: Schedule) -> bool:
        """Runs a smaller schedule, and takes it if it breaks the contract in one of the same ways."""
        if smaller in self._tried or self.runs >= RUNS_MAX or time.monotonic() > self.ends_at_s:
            return False
        self._tried.add(smaller)
        self.runs += 1
        steering = Steering(dict(smaller.switches))
        violation = self.run(smaller, steering)
        if violation is None or not set(violation.broken) & set(self.violation.broken):
            return False
        taken = replace(smaller, switches=tuple(sorted(steering.taken.items())))
        if _size(taken, violation) >= _size(self.schedule, self.violation):
            return False
        self.schedule, self.violation, self.steering = taken, violation, steering
        return True

    def _smaller(self) -> Iterator[Schedule]:
        yield from self._with_fewer_faults()
        yield from self._with_fewer_switches()
        yield from self._with_fewer_workers()
        yield from self._with_two_switches_in_one()
        yield from self._with_a_switch_moved()
        yield from self._with_two_workers_exchanged()

    def _with_fewer_faults(self) -> Iterator[Schedule]:
        plan = self.schedule.program.plan
        for left_out in plan:
            yield self.schedule.with_plan(tuple(fault for fault in plan if fault is not left_out))

    def _with_fewer_switches(self) -> Iterator[Schedule]:
        switches = self.schedule.switches
        size = len(switches)
        while size:
            for start in range(0, len(switches), size):
                yield replace(self.schedule, switches=switches[:start] + switches[start + size :])
            size //= 2

    def _with_fewer_workers(self) -> Iterator[Schedule]:
        workers = self.schedule.program.workers
        for worker in reversed(range(workers)) if workers > self.fewest_workers else ():
            yield self.schedule.without(worker)

    def _with_two_switches_in_one(self) -> Iterator[Schedule]:
        switches, turns = self.schedule.switches, self.steering.turns
        for pair in combinations(switches, 2):
            left = tuple(switch for switch in switches if switch not in pair)
            for switch in _possible(turns):
                yield replace(self.schedule, switches=tuple(sorted((*left, switch))))

    def _with_a_switch_moved(self) -> Iterator[Schedule]:
        switches, turns = self.schedule.switches, self.steering.turns
        for moved in switches:
            left = tuple(switch for switch in switches if switch is not moved)
            for switch in _possible(turns):
                if switch[0][0] == moved[0][0]:
                    yield replace(self.schedule, switches=tuple(sorted((*left, switch))))

    def _with_two_workers_exchanged(self) -> Iterator[Schedule]:
        """Workers that do the same come in the order of their names; in another, what leads to it may need a switch less."""
        had = Counter(worker for worker, _ in self.steering.turns if worker)
        workers = sorted({number_of(worker) % LANES for worker in had})
        for one, other in combinations(workers, 2) if len(self.schedule.switches) > FEW_SWITCHES else ():
            exchanged = self.schedule.exchanged(one, other)
            most = max(had.values()) + 1
            for left in combinations(exchanged.switches, len(exchanged.switches) - 1):
                for moved, turn in product(left, range(1, most + 1)):
                    others = (switch for switch in left if switch is not moved)
                    yield replace(exchanged, switches=tuple(sorted((*others, ((moved[0][0], turn), moved[1])))))


def _possible(turns: dict[Turn, tuple[str, ...]]) -> Iterator[tuple[Turn, str]]:
    return ((turn, name) for turn, names in turns.items() for name in names)


def _size(schedule: Schedule, violation: Violation) -> tuple[int, ...]:
    """What is small comes first: faults, switches, workers; then how often the worker changes, and what there is to read."""
    told = [step.worker for step in violation.steps[: violation.recovery_at]]
    changes = sum(one != other for one, other in pairwise(told))
    return len(schedule.program.plan), len(schedule.switches), schedule.program.workers, changes, len(violation.steps)
