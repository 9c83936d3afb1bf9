"""What is done when the calls of a load are over: the rest of the work, settling accounts, a look at what stays open."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from interlock.core.errors import UsageError
from interlock.prove.load.accounts import certain, settled
from interlock.prove.load.calls import Call
from interlock.prove.load.crew import Duties, Made, Overdue, crew
from interlock.prove.load.leaks import Calm
from interlock.prove.load.shapes import LATE
from interlock.prove.load.wiring import Wiring
from interlock.prove.world import REDIS_HOST

if TYPE_CHECKING:
    from interlock.prove.contract import Contract
    from interlock.prove.load.loaded import LoadedWorld
    from interlock.prove.load.scene import Scene

_REST_S = 1.0
_REST_EVERY_S = 0.05
_STEPS_UNTIL_DUE = 300
# Calls in each process and round, and the share of what is left of the budget, at most.
_CALM_CALLS, _CALM_SHARE = 100, 0.1
_WORKS = 20
_ROUNDS, _ROUND_S = 3, 100.0  # So much later is shown in each, so that Redis tells them apart.
_EMPTY_TIMES = 3
_START_S = 0.2  # Until every thread has its call, on a machine that is busy.


class Aftermath:
    """What is done when the calls of a load are over.

    Args:
        scene: With what.
        contract: What was put under load.
        world: What it was shown.
    """

    def __init__(self, scene: Scene, contract: Contract, world: LoadedWorld) -> None:
        self.scene = scene
        self.seen = scene.seen
        self.contract = contract
        self.world = world

    def go(self) -> None:
        """All of it, or as much as there is time for."""
        scene, seen = self.scene, self.seen
        steps = (
            ("clearing up", self._clear_up),
            ("coming to rest", self._come_to_rest),
            ("settling accounts", self._settle),
            ("asking the invariants", self._look),
        )
        try:
            for scene.stage, step in steps:
                if not seen.unfinished:
                    step()
        except Overdue:
            seen.unfinished = f"the budget is used up: it was still {scene.stage}"
        if not seen.unfinished:
            with suppress(Overdue):  # The load itself is over.
                self._call_calmly(_CALM_SHARE * (scene.ends_at_s - time.monotonic()))
                self._begin_nothing()
        if seen.settled is None and scene.asked.till is not None:
            seen.settled = certain(scene.asked.till)

    def _clear_up(self) -> None:
        """Lets the time run on, and the workers work, until nothing is left to be done."""
        scene = self.scene
        poll_every_s, due_after_s = scene.shape.poll_every_s, scene.asked.due_after_s
        now_s = self.seen.covered_s if not scene.shape.is_real else scene.timeline.shared_s
        step_s = max(poll_every_s, due_after_s / _STEPS_UNTIL_DUE)
        steps = round(due_after_s / step_s) + 2 if due_after_s else 0
        for wait_s, is_whole in ((0.0, True), *((step_s, False),) * steps, *((one, True) for one in scene.asked.waits_s)):
            now_s = max(now_s, scene.timeline.shared_s if scene.shape.is_real else 0.0) + wait_s
            self._work(now_s, is_whole=is_whole)

    def _work(self, now_s: float, *, is_whole: bool) -> None:
        """Has the workers work at a time; until they find nothing more, if it is to be whole. Then whoever clears up."""
        scene, before = self.scene, -1
        while before != (after := self._activity()):
            scene.show(now_s)
            scene.begin_work()
            while any(member.is_busy for member in scene.workers):
                scene.listen(None, scene.ends_at_s)
            now_s, before = max(now_s, scene.timeline.shared_s), after
            if not is_whole:
                break
        if is_whole and "recover" in scene.asked.duties.asked:
            _, failed = scene.members[-1].ask(scene.ends_at_s, "asked", "recover")
            self.seen.work_errors |= {failed: self.seen.work_errors.get(failed, 0) + 1} if failed else {}

    def _activity(self) -> int:
        """How much the outside has seen of the work."""
        till = self.scene.asked.till
        return len(till.provider.asked) if till is not None else 0

    def _come_to_rest(self) -> None:
        """Looks at what stays open when nobody does anything any more."""
        scene = self.scene
        self.seen.rested = [member.ask(scene.ends_at_s, "rest") for member in scene.members]
        before, until_s = (-1, -1), time.monotonic() + _REST_S
        while before != (now := (scene.redis.clients(), scene.services.open)) and time.monotonic() < until_s:
            before = now
            time.sleep(_REST_EVERY_S)
        scene.sample(always=True)

    def _settle(self) -> None:
        """Finds out what became of the payments."""
        scene, till = self.scene, self.scene.asked.till
        if till is None:
            return
        aside: list[frozenset[str]] = []
        for name in ("dead_letters", "to_reconcile"):
            keys, failed = scene.workers[0].ask(scene.ends_at_s, "asked", name)
            if isinstance(keys, str):
                raise UsageError(f"{self.contract.where}: {self.contract.name}: {keys}")
            if failed:
                self.seen.unfinished = f"{name} fails: {failed}"
                return
            aside.append(keys)
        dead, unsure = aside
        self.seen.is_settled = True
        self.seen.settled = settled(self.seen.accounts, till, dead, unsure, scene.redis.is_name)

    def _look(self) -> None:
        """What the contract looks at in the end, and whether its invariants hold: in a process that can be ended."""
        scene, world = self.scene, self.world
        if not (world.looks or world.invariants or world.must_happen):
            return
        ports = {REDIS_HOST: scene.redis.port, **dict.fromkeys(world.answers, scene.services.port)}
        wiring = Wiring(ports, scene.redis.port, scene.timeline)
        with crew(Duties(_nothing, asked={"end": self._ended}), scene.timeline, [wiring], threads=0) as [observer]:
            found, failed = observer.ask(scene.ends_at_s, "asked", "end")
        if isinstance(found, str):
            raise UsageError(found)
        if failed:
            self.seen.unfinished = f"world.look fails: {failed}"
            return
        self.seen.broken, self.seen.never = found

    def _ended(self) -> object:
        """Which invariants do not hold, and what has never happened; or what is wrong with the contract, in words."""
        for look in self.world.looks:
            look()
        try:
            broken = [one for invariant in self.world.invariants if (one := self.contract.asked(invariant))]
            return broken, [one.never for one in self.world.must_happen if not one.seen()]
        except UsageError as error:
            return str(error)

    def _call_calmly(self, within_s: float) -> None:
        """Makes further calls, one after the other: whatever stays open now with each of them is not given back."""
        scene, before = self.scene, self.seen.open.last
        if scene.shape.faults:  # What was broken is opened again.
            return
        each = max(_CALM_CALLS, before.redis // 2 + 1)  # Even a pool that takes turns has come round after two rounds.
        ends_at_s, made = time.monotonic() + within_s, list[Made]()
        for number in range(_ROUNDS):
            scene.show(scene.timeline.shared_s + _ROUND_S)
            made += self._called_calmly(each, number, ends_at_s)
        is_whole = len(made) == _ROUNDS * each * len(scene.callers)
        idle_s = scene.redis.idle_s()
        self.seen.accounts.hear_of(made)
        works = self._work_calmly(ends_at_s)
        self._come_to_rest_again()
        forgotten = sum((_ROUNDS - 1.5) * _ROUND_S < one < (_ROUNDS - 0.5) * _ROUND_S for one in idle_s) if is_whole else 0
        self.seen.calm = Calm(len(made), works, before, self.seen.open.samples.pop(), forgotten)

    def _called_calmly(self, each: int, number: int, ends_at_s: float) -> list[Made]:
        """One round of it."""
        scene = self.scene
        now_s, first = scene.timeline.shared_s, scene.shape.calls + number * each * len(scene.callers)
        for member in scene.callers:
            numbers = range(first, first + each)
            batch = [Call(number, number, number % scene.shape.users, now_s) for number in numbers]
            member.tell("calmly", batch, max(0.0, ends_at_s - time.monotonic()))
            first += each
        return [one for member in scene.callers for one in member.answer(scene.ends_at_s)]

    def _work_calmly(self, ends_at_s: float) -> int:
        """The work on them, again and again, though soon nothing is left of it; answers how often."""
        scene, works = self.scene, 0
        while scene.workers and works < _WORKS and time.monotonic() < ends_at_s:
            scene.show(scene.timeline.shared_s + scene.shape.poll_every_s)
            scene.begin_work()
            scene.until_idle(scene.ends_at_s)
            works += 1
        return works

    def _come_to_rest_again(self) -> None:
        """As before; but what the processes say of themselves is not about calls that nobody asked for."""
        rested = self.seen.rested
        self._come_to_rest()
        self.seen.rested = rested

    def _begin_nothing(self) -> None:
        """Where calls were begun late: can this machine begin as many that do nothing?"""
        scene, accounts = self.scene, self.seen.accounts
        over_s = scene.shape.over_s
        if not scene.shape.is_real or not over_s or accounts.begun_within_s <= LATE * over_s:
            return
        spans_s: list[float] = []
        for _ in range(_EMPTY_TIMES):
            if time.monotonic() + over_s > scene.ends_at_s:
                break
            spans_s.append(self._begun_nothing())
        self.seen.empty_ms = min(spans_s, default=None)

    def _begun_nothing(self) -> float:
        """Within how many milliseconds as many calls are begun that do nothing."""
        scene = self.scene
        calls = [Call(number, number, 0, scene.shape.due_s(number)) for number in range(scene.shape.calls)]
        start_s = time.monotonic() + _START_S
        told = [(member, calls[place :: len(scene.callers)]) for place, member in enumerate(scene.callers)]
        for member, share in told:
            member.tell("empty", share, start_s)
        begun_s: list[float] = [at_s for member, _ in told for at_s in member.answer(scene.ends_at_s)]
        return (max(begun_s) - min(begun_s)) * 1000


def _nothing(_: Call) -> None:
    """Whoever looks makes no calls."""
