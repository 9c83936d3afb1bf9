from __future__ import annotations

import random
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from interlock.prove.effect import Effect
from interlock.prove.faults.crash_after import CrashAfter
from interlock.prove.faults.lost_reply import LostReply
from interlock.prove.programs import Program
from interlock.prove.proof import Violation
from interlock.prove.schedule import Schedule, digest
from interlock.prove.scheduler import Run
from interlock.prove.shrink import RUNS_MAX, Shrinking
from interlock.prove.steering import BEGINNING, Steering, called, number_of
from interlock.prove.worker import LANES, WORKERS_MAX, Worker, letter

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS = 6


@dataclass
class Told:
    """Who did which of its steps, in order."""

    steps: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])

    def of(self, worker: str) -> list[int]:
        return [number for name, number in self.steps if name == worker]


def ran(schedule: Schedule, choose: Callable[[list[Worker]], Worker], broken: Callable[[Told], bool]) -> Violation | None:
    """Runs workers that each do six things; tells whether that broke what must not be broken."""
    run, told = Run(choose, dict(schedule.program.plan)), Told()
    choices: list[int] = []

    def chosen(ready: list[Worker]) -> Worker:
        worker = choose(ready)
        choices.append(worker.index)
        return worker

    run.choose = chosen

    def task() -> None:
        name = run.current().name
        for number in range(STEPS):
            try:
                run.effect(Effect("test", f"{name}{number}"), lambda number=number: told.steps.append((name, number)), str)  # type: ignore[misc]
            except ConnectionResetError:
                continue

    run.go([task] * schedule.program.workers)
    if not broken(told):
        return None
    return Violation(("it is broken",), schedule.program, tuple(choices), tuple(run.steps), len(run.steps))


def shrunk(
    schedule: Schedule, steering: Steering, broken: Callable[[Told], bool], *, fewest_workers: int = 1, for_s: float = 60
) -> Shrinking:
    violation = ran(schedule, steering.choose, broken)
    assert violation is not None, "it must break before it is made smaller"
    before = Schedule(schedule.program, tuple(sorted(steering.taken.items())))
    shrinking = Shrinking(
        before,
        violation,
        steering,
        lambda smaller, steered: ran(smaller, steered.choose, broken),
        fewest_workers,
        time.monotonic() + for_s,
    )
    shrinking.finish()
    return shrinking


def at_random(seed: int, workers: int) -> list[str]:
    dice = random.Random(seed)
    return [dice.choice([letter(index) for index in range(workers)]) for _ in range(workers * STEPS * 2)]


def b_comes_between(told: Told) -> bool:
    """B does its third thing after A's second and before A's fourth: one switch is enough."""
    places = {step: place for place, step in enumerate(told.steps)}
    return ("B", 2) in places and places["A", 1] < places["B", 2] < places["A", 3]


@pytest.mark.parametrize("seed", range(20))
def test_of_the_many_switches_of_a_random_walk_only_those_that_matter_are_left(seed: int) -> None:
    order = at_random(seed, 2)
    if ran(Schedule(Program("ok", 2, None)), Steering(order=order).choose, b_comes_between) is None:
        order = ["A"] * 2 + ["B"] * 3 + order
    shrinking = shrunk(Schedule(Program("ok", 2, None)), Steering(order=order), b_comes_between)

    assert len(shrinking.schedule.switches) == 1
    assert shrinking.runs < RUNS_MAX


def test_workers_that_have_nothing_to_do_with_it_are_left_out() -> None:
    shrinking = shrunk(
        Schedule(Program("ok", 4, None)), Steering(order=at_random(3, 4)), lambda told: len(told.of("A")) == STEPS
    )

    assert shrinking.schedule.program.workers == 1
    assert shrinking.schedule.switches == ()


def test_the_workers_that_a_contract_has_tasks_for_stay() -> None:
    shrinking = shrunk(Schedule(Program("ok", 3, None)), Steering(), lambda told: len(told.of("A")) == STEPS, fewest_workers=2)

    assert shrinking.schedule.program.workers == 2


def test_a_worker_after_the_one_that_is_left_out_moves_up_with_its_faults_and_switches() -> None:
    plan = (((1, 2), LostReply()), ((2, 4), CrashAfter()))
    schedule = Schedule(Program("ok", 3, None, plan), ((BEGINNING, "C"), (("B", 1), "C"), (("C", 2), "A")))

    assert schedule.without(1) == Schedule(
        Program("ok", 2, None, (((1, 4), CrashAfter()),)), ((BEGINNING, "B"), (("B", 2), "A"))
    )


def test_workers_that_are_exchanged_take_their_faults_lanes_and_switches_with_them() -> None:
    plan = (((1001, 2), LostReply()), ((2, 4), CrashAfter()))
    schedule = Schedule(Program("ok", 3, None, plan), ((BEGINNING, "C"), (("B:1", 1), "A"), (("C", 2), "B")))

    exchanged = schedule.exchanged(1, 2)

    assert exchanged.program.plan == (((1002, 2), LostReply()), ((1, 4), CrashAfter()))
    assert exchanged.switches == ((BEGINNING, "B"), (("B", 2), "C"), (("C:1", 1), "A"))
    assert exchanged.exchanged(1, 2).switches == schedule.switches


def a_third_comes_within(told: Told) -> bool:
    """A ends between two things that one of the others does, and the third ends after that, but before that one."""
    ends = {name: told.steps.index((name, STEPS - 1)) for name in "ABC"}
    inner, outer = sorted("BC", key=ends.__getitem__)
    return told.steps.index((outer, 0)) < ends["A"] < told.steps.index((inner, 0)) < ends[inner] < ends[outer]


def test_workers_are_exchanged_where_that_needs_a_switch_less() -> None:
    """After A the plainest order goes on with B: with B outside it takes a third switch to have C in between."""
    order = ["A"] * 5 + ["B"] * 2 + ["A"] + ["C"] * 6 + ["B"] * 4
    shrinking = shrunk(Schedule(Program("ok", 3, None)), Steering(order=order), a_third_comes_within, fewest_workers=3)

    assert [to for _, to in shrinking.schedule.switches] == ["C", "A"]


def test_a_fault_that_does_not_matter_is_left_out_and_one_that_does_stays() -> None:
    matters, idle = ((0, 3), CrashAfter()), ((1, 0), LostReply())
    shrinking = shrunk(Schedule(Program("ok", 2, None, (idle, matters))), Steering(), lambda told: len(told.of("A")) == 4)

    assert shrinking.schedule.program.plan == (matters,)


def test_what_breaks_in_another_way_is_not_taken_for_smaller() -> None:
    told: list[Schedule] = []

    def otherwise(smaller: Schedule, steering: Steering) -> Violation | None:
        told.append(smaller)
        violation = ran(smaller, steering.choose, lambda _: True)
        return violation and replace(violation, broken=("something else",))

    steering = Steering(order=["A", "B", "A"])
    violation = ran(Schedule(Program("ok", 2, None)), steering.choose, lambda _: True)
    assert violation is not None
    schedule = Schedule(Program("ok", 2, None), tuple(sorted(steering.taken.items())))
    shrinking = Shrinking(schedule, violation, steering, otherwise, 1, time.monotonic() + 60)
    shrinking.finish()

    assert told
    assert shrinking.schedule == schedule


def test_when_the_time_is_over_nothing_more_is_tried() -> None:
    shrinking = shrunk(Schedule(Program("ok", 2, None)), Steering(order=at_random(1, 2)), lambda _: True, for_s=-1)

    assert shrinking.runs == 0


def test_the_plainest_order_has_no_switch() -> None:
    steering = Steering()
    ran(Schedule(Program("ok", 3, None)), steering.choose, lambda _: True)

    assert steering.taken == {}
    assert len(steering.turns) == 3 * STEPS


@pytest.mark.parametrize("seed", range(10))
def test_an_order_that_was_taken_is_taken_again_by_its_switches(seed: int) -> None:
    program = Program("ok", 3, None)
    first = Steering(order=at_random(seed, 3))
    one = ran(Schedule(program), first.choose, lambda _: True)
    again = Steering(first.taken)
    other = ran(Schedule(program), again.choose, lambda _: True)

    assert one is not None
    assert other is not None
    assert digest(one.steps) == digest(other.steps)
    assert again.skipped == {}


def test_a_switch_that_cannot_be_taken_is_skipped_and_said() -> None:
    steering = Steering({("A", 99): "B", ("A", 1): "Z", ("A", 2): "B"})
    ran(Schedule(Program("ok", 2, None)), steering.choose, lambda _: True)

    assert steering.taken == {("A", 2): "B"}
    assert steering.skipped == {("A", 99): "B", ("A", 1): "Z"}


def test_every_worker_and_lane_has_a_name_of_its_own_that_tells_its_number() -> None:
    numbers = [LANES * lane + worker for worker in range(WORKERS_MAX) for lane in (0, 1, 12)]
    names = [called(number) for number in numbers]

    assert names[:6] == ["A", "A:1", "A:12", "B", "B:1", "B:12"]
    assert [called(number) for number in (25, 26, 27, 52, 1026)] == ["Z", "AA", "AB", "BA", "AA:1"]
    assert len(set(names)) == len(names)
    assert [number_of(name) for name in names] == numbers


@pytest.mark.parametrize("name", ["", "a", "[", "AAA", "A.2", "A:", "A:x", "Ä", ":1"])
def test_what_is_nobody_s_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected a worker such as A or AB"):
        number_of(name)
