"""Runs a contract's schedules, keeps the first that breaks it, and says what was tried."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.core.counting import counted
from interlock.core.errors import UsageError
from interlock.core.verdict import Verdict
from interlock.prove.clock import virtual_time
from interlock.prove.effect import Uncontrolled
from interlock.prove.faults import every_fault
from interlock.prove.randomness import Chance, controlled_randomness
from interlock.prove.scheduler import Run, Stuck
from interlock.prove.search import Redundant, Search
from interlock.prove.wire.redis_server import running_redis
from interlock.prove.wire.sockets import controlled_sockets
from interlock.prove.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from interlock.prove.contract import Contract
    from interlock.prove.effect import Effect
    from interlock.prove.scheduler import Fault, Step, Worker
    from interlock.prove.wire.redis_server import RedisServer
    from interlock.prove.wire.sockets import Wire

BUDGET_S = 10.0
EFFECTS_MAX = 400


@dataclass(frozen=True, slots=True)
class Violation:
    """A schedule that breaks a contract.

    Attributes:
        broken: How.
        mood: The provider's mood.
        steps: What happened, in order.
        recovery_at: How many of the steps came before the worker that clears up.
    """

    broken: tuple[str, ...]
    mood: str
    steps: tuple[Step, ...]
    recovery_at: int


@dataclass(slots=True)
class Proof:
    """What a contract's schedules have shown.

    Attributes:
        contract: Its name.
        verdict: pass if every schedule within the bounds was run and none broke it.
        schedules: How many were run.
        bounds: What was tried completely, for people.
        seconds: How long it took.
        violation: The first schedule that broke it.
        reason: Why the answer is unknown.
    """

    contract: str
    verdict: Verdict = Verdict.UNKNOWN
    schedules: int = 0
    bounds: list[str] = field(default_factory=list[str])
    seconds: float = 0.0
    violation: Violation | None = None
    reason: str = ""


class _OutOfBudget(Exception):  # noqa: N818 - how it ends, not a mistake.
    pass


@dataclass(slots=True)
class _Stage:
    """The network of whichever schedule is running."""

    world: World | None = None
    schedule: Run | None = None

    def run(self) -> Run | None:
        return self.schedule

    def chance(self) -> Chance | None:
        return self.schedule.chance() if self.schedule is not None else None

    def wire(self, address: object) -> Wire:
        assert self.world is not None  # noqa: S101 - a schedule is running.
        return self.world.wire(address)

    def numbered(self, host: str) -> str | None:
        return self.world.numbered(host) if self.world is not None else None


def prove(contract: Contract, *, budget_s: float = BUDGET_S) -> Proof:
    """Runs the schedules of a contract until one breaks it, all within the bounds are done, or the time is over.

    Raises:
        WorldError: If there is no Redis to run them on.
        UsageError: If the contract cannot be set up, or holds nothing that could break.
    """
    proof, began = Proof(contract.name), time.monotonic()
    stage = _Stage()
    with running_redis() as redis, controlled_sockets(stage), virtual_time(stage.run), controlled_randomness(stage.chance):
        explorer = _Explorer(contract, redis, stage, proof, began + budget_s)
        try:
            explorer.explore()
        except _OutOfBudget:
            proof.reason = f"the budget of {budget_s:g} s is used up"
        except (Uncontrolled, Stuck) as error:
            proof.reason = str(error)
        else:
            proof.verdict = Verdict.PASS if proof.violation is None else Verdict.FAIL
    proof.seconds = time.monotonic() - began
    return proof


@dataclass(slots=True)
class _Explorer:
    contract: Contract
    redis: RedisServer
    stage: _Stage
    proof: Proof
    ends_at: float
    seen: dict[tuple[int, int], dict[Effect, None]] = field(default_factory=dict[tuple[int, int], "dict[Effect, None]"])

    def explore(self) -> None:
        moods = self._moods()
        for preemptions in (0, 1, None):  # The fewer switches a story has, the sooner it is found.
            for mood in moods:
                if self._all(mood, {}, preemptions):
                    return
        self.proof.bounds.append(f"all interleavings of {counted(self.contract.workers, 'worker')}")
        for preemptions in (0, 1) if self.contract.faults else ():
            for mood in moods:
                for plan in self._single_faults():
                    if self._all(mood, plan, preemptions):
                        return
            self.proof.bounds.append(f"every single fault with {preemptions} preemption{'' if preemptions == 1 else 's'}")

    def _moods(self) -> tuple[str, ...]:
        return self._arranged(Run(lambda ready: ready[0]), "ok").moods

    def _single_faults(self) -> Iterator[Mapping[tuple[int, int], Fault]]:
        for place, effects in sorted(self.seen.items()):
            faults = (fault for effect in effects for fault in every_fault(effect) if self.contract.strikes(fault, effect))
            for fault in dict.fromkeys(faults):
                yield {place: fault}

    def _all(self, mood: str, plan: Mapping[tuple[int, int], Fault], preemptions: int | None) -> bool:
        """Runs every schedule with these faults; tells whether one broke the contract."""
        search = Search(preemptions)
        while True:
            if time.monotonic() > self.ends_at:
                raise _OutOfBudget
            self.proof.schedules += 1
            with suppress(Redundant):
                self.proof.violation = self._one(mood, plan, search.choose)
            if self.proof.violation is not None:
                return True
            if not search.advance():
                return False

    def _one(
        self, mood: str, plan: Mapping[tuple[int, int], Fault], choose: Callable[[list[Worker]], Worker]
    ) -> Violation | None:
        """Runs one schedule."""
        self.redis.clear()
        run = Run(lambda ready: ready[0], time_passes=self.redis.pass_time)
        world = self._arranged(run, mood)
        with self._on_stage(world, run):
            run.go(world.setup)
            self._check_setup(run)
            first = len(run.workers)
            run.choose, run.plan = choose, {(worker + first, place): fault for (worker, place), fault in plan.items()}
            run.go(self._tasks(world), ahead_s=world.ahead_s)
            for (worker, place), effect in run.places.items():
                if worker >= first:
                    self.seen.setdefault((worker - first, place), {})[effect] = None
            before_recovery = len(run.steps)
            failed = self._recover(run, world)
        if run.lost:
            raise Uncontrolled(run.lost)
        broken = tuple(found for invariant in world.invariants if (found := invariant.broken()))
        if failed and not broken:  # Nothing was done to this worker.
            raise Uncontrolled(f"the task fails by itself: {failed}")
        return Violation(broken, mood, tuple(run.steps), before_recovery) if broken else None

    def _tasks(self, world: World) -> list[Callable[[], object]]:
        """A task for each worker."""
        workers = max(self.contract.workers, len(world.tasks))
        return [world.tasks[worker % len(world.tasks)] for worker in range(workers)]

    def _recover(self, run: Run, world: World) -> str:
        """One more worker, that nothing happens to, does what is left: only what stays wrong then is wrong.

        Answers with the error in which it ended last, if it did.
        """
        run.choose, run.plan = (lambda ready: ready[0]), {}
        task, failed = world.recovery.task or world.tasks[0], ""
        for _ in range(world.recovery.times):
            run.now_s += world.recovery.every_s
            run.time_passes(world.recovery.every_s)
            failed = self._alone(run, task)
        for look in world.looks:
            if blind := self._alone(run, look):
                raise Uncontrolled(f"nobody can look at what has become of it: {blind}")
        return failed

    def _alone(self, run: Run, task: Callable[[], object]) -> str:
        run.limit = len(run.steps) + EFFECTS_MAX
        run.go([task])
        error = run.workers[-1].error
        if error is None:
            return ""
        self.contract.check_own(error)
        return f"{type(error).__name__}: {error}"

    def _arranged(self, run: Run, mood: str) -> World:
        world = World(run, self.redis, mood)
        self.contract.set_up(world)
        return world

    def _check_setup(self, run: Run) -> None:
        for worker in run.workers:
            if (error := worker.error) is not None:
                self.contract.check_own(error)
                raise UsageError(f"world.given fails: {type(error).__name__}: {error}") from error

    @contextmanager
    def _on_stage(self, world: World, run: Run) -> Generator[None]:
        self.stage.world, self.stage.schedule = world, run
        try:
            yield
        finally:
            self.stage.world, self.stage.schedule = None, None
            world.close()
