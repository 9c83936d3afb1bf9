"""What a finding is worth: before it is told, it is made as small as it can be, and repeated among real processes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from interlock.prove.bench import bench
from interlock.prove.confirm.confirmation import Confirmation, confirmation
from interlock.prove.effect import Uncontrolled
from interlock.prove.schedule import Schedule, digest
from interlock.prove.scheduler import Stuck
from interlock.prove.shrink import Shrinking
from interlock.prove.steering import Steering, called
from interlock.prove.whereabouts import users_line

if TYPE_CHECKING:
    from interlock.prove.bench import Bench
    from interlock.prove.contract import Contract
    from interlock.prove.proof import Violation

NOT_THE_SAME = "the same order of effects did not lead to the same effects: the module is not deterministic"


@dataclass(frozen=True, slots=True)
class Finding:
    """A schedule that breaks a contract, as small as it gets.

    Attributes:
        schedule: Which.
        violation: What comes of it, with the lines of the user's code.
        confirmation: How often it does so among processes.
        shrunk_in: How many schedules were run to make it small.
    """

    schedule: Schedule
    violation: Violation
    confirmation: Confirmation
    shrunk_in: int


def examined(contract: Contract, violation: Violation, ends_at_s: float) -> Finding:
    """Examines what a search has found.

    Args:
        contract: What is broken.
        violation: How.
        ends_at_s: When to stop making it smaller; it is confirmed in any case.

    Raises:
        Uncontrolled: If it cannot be repeated.
    """
    with bench(contract) as own:
        run = partial(_run, own)
        steering = Steering(order=tuple(map(called, violation.choices)))
        again = own.schedule(violation.program, steering.choose)
        if again is None or digest(again.steps) != digest(violation.steps):
            raise Uncontrolled(NOT_THE_SAME)
        schedule = Schedule(violation.program, tuple(sorted(steering.taken.items())))
        shrinking = Shrinking(schedule, again, steering, run, own.fewest_workers(), ends_at_s)
        shrinking.finish()
        told = own.schedule(shrinking.schedule.program, Steering(dict(shrinking.schedule.switches)).choose, where=users_line)
        if told is None or digest(told.steps) != digest(shrinking.violation.steps):
            raise Uncontrolled(NOT_THE_SAME)
        sure = confirmation(own, shrinking.schedule, told.broken)
    return Finding(shrinking.schedule, told, sure, shrinking.runs)


def _run(own: Bench, schedule: Schedule, steering: Steering) -> Violation | None:
    """What a schedule breaks; nothing, if nobody can tell."""
    try:
        return own.schedule(schedule.program, steering.choose)
    except (Uncontrolled, Stuck):
        return None
