"""Makes the calls of a load, has the work done meanwhile and afterwards, and takes down what is seen."""

from __future__ import annotations

import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, cast

from interlock.core.errors import UsageError
from interlock.prove.load.accounts import Accounts, settled
from interlock.prove.load.asks import asks
from interlock.prove.load.calls import Call, Calls
from interlock.prove.load.crew import Member, crew
from interlock.prove.load.leaks import Open, Sample
from interlock.prove.load.loaded import LoadedWorld
from interlock.prove.load.servers import Services, running_redis
from interlock.prove.load.timeline import Timeline
from interlock.prove.load.wiring import Wiring
from interlock.prove.world import REDIS_HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from interlock.prove.contract import Contract
    from interlock.prove.load.accounts import Settled
    from interlock.prove.load.asks import Asks
    from interlock.prove.load.crew import Made, Rested
    from interlock.prove.load.servers import LoadedRedis
    from interlock.prove.load.shapes import Shape

_TICK_S = 0.002
_SAMPLE_EVERY_S = 0.1
_TOLD_EVERY_S = 0.2
_SLICE_S = 0.02  # Of the time that a steady load shows: some calls are on their way at one time in it.
_START_S = 0.05
_REST_S = 1.0
_STEPS_UNTIL_DUE = 300
_LOAD_SHARE = 0.7  # Of the budget; the rest is for what is still to be done then.
# So often in the course of a load the Redis is killed, if it is.
_RESTARTS = 2


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """How far a load is.

    Attributes:
        stage: What is being done.
        calls: How many calls are over.
        planned: How many there are.
        left_s: How long it may still take.
    """

    stage: str
    calls: int
    planned: int
    left_s: float


@dataclass(slots=True)
class Seen:
    """What was seen of a load.

    Attributes:
        accounts: Of its calls.
        open: What was open meanwhile.
        covered_s: How much of its time was covered.
        at_once: Of a steady load: how many calls were on their way at one time at most.
        began_s: When it began, in monotonic time.
        work_errors: What workers ended in, and how often.
        unfinished: What was left when the time was over; nothing, if nothing was.
        settled: What became of the payments, if calls are payments and all could be done.
        rested: What the processes say of themselves in the end.
        restarts: How often the Redis was killed.
        failed: What went wrong in an answer of the contract's own.
        broken: Which invariants do not hold.
    """

    accounts: Accounts = field(default_factory=Accounts)
    open: Open = field(default_factory=Open)
    covered_s: float = 0.0
    at_once: int = 0
    began_s: float = 0.0
    work_errors: dict[str, int] = field(default_factory=dict[str, int])
    unfinished: str = ""
    settled: Settled | None = None
    rested: list[Rested] = field(default_factory=list["Rested"])
    restarts: int = 0
    failed: BaseException | None = None
    broken: list[str] = field(default_factory=list[str])


def driven(contract: Contract, shape: Shape, ends_at_s: float, told: Callable[[LoadProgress], None]) -> tuple[Asks, Seen]:
    """Puts a contract under a load.

    Args:
        contract: Which.
        shape: How much, and how it arrives.
        ends_at_s: When it must be over, in monotonic time.
        told: Is called now and then with how far it is.

    Raises:
        WorldError: If there is no server for it.
        Ended: If a process of it has ended by itself.
        UsageError: If the contract cannot be put under load.
    """
    timeline = Timeline()
    with running_redis() as redis:
        world = LoadedWorld(timeline, redis)
        asked = asks(contract, world)
        with closing(Services(world.answers)) as services, _members(asked, shape, timeline, world, redis, services) as members:
            services.start()
            drive = _Drive(shape, asked, timeline, redis, services, members, ends_at_s, told)
            drive.go()
            drive.seen.failed = services.failed
            drive.settle()
            drive.seen.broken = [broken for one in world.invariants if (broken := contract.asked(one))]
            return asked, drive.seen


@contextmanager
def _members(  # noqa: PLR0913, PLR0917 - all that a load is made of.
    asked: Asks, shape: Shape, timeline: Timeline, world: LoadedWorld, redis: LoadedRedis, services: Services
) -> Generator[list[Member]]:
    """The processes: first those that make calls, then those that work."""
    ports = {REDIS_HOST: redis.port, **dict.fromkeys(world.answers, services.port)}
    faults = tuple(fault for fault in shape.faults if fault != "restart")
    workers = shape.workers if asked.duties.work else 0
    wirings = [
        Wiring(ports, redis.port, timeline, faults, shape.seed * 1000 + number) for number in range(shape.processes + workers)
    ]
    with crew(asked.duties, timeline, wirings, shape.threads) as members:
        yield members


@dataclass(slots=True)
class _Drive:
    shape: Shape
    asked: Asks
    timeline: Timeline
    redis: LoadedRedis
    services: Services
    members: list[Member]
    ends_at_s: float
    told: Callable[[LoadProgress], None]
    seen: Seen = field(default_factory=Seen)
    _sampled_at_s: float = 0.0
    _told_at_s: float = 0.0
    _stage: str = ""

    @property
    def callers(self) -> list[Member]:
        """The processes that make calls."""
        return self.members[: self.shape.processes]

    @property
    def workers(self) -> list[Member]:
        """The processes that work."""
        return self.members[self.shape.processes :]

    def go(self) -> None:
        """The whole of it: before, meanwhile, and afterwards."""
        self._prepare()
        calls = Calls(self.shape, self.shape.repeats if self.shape.repeats is not None else self.asked.repeats).drawn()
        self.seen.began_s = time.monotonic()
        self.timeline.are_calls_made = True
        load_ends_s = self.seen.began_s + _LOAD_SHARE * (self.ends_at_s - self.seen.began_s)
        (self._burst if self.shape.is_real else self._steady)(calls, load_ends_s)
        self.timeline.are_calls_made = False
        self._clear_up()
        self._come_to_rest()

    def _prepare(self) -> None:
        for member in self.callers:
            member.tell("ready")
        for member in self.callers:
            member.answer()
        _, failed = self.callers[0].ask("asked", "given")
        if failed:
            raise UsageError(f"world.given fails: {failed}")
        self.timeline.jump(0.0)
        self.redis.show(0.0)
        self._sample(always=True)

    # While calls are made.

    def _burst(self, drawn: Iterator[Call], ends_s: float) -> None:
        """All calls in real time, each when it is due, and the work beside them."""
        calls = list(drawn)
        start_s = self.seen.began_s = time.monotonic() + _START_S
        self.timeline.jump(-_START_S)
        for number, member in enumerate(self.callers):
            if share := calls[number :: len(self.callers)]:
                member.tell("calls", share, start_s)
        next_work_s, restarts_s = start_s, self._restart_times(start_s, max(self.shape.over_s, 1.0))
        while any(member.is_busy for member in self.callers):
            now_s = time.monotonic()
            if now_s > ends_s:
                self.seen.unfinished = "the budget is used up: the calls had not all come back"
                return
            if now_s >= next_work_s:
                next_work_s = now_s + self.shape.poll_every_s
                self._begin_work()
            if restarts_s and now_s >= restarts_s[0]:
                restarts_s.pop(0)
                self._restart()
            self._listen(start_s)
        self.seen.covered_s = self.shape.over_s

    def _steady(self, drawn: Iterator[Call], ends_s: float) -> None:
        """Slice after slice of the time that is shown; each is over when all of its calls have come back."""
        slice_s = min(max(_SLICE_S, self.shape.over_s / self.shape.calls), self.shape.poll_every_s)
        upcoming = next(drawn, None)
        number, next_work_s, restarts_s = 0, 0.0, self._restart_times(0.0, self.shape.over_s)
        while upcoming is not None:
            if number and time.monotonic() > ends_s:  # However long it took to begin, something is made.
                return
            until_s, batch = (number + 1) * slice_s, list[Call]()
            while upcoming is not None and upcoming.due_s < until_s:
                batch.append(upcoming)
                upcoming = next(drawn, None)
            self.seen.at_once = max(self.seen.at_once, min(len(batch), self.shape.threads * self.shape.processes))
            self._show(number * slice_s)
            for place, member in enumerate(self.callers):
                if share := batch[place :: len(self.callers)]:
                    member.tell("calls", share, None)
            if number * slice_s >= next_work_s:
                next_work_s += self.shape.poll_every_s
                self._begin_work()
            if restarts_s and number * slice_s >= restarts_s[0]:
                restarts_s.pop(0)
                self._restart()
            self._until_idle()
            number += 1
            self.seen.covered_s = min(until_s, self.shape.over_s)
        self.seen.covered_s = self.shape.over_s

    def _restart_times(self, start_s: float, over_s: float) -> list[float]:
        if "restart" not in self.shape.faults:
            return []
        return [start_s + over_s * (number + 1) / (_RESTARTS + 1) for number in range(_RESTARTS)]

    def _restart(self) -> None:
        self.redis.restart()
        self.seen.restarts += 1

    # Afterwards.

    def _clear_up(self) -> None:
        """Lets the time run on, and the workers work, until nothing is left to be done."""
        if self.seen.unfinished:
            return
        self._stage = "clearing up"
        if self.workers:
            now_s = self.seen.covered_s if not self.shape.is_real else self.timeline.shared_s
            step_s = max(self.shape.poll_every_s, self.asked.due_after_s / _STEPS_UNTIL_DUE)
            steps = round(self.asked.due_after_s / step_s) + 2 if self.asked.due_after_s else 0
            for wait_s, is_whole in ((0.0, True), *((step_s, False),) * steps, *((one, True) for one in self.asked.waits_s)):
                now_s = max(now_s, self.timeline.shared_s if self.shape.is_real else 0.0) + wait_s
                if not self._worked(now_s, is_whole=is_whole):
                    self.seen.unfinished = "the budget is used up: the workers were still at work"
                    return

    def settle(self) -> None:
        """Finds out what became of the payments."""
        if self.seen.unfinished or self.asked.till is None:
            return
        aside: set[str] = set()
        for name in ("dead_letters", "to_reconcile"):
            keys, failed = self.workers[0].ask("asked", name)
            if failed:
                self.seen.unfinished = f"{name} fails: {failed}"
                return
            aside |= keys
        self.seen.settled = settled(
            self.seen.accounts, self.asked.till, frozenset(aside), self.asked.due_after_s, self.redis.is_name
        )

    def _worked(self, now_s: float, *, is_whole: bool) -> bool:
        """Has the workers work at a time; until they find nothing more, if it is to be whole. Tells whether there was time."""
        before = -1
        while before != (after := self._activity()):
            if time.monotonic() > self.ends_at_s:
                return False
            self._show(now_s)
            self._begin_work()
            while any(member.is_busy for member in self.workers):
                if time.monotonic() > self.ends_at_s:
                    return False
                self._listen(None)
            now_s, before = max(now_s, self.timeline.shared_s), after
            if not is_whole:
                break
        return True

    def _activity(self) -> int:
        """How much the outside has seen of the work."""
        return len(self.asked.till.provider.asked) if self.asked.till is not None else 0

    def _come_to_rest(self) -> None:
        """Looks at what stays open when nobody does anything any more."""
        if self.seen.unfinished and any(member.is_busy for member in self.members):
            return
        self.seen.rested = [member.ask("rest") for member in self.members]
        before, until_s = (-1, -1), time.monotonic() + _REST_S
        while before != (now := (self.redis.clients(), self.services.open)) and time.monotonic() < until_s:
            before = now
            time.sleep(_SAMPLE_EVERY_S)
        self._sample(always=True)

    # One thing after the other.

    def _show(self, now_s: float) -> None:
        self.timeline.jump(now_s)
        self.redis.show(now_s)

    def _begin_work(self) -> None:
        for member in self.workers:
            if not member.is_busy:
                member.tell("work", self.shape.is_real)

    def _until_idle(self) -> None:
        while any(member.is_busy for member in self.members):
            self._listen(None)

    def _listen(self, start_s: float | None) -> None:
        """Takes what is answered within a moment; meanwhile time goes on for the server."""
        pipes = {member.pipe: member for member in self.members if member.is_busy}
        for pipe in wait(list(pipes), _TICK_S):
            member = pipes[pipe]  # type: ignore[index]  # pyright: ignore[reportArgumentType] - of pipes, pipes come back.
            answer: Any = member.answer()
            if isinstance(answer, list):
                self.seen.accounts.take(cast("list[Made]", answer), start_s)
            elif answer:
                self.seen.work_errors[answer] = self.seen.work_errors.get(answer, 0) + 1
        if self.shape.is_real or self._stage:
            self.redis.show(self.timeline.shared_s)
        self._sample()
        self._tell()

    def _sample(self, *, always: bool = False) -> None:
        now_s = time.monotonic()
        if always or now_s - self._sampled_at_s >= _SAMPLE_EVERY_S:
            self._sampled_at_s = now_s
            files = sum(member.files() for member in self.members)
            self.seen.open.samples.append(Sample(self.seen.accounts.calls, self.redis.clients(), self.services.open, files))

    def _tell(self) -> None:
        now_s = time.monotonic()
        if now_s - self._told_at_s >= _TOLD_EVERY_S:
            self._told_at_s = now_s
            left_s = max(0.0, self.ends_at_s - now_s)
            self.told(LoadProgress(self._stage or self.shape.name, self.seen.accounts.calls, self.shape.calls, left_s))
