"""A rollout is killed before and after each thing that it does to the world, and its successor brings it to its end."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from itertools import count, islice
from typing import TYPE_CHECKING

import pytest

from interlock.core.errors import UsageError, WorldError
from interlock.core.verdict import Verdict
from interlock.roll.buckets import BUCKETS
from interlock.roll.judge import Arm
from interlock.roll.listening import Ear
from interlock.roll.plan import Metric, Plan, Step
from interlock.roll.rollback import Rollback
from interlock.roll.rollout import Outcome, Pace, Rollout
from interlock.roll.routers import Setting
from interlock.roll.shares import Shares
from interlock.roll.sources import Event
from interlock.roll.state import Phase, State, StateFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from interlock.roll.judge import Judgement
    from interlock.roll.rollback import Done

PLAN = Plan(
    steps=(Step(share=0.4, bake_s=0.01), Step(share=0.5, bake_s=0.01), Step(share=1.0, bake_s=0.0)),
    metrics=(Metric(name="failures"),),
)
SCATTERS = 3_001  # Neighbours go to different buckets, and each bucket has its turn.
PACE = Pace(tick_s=0.001, lease_s=30.0, learn_s=0.002, hold_s=5.0)


class KilledError(BaseException):
    """SIGKILL, as far as a process can do it to itself: nothing that catches errors sees it."""


@dataclass(slots=True)
class World:
    """A router and a file that are killed over at one of the things done to them."""

    kill_at: int | None = None
    after: bool = False
    setting: Setting = field(default_factory=lambda: Setting(limit=0, salt="none", until_s=0))
    done: int = 0

    def effect(self, act: object) -> None:
        """One thing that is done to the world."""
        assert callable(act)
        number, self.done = self.done, self.done + 1
        if number == self.kill_at and not self.after:
            raise KilledError
        act()
        if number == self.kill_at:
            raise KilledError

    def read(self) -> Setting:
        return self.setting

    def write(self, setting: Setting) -> None:
        def act() -> None:
            self.setting = setting

        self.effect(act)


@dataclass(frozen=True, slots=True)
class KilledFile(StateFile):
    """The state file, whose saves are things done to the world."""

    world: World = field(default_factory=World)

    def save(self, state: State, at_s: float, *, durably: bool = True) -> None:
        self.world.effect(lambda: StateFile.save(self, state, at_s, durably=durably))


@dataclass(slots=True)
class Requests:
    """As many of each arm as the router sends there, which goes by the user."""

    world: World
    bad: bool
    name: str = "requests"
    users: Iterator[int] = field(default_factory=lambda: count(1))

    def poll(self) -> Sequence[Event]:
        limit = self.world.setting.limit
        return [
            Event(arm=arm, limit=limit, user=user, failed=self.bad and arm is Arm.CANARY)
            for user in islice(self.users, 20)
            for arm in [Arm.CANARY if user * SCATTERS % BUCKETS < limit else Arm.BASELINE]
        ]

    def idle(self) -> bool:
        return False

    def close(self) -> None:
        """There is nothing to give back."""


class Nobody:
    """A watcher who looks away."""

    def entered(self, state: State) -> None: ...
    def looked(self, state: State, judgement: Judgement, note: str) -> None: ...
    def did(self, done: Done) -> None: ...


def begun(world: World, folder: Path, *, bad: bool, plan: Plan = PLAN) -> Rollout:
    file = KilledFile(folder / "state.json", world)
    state = file.load() or State(phase=Phase.STEP, salt="a1b2", plan="p", started_s=0.0)
    return Rollout(
        plan=plan,
        router=world,
        ears=[Ear(source=Requests(world, bad), silent_s=5.0)],
        file=file,
        state=state,
        shares=Shares(state.shares),
        watcher=Nobody(),
        folder=folder,
        rollback=Rollback(recover_s=0.01),
        pace=PACE,
    )


def killed_at(number: int, folder: Path, *, after: bool, bad: bool) -> tuple[World, Outcome | None]:
    """What becomes of it. None if it ended before it came to the thing of that number."""
    world = World(number, after)
    try:
        begun(world, folder, bad=bad).run()
    except KilledError:
        world.kill_at = None
        return world, begun(world, folder, bad=bad).run()
    return world, None


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("bad", [False, True])
def test_wherever_it_is_killed_it_comes_to_its_end(tmp_path: Path, *, after: bool, bad: bool) -> None:
    for number in count():
        folder = tmp_path / str(number)
        folder.mkdir()
        world, outcome = killed_at(number, folder, after=after, bad=bad)
        if outcome is None:
            break
        expected = (Phase.ROLLED_BACK, 0) if bad else (Phase.DONE, BUCKETS)
        assert (outcome.state.phase, world.setting.limit) == expected, number
    assert number > 5


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("wished", [False, True])
def test_whoever_sends_everybody_back_after_a_kill_is_not_overruled_by_a_successor(
    tmp_path: Path, *, after: bool, wished: bool
) -> None:
    """By `interlock roll abort`, or by hand; in whatever phase it was killed."""
    for number in count():
        folder = tmp_path / str(number)
        folder.mkdir()
        world = World(number, after)
        try:
            begun(world, folder, bad=False).run()
            break
        except KilledError:
            world.kill_at = None
        kept = StateFile(folder / "state.json").load()
        if kept is None or kept.phase.over:
            continue
        world.setting = replace(world.setting, limit=0, until_s=0, salt=world.setting.salt if wished else "none")
        if wished:
            StateFile(folder / "state.json").wish_abort()

        outcome = begun(world, folder, bad=False).run()

        assert (outcome.state.phase, outcome.verdict, world.setting.limit) == (Phase.ROLLED_BACK, Verdict.UNKNOWN, 0), number
    assert number > 5


def test_half_a_rollout_under_other_settings_can_be_ended_and_not_gone_on_with(tmp_path: Path) -> None:
    other = Plan(steps=(Step(share=1.0, bake_s=0.0),), metrics=(Metric(name="faults"),))
    world = World(kill_at=9)
    with pytest.raises(KilledError):
        begun(world, tmp_path, bad=False).run()
    world.kill_at = None
    kept = StateFile(tmp_path / "state.json").load()
    assert kept is not None
    assert kept.step > 0  # Which the other plan does not have.

    with pytest.raises(UsageError, match="expected version 2 and metrics faults"):
        begun(world, tmp_path, bad=False, plan=other)
    StateFile(tmp_path / "state.json").wish_abort()
    outcome = begun(world, tmp_path, bad=False, plan=other).run()

    assert (outcome.state.phase, world.setting.limit) == (Phase.ROLLED_BACK, 0)


def test_the_share_is_judged_that_the_router_can_have_and_not_the_one_that_was_asked(tmp_path: Path) -> None:
    """1.6 of 10,000 buckets are two: a quarter more than was asked."""
    plan = replace(PLAN, steps=(Step(share=0.00016, bake_s=0.01), Step(share=1.0, bake_s=0.0)))
    rollout = begun(World(), tmp_path, bad=False, plan=plan)
    rollout.run()

    assert [share for _, share, *_ in json.loads(rollout.judge.to_json())["intake"]["steps"]] == [0.0002, 1.0]


def test_an_abort_in_the_moment_in_which_a_step_begins_is_not_lost(tmp_path: Path) -> None:
    """The router is told of the step just after it was told to send everybody back."""
    file = StateFile(tmp_path / "state.json")

    class Somebody(Nobody):
        def entered(self, state: State) -> None:
            if (state.phase, state.step) == (Phase.STEP, 1):
                file.wish_abort()

    world = World()
    rollout = begun(world, tmp_path, bad=False)
    rollout.watcher = Somebody()

    outcome = rollout.run()

    assert (outcome.state.phase, outcome.state.reason, world.setting.limit) == (Phase.ROLLED_BACK, "stopped by hand", 0)


class FullDisk(StateFile):
    """A state file that cannot be written any more, once users are on the canary."""

    def save(self, state: State, at_s: float, *, durably: bool = True) -> None:
        if state.phase not in {Phase.STEP, Phase.BAKE} or state.baked_s or not durably:
            message = "state.json: the rollout cannot be kept: No space left on device"
            raise WorldError(message)
        StateFile.save(self, state, at_s, durably=durably)


def test_a_full_disk_stops_the_rollout_and_the_old_version_comes_back_all_the_same(tmp_path: Path) -> None:
    world = World()
    rollout = begun(world, tmp_path, bad=False)
    rollout.file = FullDisk(tmp_path / "state.json")
    rollout.rollback = Rollback(commands=("touch rolled-back",), recover_s=0.01)

    outcome = rollout.run()

    assert (outcome.state.phase, outcome.verdict, world.setting.limit) == (Phase.ROLLED_BACK, Verdict.UNKNOWN, 0)
    assert "No space left on device" in outcome.state.reason
    assert (tmp_path / "rolled-back").exists()


def test_our_own_fault_leaves_nobody_on_the_canary(tmp_path: Path) -> None:
    class Clumsy(Nobody):
        def looked(self, state: State, judgement: Judgement, note: str) -> None:  # noqa: ARG002 - as it is asked for.
            raise ZeroDivisionError

    world = World()
    rollout = begun(world, tmp_path, bad=False)
    rollout.watcher = Clumsy()

    with pytest.raises(ZeroDivisionError):
        rollout.run()
    assert world.setting.limit == 0


def test_a_clock_that_is_set_back_an_hour_does_not_stop_the_rollout_from_looking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_time, looks = time.time, count()

    class Setter(Nobody):
        def looked(self, state: State, judgement: Judgement, note: str) -> None:  # noqa: ARG002 - as it is asked for.
            if next(looks) == 1:
                monkeypatch.setattr(time, "time", lambda: real_time() - 3600)

    rollout = begun(World(), tmp_path, bad=False)
    rollout.watcher = Setter()

    assert rollout.run().state.phase is Phase.DONE


def test_a_state_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"version": 1, "phase": "dancing"}', encoding="utf-8")
    with pytest.raises(UsageError, match="no rollout of this version"):
        StateFile(tmp_path / "state.json").load()


def test_somebody_elses_setting_is_not_taken_over(tmp_path: Path) -> None:
    world = World(kill_at=4)  # In the middle of the first step.
    with pytest.raises(KilledError):
        begun(world, tmp_path, bad=False).run()
    kept = StateFile(tmp_path / "state.json").load()
    assert kept is not None
    assert kept.phase is Phase.BAKE
    world.setting = replace(world.setting, limit=17)
    world.kill_at = None

    outcome = begun(world, tmp_path, bad=False).run()

    assert outcome.state.phase is Phase.ROLLED_BACK
    assert "changed while nobody watched" in outcome.state.reason
