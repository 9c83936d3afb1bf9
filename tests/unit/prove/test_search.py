"""The reduced searches come to what the full ones come to.

A program is a list of workers, each a list of effects: `r x` reads x, `w x` writes it, `rw x y` reads x and writes y at once,
`if x y` announces nothing and touches y only if x was written, as a script does, and `take x` waits until x is written.
"""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from interlock.prove.bounded import Bounded
from interlock.prove.effect import Effect, Uncontrolled
from interlock.prove.sampling import Sample
from interlock.prove.scheduler import Run, Stuck
from interlock.prove.search import Redundant, Search

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.programs import Strategy
    from interlock.prove.worker import Worker

EVERYTHING = frozenset("*")

PROGRAMS: dict[str, list[str]] = {
    "one counter": ["r x,w x", "r x,w x"],
    "crosswise": ["w x,w y", "w y,w x"],
    "shared between own": ["r x,w a,w x", "r x,w b,w x"],
    "nothing in common": ["w a,w a", "w b,w b"],
    "two against one": ["r x,w x", "r x,w x", "w y,w x"],
    "a ring": ["r x,w y", "r y,w z", "r z,w x"],
    "only reads": ["r x,r y,r x", "r y,r x,r y"],
    "a writer and two readers": ["w x", "r x,r y", "w y,r x"],
    "moves": ["rw x y,rw y x", "rw y x,r x"],
    "a script with keys of its own": ["if x y,w z", "w x,r y", "r y,w z"],
    "two scripts": ["if x y,if y x", "w x,if y x"],
    "a consumer": ["take x,w y", "w x,r y", "r y"],
    "two consumers": ["take x,w y", "take x,w z", "w x"],
    "long": ["w a,r x,w x,w b", "w c,r x,w x,w d"],
}


class Memory:
    """What the workers of a program share: a write stores who wrote and what they had seen, a read takes down what it sees."""

    def __init__(self, program: list[Any], run: Run, *, is_reduced: bool) -> None:
        self.values: dict[str, str] = {}
        self.seen: list[list[str]] = [[] for _ in program]
        self._program, self._run, self._is_reduced = program, run, is_reduced

    def task(self) -> None:
        index = self._run.current().index
        for number, (kind, *names) in enumerate(parsed(self._program)[index]):
            act = partial(getattr(self, f"_{kind}"), f"{index}:{number}", index, *names)
            until = partial(self.values.__contains__, names[0]) if kind == "take" else None
            self._run.effect(self._effect(kind, names, f"{index}:{number}"), act, str, until=until)

    def outcome(self) -> object:
        return tuple(sorted(self.values.items())), tuple(map(tuple, self.seen))

    def _effect(self, kind: str, names: list[str], said: str) -> Effect:
        if not self._is_reduced or kind == "if":
            return Effect("test", said, EVERYTHING, EVERYTHING)
        reads = frozenset(names[:1]) if kind in {"r", "rw", "take"} else frozenset[str]()
        return Effect("test", said, reads, frozenset(names[-1:]) if kind in {"w", "rw", "take"} else frozenset())

    def _w(self, said: str, index: int, name: str) -> None:
        self.values[name] = f"{said}:{self.seen[index]}"

    def _r(self, said: str, index: int, name: str) -> None:
        self.seen[index].append(f"{said}:{self.values.get(name)}")

    def _rw(self, said: str, index: int, source: str, target: str) -> None:
        self._r(said, index, source)
        self._w(said, index, target)

    def _take(self, said: str, index: int, name: str) -> None:
        self._r(said, index, name)
        self.values[name] += "taken"

    def _if(self, said: str, index: int, source: str, target: str) -> None:
        is_there = source in self.values
        if is_there:
            self._w(said, index, target)
        if self._is_reduced:
            self._run.touched(frozenset({source}), frozenset({target} if is_there else ()))


def parsed(program: list[str]) -> list[list[list[str]]]:
    return [[effect.split() for effect in worker.split(",")] for worker in program]


def outcomes(
    program: list[Any], search: Strategy, *, is_reduced: bool, memory: Callable[..., Memory] = Memory
) -> tuple[set[object], int]:
    """What the schedules of a program come to, and how many there were."""
    found, schedules = set[object](), 0
    while True:
        run = Run(search.choose, did=search.did)
        shared = memory(program, run, is_reduced=is_reduced)
        schedules += 1
        try:
            run.go([shared.task] * len(program))
            found.add(shared.outcome())
        except Redundant:
            pass
        except Stuck:
            found.add(("stuck", shared.outcome()))
        run.end()
        if not search.advance():
            return found, schedules


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_reduced_search_comes_to_the_same_outcomes_as_the_full_one(name: str) -> None:
    everything, all_schedules = outcomes(PROGRAMS[name], Search(), is_reduced=False)
    found, schedules = outcomes(PROGRAMS[name], Search(), is_reduced=True)

    assert found == everything
    assert schedules <= all_schedules


@pytest.mark.parametrize("bound", [0, 1, 2])
@pytest.mark.parametrize("name", PROGRAMS)
def test_within_a_bound_too_the_reduced_search_comes_to_the_same_outcomes(name: str, bound: int) -> None:
    everything, all_schedules = outcomes(PROGRAMS[name], Bounded(bound), is_reduced=False)
    found, schedules = outcomes(PROGRAMS[name], Bounded(bound), is_reduced=True)

    assert found == everything
    assert schedules <= all_schedules


@pytest.mark.parametrize("name", PROGRAMS)
def test_without_a_bound_that_bites_both_searches_agree(name: str) -> None:
    assert outcomes(PROGRAMS[name], Bounded(99), is_reduced=True)[0] == outcomes(PROGRAMS[name], Search(), is_reduced=True)[0]


@pytest.mark.parametrize("seed", range(60))
def test_programs_that_are_drawn_come_to_the_same_outcomes(seed: int) -> None:
    program = drawn(seed)

    everything, _ = outcomes(program, Search(), is_reduced=False)
    assert outcomes(program, Search(), is_reduced=True)[0] == everything
    within, _ = outcomes(program, Bounded(1), is_reduced=False)
    assert outcomes(program, Bounded(1), is_reduced=True)[0] == within


def drawn(seed: int) -> list[str]:
    chance = random.Random(seed)

    def effect() -> str:
        kind = chance.choice(("r", "w", "rw", "if"))
        return " ".join([kind, *(chance.choice("xyz") for _ in range(2 if kind in {"rw", "if"} else 1))])

    return [",".join(effect() for _ in range(length)) for length in chance.choice(((3, 3), (4, 3), (2, 2, 2)))]


@pytest.mark.parametrize(
    ("program", "schedules"),
    [
        (["w x"] * 2, 2),
        (["r x"] * 2, 1),
        (PROGRAMS["nothing in common"], 1),
        (["r x,r x,r x,r x,r x,r x"] * 2, 1),
        (["w x,w x,w x,w x,w x,w x"] * 2, 924),
        (["r x,w x,w a,w a,w a,w a", "r x,w x,w b,w b,w b,w b"], 4),
        (["r x,w x,w a,w a,w a,w a", "r x,w x,w b,w b,w b,w b", "r x,w x,w c,w c,w c,w c"], 36),
    ],
)
def test_only_orders_that_somebody_can_tell_apart_are_run(program: list[str], schedules: int) -> None:
    assert outcomes(program, Search(), is_reduced=True)[1] == schedules


def test_a_bound_counts_preemptions() -> None:
    program = ["w x,w x,w x"] * 2

    assert [outcomes(program, Bounded(bound), is_reduced=True)[1] for bound in (0, 1, 2)] == [2, 6, 14]


def test_who_waits_before_what_nobody_sees_waits_later() -> None:
    program = ["w a,w a,w x", "w b,w b,w x"]

    assert outcomes(program, Bounded(1), is_reduced=True)[1] < outcomes(program, Bounded(1), is_reduced=False)[1]


# Of each worker, what it does at once: lanes that share a memory.
WITH_LANES: dict[str, list[list[str]]] = {
    "two lanes and one": [["r x,w x", "w y"], ["w y,r x"]],
    "a listener and a taker": [["r c", "w x,w y,r x"], ["r c", "w x,r y"]],
    "lanes that nobody else sees": [["w a,w a", "w b"], ["w c"]],
    "one worker": [["r x,w x", "r x,w x", "w x"]],
    "a lane that waits for another worker": [["take x,w y", "w z"], ["w x,r z"]],
    "scripts in lanes": [["if x y", "w x"], ["if y x,w y"]],
}


class Lanes(Memory):
    """A program whose workers do several things at once, and take down in one place what they see."""

    def __init__(self, program: list[list[str]], run: Run, *, is_reduced: bool) -> None:
        super().__init__(program, run, is_reduced=is_reduced)
        self._lanes = program

    def task(self) -> None:
        worker, left = self._run.current(), [0]
        for number, lane in enumerate(parsed(self._lanes[worker.index])):

            def body(lane: list[list[str]] = lane, number: int = number) -> None:
                for place, (kind, *names) in enumerate(lane):
                    said = f"{worker.index}:{number}:{place}"
                    act = partial(getattr(self, f"_{kind}"), said, worker.index, *names)
                    until = partial(self.values.__contains__, names[0]) if kind == "take" else None
                    self._run.effect(self._effect(kind, names, said), act, str, until=until)
                left[0] += 1

            self._run.start(self._run.lane(worker), body)
        all_done = len(self._lanes[worker.index])
        self._run.wait(None, Effect("wait", "for its lanes"), until=lambda: left[0] == all_done, is_prompt=True)


@pytest.mark.parametrize("name", WITH_LANES)
def test_what_workers_do_at_once_comes_to_the_same_outcomes_in_the_reduced_searches(name: str) -> None:
    program = WITH_LANES[name]

    everything, _ = outcomes(program, Search(), is_reduced=False, memory=Lanes)
    assert outcomes(program, Search(), is_reduced=True, memory=Lanes)[0] == everything
    assert outcomes(program, Bounded(99), is_reduced=True, memory=Lanes)[0] == everything
    for bound in (0, 1, 2):
        within, all_schedules = outcomes(program, Bounded(bound), is_reduced=False, memory=Lanes)
        found, schedules = outcomes(program, Bounded(bound), is_reduced=True, memory=Lanes)
        assert found == within
        assert schedules <= all_schedules


@pytest.mark.parametrize("seed", range(40))
def test_lanes_that_are_drawn_come_to_the_same_outcomes(seed: int) -> None:
    lanes = drawn(seed)
    program = [lanes[:2], lanes[2:] or ["w x,r y"]]

    within, _ = outcomes(program, Bounded(1), is_reduced=False, memory=Lanes)
    assert outcomes(program, Bounded(1), is_reduced=True, memory=Lanes)[0] == within


@pytest.mark.parametrize(
    ("program", "schedules"),
    [
        ([["w x", "w y", "w z"]], [1, 4, 6]),  # As they were sent; then one of the first two is late; then both.
        ([["r c", "w x,w x,w x"]], [1, 4, 4]),  # The one that listens may be late by one, two or three.
        ([["w x,w x"], ["w x,w x"]], [2, 4, 6]),  # As if there were no lanes.
    ],
)
def test_whoever_is_overtaken_counts_once_however_late_it_is(program: list[list[str]], schedules: list[int]) -> None:
    assert [outcomes(program, Bounded(bound), is_reduced=True, memory=Lanes)[1] for bound in (0, 1, 2)] == schedules


def test_what_is_drawn_again_from_the_same_seed_is_the_same() -> None:
    def draw(seed: str, depth: int | None) -> list[str]:
        begun = Sample(seed, depth, 8).begun()
        run = Run(begun.choose)
        run.go([Memory(["w x,w x,w x,w x"] * 2, run, is_reduced=True).task] * 2)
        return [step.worker for step in run.steps]

    for depth in (None, 1, 2, 3):
        assert draw("0", depth) == draw("0", depth)
        assert len({tuple(draw(str(seed), depth)) for seed in range(30)}) > 1


@pytest.mark.parametrize("make", [Search, lambda: Bounded(1)])
def test_a_module_that_does_something_else_the_second_time_is_told_with_both_effects(make: Callable[[], Any]) -> None:
    search = make()

    def schedule(number: int) -> None:
        run = Run(search.choose)

        def task() -> None:
            run.effect(Effect("test", f"SET x {number}", frozenset("x"), frozenset("x")), lambda: None, str)
            run.effect(Effect("test", "GET x", frozenset("x")), lambda: None, str)

        run.go([task] * 2)
        search.advance()

    schedule(0)
    with pytest.raises(Uncontrolled, match="after the same 0 effects a worker did `SET x 0` in one schedule and `SET x 1` in"):
        schedule(1)


def test_whoever_would_be_next_is_asked_for_before_anything_is_carried_out() -> None:
    asked: list[list[int]] = []

    def choose(ready: list[Worker]) -> Worker:
        asked.append([worker.index for worker in ready])
        return ready[0]

    run = Run(choose)
    run.go([Memory(["w x"] * 2, run, is_reduced=True).task] * 2)

    assert asked == [[0, 1], [1]]
