"""Faults that are left out come to what those come to that are placed: held against all of them.

The programs are those of the searches (`test_search`), whose workers are killed and lose replies.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from interlock.prove.bounded import Bounded
from interlock.prove.contract import Contract
from interlock.prove.effect import Effect
from interlock.prove.faults.crash_after import CrashAfter
from interlock.prove.faults.crash_before import CrashBefore
from interlock.prove.faults.lost_reply import LostReply
from interlock.prove.faults.reset import Reset
from interlock.prove.onward import Follows, Onward, Place, merge
from interlock.prove.placing import placed
from interlock.prove.programs import stages
from interlock.prove.scenarios import crash_after_acknowledgement
from interlock.prove.scheduler import Run, Stuck
from interlock.prove.search import Redundant, Search
from tests.unit.prove.test_search import PROGRAMS, WITH_LANES, Lanes, Memory, drawn

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.fault import Fault
    from interlock.prove.programs import Strategy

    Plan = tuple[Place, Fault]


class _Struck(Memory):
    """Workers that live on when a reply is lost; what they tell is kept outside of them. What the dead have seen is gone."""

    def __init__(self, program: list[Any], run: Run, *, is_reduced: bool = True) -> None:
        super().__init__(program, run, is_reduced=is_reduced)
        self.told: list[str] = []

    def tells(self, said: str) -> bool:
        """Whether a worker tells of an effect when it is done."""
        return not said

    def kept(self) -> list[str]:
        """What is outside of the workers."""
        return list(self.told)

    def outcome(self) -> object:
        alive = [index for index, worker in enumerate(self._run.workers) if not worker.has_crashed]
        return tuple(sorted(self.values.items())), tuple((index, tuple(self.seen[index])) for index in alive), tuple(self.told)

    def _effect(self, kind: str, names: list[str], said: str) -> Effect:
        return replace(super()._effect(kind, names, said), kind="redis")


class Struck(_Struck):
    def task(self) -> None:
        index = self._run.current().index
        for number, effect in enumerate(self._program[index].split(",")):
            self.step(index, f"{index}:{number}", *effect.split())

    def step(self, index: int, said: str, kind: str, *names: str) -> None:
        act: Callable[[], Any] = lambda: getattr(self, f"_{kind}")(said, index, *names)  # noqa: E731 - as short as it is.
        until = (lambda: names[0] in self.values) if kind == "take" else None
        before = list(self.seen[index])
        try:
            self._run.effect(self._effect(kind, list(names), said), act, str, until=until)
        except ConnectionResetError:
            self.seen[index] = [*before, f"{said} is lost"]
        if self.tells(said):
            self.told.append(said)


class Telling(Struck):
    """Each tells of every second effect."""

    def tells(self, said: str) -> bool:
        return said[-1] in "13579"


class StruckLanes(_Struck, Lanes):
    """Several things at once, which die together."""


@dataclass
class Seen:
    """What was done at each place, and what could follow at once."""

    places: dict[Place, dict[Effect, None]] = field(default_factory=dict[Place, "dict[Effect, None]"])
    follows: Follows = field(default_factory=dict[Place, "frozenset[Place] | None"])


def run_all(program: list[Any], search: Strategy, memory: type[_Struck], plan: Plan | None, seen: Seen) -> set[object]:
    """What the schedules come to."""
    found = set[object]()
    while True:
        run = Run(search.choose, dict([plan] if plan else []))
        shared = memory(program, run)
        onward = Onward(run, search.choose, search.did, shared.kept)
        run.choose, run.did = onward.choose, onward.did
        try:
            run.go([shared.task] * len(program))
            found.add(shared.outcome())
        except Redundant:
            pass
        except Stuck:
            found.add(("stuck", shared.outcome()))
        for place, effect in run.places.items():
            seen.places.setdefault(place, {})[effect] = None
        merge(seen.follows, onward.found)
        run.end()
        if not search.advance():
            return found


def kills(fault: Fault, _: Effect) -> bool:
    return isinstance(fault, CrashBefore | CrashAfter)


def kills_or_loses(fault: Fault, effect: Effect) -> bool:
    return kills(fault, effect) or isinstance(fault, Reset | LostReply)


def kills_before_writes(fault: Fault, effect: Effect) -> bool:
    """As a scenario that is about some effects alone."""
    return isinstance(fault, CrashAfter) or (isinstance(fault, CrashBefore) and bool(effect.writes))


def both(program: list[Any], memory: type[_Struck], strikes: Callable[[Fault, Effect], bool]) -> tuple[list[Plan], list[Plan]]:
    """All faults there are; and those that are placed."""
    seen = Seen()
    run_all(program, Search(), memory, None, seen)
    return list(placed(seen.places, strikes, None)), list(placed(seen.places, strikes, seen.follows))


def hold(program: list[Any], memory: type[_Struck], strikes: Callable[[Fault, Effect], bool]) -> None:
    every, some = both(program, memory, strikes)
    assert set(some) <= set(every)
    searches: list[Callable[[], Strategy]] = [lambda: Bounded(0), lambda: Bounded(1), Search]
    for search in searches:
        of_all, of_some = (
            set[object]().union(*(run_all(program, search(), memory, plan, Seen()) for plan in plans))
            for plans in (every, some)
        )
        assert of_some == of_all


@pytest.mark.parametrize("strikes", [kills, kills_or_loses, kills_before_writes])
@pytest.mark.parametrize("memory", [Struck, Telling])
@pytest.mark.parametrize("name", [name for name in PROGRAMS if len(PROGRAMS[name]) == 2])
def test_faults_that_are_left_out_come_to_what_others_do(name: str, memory: type[_Struck], strikes: Any) -> None:
    hold(PROGRAMS[name], memory, strikes)


@pytest.mark.parametrize("seed", [seed for seed in range(40) if len(drawn(seed)) == 2])
def test_in_programs_that_are_drawn_they_do_so_too(seed: int) -> None:
    hold(drawn(seed), Telling, kills_or_loses)


@pytest.mark.parametrize("name", WITH_LANES)
def test_workers_that_do_several_things_at_once_die_as_well_before_as_after(name: str) -> None:
    hold(WITH_LANES[name], StruckLanes, kills)


@pytest.mark.parametrize(
    ("program", "memory", "placed_at"),
    [
        # A read is nobody's loss, and after the last effect there is none before which it could be.
        (["r x,r y,w x,r x"], Struck, ["before 2", "after 3"]),
        (["w x,w x"], Struck, ["before 0", "before 1", "after 1"]),
        # Who has told of the second effect has told of it before the third.
        (["w x,w x,w x"], Telling, ["before 0", "before 1", "after 1", "before 2", "after 2"]),
    ],
)
def test_whoever_is_killed_is_killed_in_as_few_places_as_differ(
    program: list[str], memory: type[_Struck], placed_at: list[str]
) -> None:
    _, some = both(program, memory, kills)

    assert sorted(f"{fault.name.removeprefix('crash ')} {place}" for (_, place), fault in some) == sorted(placed_at)


def test_a_lost_reply_to_a_read_is_a_read_that_was_not_done() -> None:
    _, some = both(["r x,w x"], Struck, kills_or_loses)

    assert [fault.name for (_, place), fault in some if place == 0 and "crash" not in fault.name] == ["reset"]
    assert [fault.name for (_, place), fault in some if place == 1 and "crash" not in fault.name] == ["lost reply", "reset"]


def test_whoever_sleeps_after_an_effect_is_killed_after_it_too() -> None:
    class Sleeping(Struck):
        def step(self, index: int, said: str, kind: str, *names: str) -> None:
            super().step(index, said, kind, *names)
            self._run.wait(1, Effect("wait", "sleep 1 s"))

    every, some = both(["w x,w x"], Sleeping, kills)

    assert some == every


def test_nothing_is_left_out_where_an_invariant_can_tell_it_apart() -> None:
    effect = Effect("redis", "GET x", frozenset("x"))

    assert len(list(placed({(0, 0): [effect]}, kills, None))) == 2
    assert len(list(placed({(0, 0): [effect]}, kills, {}))) == 1


@pytest.mark.parametrize("asked_in", ["of 2 workers", "with 0 preemptions", "with 1 preemption at most", "nothing"])
def test_what_was_left_out_is_placed_as_soon_as_an_invariant_has_asked_for_the_history(asked_in: str) -> None:
    seen = {(0, 0): {Effect("redis", "GET x", frozenset("x")): None}}
    of_kills = Contract(lambda _: None, workers=2, faults=1, kinds=("crash before", "crash after"))
    placed_in, asked = dict[str, list[str]](), list[str]()

    def follows() -> Follows | None:
        return None if asked else {}

    for stage in stages(of_kills, ("ok",), seen, follows=follows):
        faults = [fault.name for program in stage.programs for _, fault in program.plan]
        if faults:
            placed_in[stage.says] = sorted([*placed_in.get(stage.says, []), *faults])
        asked += [stage.says] if stage.says.endswith(asked_in) else []

    assert list(placed_in.values()) == [["crash after"] if asked_in == "nothing" else ["crash after", "crash before"]] * 2


@pytest.mark.parametrize(("kind", "is_placed"), [("redis", True), ("postgres", True), ("http", False)])
def test_what_was_acknowledged_is_looked_for_in_whatever_server_it_is_kept(kind: str, is_placed: bool) -> None:  # noqa: FBT001 - one of each.
    effect = Effect(kind, "COMMIT", frozenset("x"), frozenset("x"))

    assert bool(list(placed({(0, 0): [effect]}, crash_after_acknowledgement.strikes, None))) == is_placed
