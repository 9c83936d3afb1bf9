"""Makes the calls of a load, and has the work done meanwhile."""

from __future__ import annotations

import resource
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from interlock.core.errors import UsageError
from interlock.prove.load.aftermath import Aftermath
from interlock.prove.load.asks import asks
from interlock.prove.load.calls import Call, Calls
from interlock.prove.load.crew import Member, Overdue, crew
from interlock.prove.load.loaded import LoadedWorld
from interlock.prove.load.scene import Scene
from interlock.prove.load.servers import Services, running_redis
from interlock.prove.load.shapes import STEADY_SHARE
from interlock.prove.load.timeline import Timeline
from interlock.prove.load.wiring import Wiring
from interlock.prove.world import REDIS_HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from interlock.prove.contract import Contract
    from interlock.prove.load.asks import Asks
    from interlock.prove.load.scene import LoadProgress, Seen
    from interlock.prove.load.servers import LoadedRedis
    from interlock.prove.load.shapes import Shape

_SLICE_S = 0.02  # Of the time that a steady load shows: some calls are on their way at one time in it.
_START_S = 0.2  # Until every thread has its call, on a machine that is busy.
_BURST_SHARE = 0.7  # Of the budget: a burst leaves all of the work.
_BEGINS_WITHIN_S = 5.0  # Even if the budget is less: however slow a machine is, something is to be made.
# A call and the work beside it come back within this, in real time: sleeps take none, and what clients wait for is shorter.
SLICE_WITHIN_S = 120.0
_REST_S = 1.0  # That takes as long as this at least, if half of the budget is not less.
# So often in the course of a load the Redis is killed, if it is.
_RESTARTS = 2


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
    _open_as_many_files_as_allowed()
    timeline = Timeline()
    with running_redis() as redis:
        world = LoadedWorld(timeline, redis)
        asked = asks(contract, world)
        with closing(Services(world.answers)) as services, _members(asked, shape, timeline, world, redis, services) as members:
            services.start()
            scene = Scene(shape, asked, timeline, redis, services, members, ends_at_s, told)
            _Drive(scene).go()
            Aftermath(scene, contract, world).go()
            scene.seen.failed = services.failed
            return asked, scene.seen


def _open_as_many_files_as_allowed() -> None:
    """Services are run so. The usual limit is a shell's, and a module that needs more would seem to leak."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


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


class _Drive:
    """Makes the calls of a load.

    Args:
        scene: With what.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.shape = scene.shape
        self.seen = scene.seen

    def go(self) -> None:
        """All of them, or as many as there is time for."""
        scene, awaited = self.scene, "world.given did not come back"
        try:
            self._prepare()
            awaited = "the calls had not all come back"
            self._call()
        except Overdue:
            self.seen.unfinished = self.seen.unfinished or f"the budget is used up: {awaited}"
        scene.timeline.are_calls_made = False

    def _prepare(self) -> None:
        scene = self.scene
        for member in scene.callers:
            member.tell("ready")
        ends_at_s = max(scene.ends_at_s, time.monotonic() + _BEGINS_WITHIN_S)
        for member in scene.callers:
            member.answer(ends_at_s)
        _, failed = scene.callers[0].ask(ends_at_s, "asked", "given")
        if failed:
            raise UsageError(f"world.given fails: {failed}")
        scene.show(0.0)
        scene.sample(always=True)

    def _call(self) -> None:
        shape, began_s = self.shape, time.monotonic()
        calls = Calls(shape, shape.repeats if shape.repeats is not None else self.scene.asked.repeats).drawn()
        left_s = self.scene.ends_at_s - began_s
        share = _BURST_SHARE if shape.is_real else STEADY_SHARE
        ends_s = began_s + max(min(share * left_s, left_s - _REST_S), left_s / 2)
        self.scene.timeline.are_calls_made = True
        try:
            (self._burst if shape.is_real else self._steady)(calls, ends_s)
        finally:
            self.seen.made_in_s = time.monotonic() - began_s

    def _burst(self, drawn: Iterator[Call], ends_s: float) -> None:
        """All calls in real time, each when it is due, and the work beside them."""
        scene, calls = self.scene, list(drawn)
        start_s = time.monotonic() + _START_S
        scene.timeline.jump(-_START_S)
        for number, member in enumerate(scene.callers):
            if share := calls[number :: len(scene.callers)]:
                member.tell("calls", share, start_s)
        next_work_s, restarts_s = start_s, self._restart_times(start_s, max(self.shape.over_s, 1.0))
        while any(member.is_busy for member in scene.callers):
            now_s = time.monotonic()
            if now_s >= next_work_s:
                next_work_s = now_s + self.shape.poll_every_s
                scene.begin_work()
            if restarts_s and now_s >= restarts_s[0]:
                restarts_s.pop(0)
                self._restart()
            scene.listen(start_s, ends_s)
        self.seen.covered_s = self.shape.over_s

    def _steady(self, drawn: Iterator[Call], ends_s: float) -> None:
        """Slice after slice of the time that is shown; each is over when all of its calls have come back."""
        scene = self.scene
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
            scene.show(number * slice_s)
            for place, member in enumerate(scene.callers):
                if share := batch[place :: len(scene.callers)]:
                    member.tell("calls", share, None)
            if number * slice_s >= next_work_s:
                next_work_s += self.shape.poll_every_s
                scene.begin_work()
            if restarts_s and number * slice_s >= restarts_s[0]:
                restarts_s.pop(0)
                self._restart()
            least_s = 0.0 if number else time.monotonic() + _BEGINS_WITHIN_S
            self._await_all(max((ends_s + scene.ends_at_s) / 2, least_s), number * slice_s)
            number += 1
            self.seen.covered_s = min(until_s, self.shape.over_s)
        self.seen.covered_s = self.shape.over_s

    def _await_all(self, until_s: float, shown_s: float) -> None:
        """Waits for the calls of a slice, and for the work beside them; not for ever, however large the budget is."""
        scene, given_up_at_s = self.scene, time.monotonic() + SLICE_WITHIN_S
        try:
            scene.until_idle(min(until_s, given_up_at_s))
        except Overdue:
            who = "the calls" if any(member.is_busy for member in scene.callers) else "the work beside the calls"
            self.seen.is_given_up = given_up_at_s < until_s
            if self.seen.is_given_up:
                waited = f"within {SLICE_WITHIN_S:g} s: something waits for what does not come, or is too slow for a load"
                self.seen.unfinished = f"{who} of {shown_s:,.2f} s did not come back {waited}"
            else:
                self.seen.unfinished = f"the budget is used up: {who} had not all come back"
            raise

    def _restart_times(self, start_s: float, over_s: float) -> list[float]:
        if "restart" not in self.shape.faults:
            return []
        return [start_s + over_s * (number + 1) / (_RESTARTS + 1) for number in range(_RESTARTS)]

    def _restart(self) -> None:
        self.scene.redis.restart()
        self.seen.restarts += 1
