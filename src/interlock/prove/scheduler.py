"""Runs workers one effect at a time, in an order that somebody else chooses.

Each worker is a greenlet in one thread, so that the code between two effects runs undisturbed, and a switch costs less than a
microsecond. A worker that comes to an effect parks before it. When every worker is parked, waiting or done, one is chosen, and
its effect is carried out. So the order of effects is all that differs between two runs.

A crash is what SIGKILL is: the worker is never run again. What its `finally` blocks would do when the interpreter clears the
greenlet away is muted, since no process would have done it.

A worker that does several things at once, as an event loop does, has a lane for each of them: a greenlet of its own with
effects of its own. What the lanes of one worker do is ordered like what different workers do; but they share a memory, and die
together.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, TypeVar

import greenlet

from interlock.prove.carrier import carrier
from interlock.prove.effect import EVERYTHING, LOCKS, Effect, Step, Uncontrolled
from interlock.prove.empty import empty
from interlock.prove.fault import Fault
from interlock.prove.outage import Outage
from interlock.prove.randomness import Chance
from interlock.prove.whereabouts import nowhere
from interlock.prove.worker import LANES, Belonging, Crashed, Worker, letter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interlock.prove.outage import Server

TURNS_MAX = 20_000  # A worker that looks ten times a second whether something is there does so for half an hour.


T = TypeVar("T")


class Stuck(Exception):  # noqa: N818 - the state of a run, not a mistake of a program.
    """The run made no progress within its limit of effects, or every worker waits for another."""


Choose = Callable[[list[Worker]], Worker]


@dataclass(slots=True)
class Run:
    """One schedule.

    Args:
        choose: Picks the next of the workers that can go on; called whenever one can, even if only one.
        plan: The faults to place: (worker, its n-th effect from 0) to fault.
        seed: Of the workers' randomness; each worker gets its own.
        limit: How many effects there may be.
        further: How many more there may be, asked when they are done; may raise instead.
        server: What can lose something, if anything can.
        time_passes: Is told of virtual seconds that have passed, so that what expires elsewhere does.
        where: Tells which line is being run, for a story.
        did: Is told of each effect when it is done, with what it has really touched.
        entered: Is told which worker goes on.
        left: Is told when it has parked or is over.

    Attributes:
        now_s: Virtual time, from the run's beginning.
        steps: What has happened.
        workers: Everybody who takes part, or has.
        lanes: Their lanes.
        belongings: What each process has that ends with it.
        lost: Why this run says nothing, if control was lost.
        struck: The places at which a fault of the plan has struck.
        places: What was done at each place: (worker, its n-th effect from 0).
        outage: A fault that lasts, since it has struck.
        lengths_s: For how long something was granted, or somebody slept.
        acting: The worker that is running.
        turns: How often somebody was let go on, or time.
        notes: What people should know of, though it breaks nothing.
        is_cleared_up: Whether the workers are done, so that no fault strikes any more.
    """

    choose: Choose
    plan: Mapping[tuple[int, int], Fault] = field(default_factory=empty(dict[tuple[int, int], Fault]))
    seed: int = 0
    limit: int = 400
    further: Callable[[], int] | None = None
    time_passes: Callable[[float], None] = lambda _: None
    server: Server | None = None
    where: Callable[[], str] = nowhere
    did: Callable[[Effect], None] = lambda _: None
    entered: Callable[[Worker], None] = lambda _: None
    left: Callable[[Worker], None] = lambda _: None
    now_s: float = 0.0
    steps: list[Step] = field(default_factory=empty(list[Step]))
    workers: list[Worker] = field(default_factory=empty(list[Worker]))
    lanes: list[Worker] = field(default_factory=empty(list[Worker]))
    belongings: dict[int, list[Belonging]] = field(default_factory=empty(dict[int, "list[Belonging]"]))
    lost: str = ""
    struck: set[tuple[int, int]] = field(default_factory=empty(set[tuple[int, int]]))
    places: dict[tuple[int, int], Effect] = field(default_factory=empty(dict[tuple[int, int], "Effect"]))
    outage: Outage | None = None
    lengths_s: dict[float, None] = field(default_factory=empty(dict[float, None]))
    _late: set[tuple[int, int]] = field(default_factory=empty(set[tuple[int, int]]))
    _asleep: set[int] = field(default_factory=empty(set[int]))  # Who goes on later, by itself: what if others are later still?
    acting: Worker | None = None
    _last: Worker | None = None
    turns: int = 0
    _does_remember: bool = False
    notes: set[str] = field(default_factory=empty(set[str]))
    is_cleared_up: bool = False
    _hub: greenlet.greenlet | None = None
    _thread: int = 0

    def go(self, tasks: Sequence[Callable[[], object]], names: Sequence[str] = (), *, ahead_s: Sequence[float] = ()) -> None:
        """Runs the tasks, a worker each, until all are done. May be called again: time and the history go on.

        Args:
            tasks: What each worker does.
            names: What people call them, and what their chance depends on; by default the next letters.
            ahead_s: How far each worker's wall clock runs ahead; not at all where it is not said.

        Raises:
            Stuck: If they are never done.
        """
        self._hub, self._thread = greenlet.getcurrent(), get_ident()
        self._asleep.clear()  # Those before were never at work at the same time.
        first = len(self.workers)
        for number, task in enumerate(tasks):
            name = names[number] if names else letter(first + number)
            self._start(task, name, ahead_s[number] if number < len(ahead_s) else 0.0)
        own = self.workers[first:]
        while alive := self._alive(own):
            self._advance(alive)

    def seen(self) -> dict[tuple[int, int], Effect]:
        """What was done at each place, with what a fault there may need to know of the run."""
        if not self.lengths_s or self.plan:
            return self.places
        lengths_s = tuple(sorted(self.lengths_s))
        return {
            place: replace(effect, lengths_s=lengths_s, is_late=place in self._late or bool(self._asleep - {place[0] % LANES}))
            for place, effect in self.places.items()
        }

    def effect(
        self,
        effect: Effect,
        perform: Callable[[], Any],
        answer: Callable[[Any], str],
        *,
        until: Callable[[], bool] | None = None,
        seconds: float | None = None,
    ) -> Any:
        """Carries an effect out when it is this worker's turn. Called by what catches effects, inside a worker.

        Args:
            effect: What it is.
            perform: Does it.
            answer: Tells for people what came of it.
            until: Whether it can be done yet, such as a pop that waits for an item; asked before each choice.
            seconds: After how long it is done though it cannot; none for never.
        """
        worker = self.current()
        if worker.has_crashed:
            raise Crashed
        worker.until, worker.wakes_at_s = until, None if seconds is None else self.now_s + seconds
        place = (worker.index, worker.done)
        effect = self._as_noticed(worker, effect)
        if place in self.plan and self.belongings.get(worker.process):  # A connection may end, and let go of what it holds.
            effect = replace(effect, writes=effect.writes | {LOCKS})
        self._park(worker, effect)
        self.places[place] = effect
        if self.main(worker).holds:
            self._late.add(place)
        worker.done += 1
        fault = self._fault_at(place, effect) if self.plan else None
        worker.doing = effect, fault
        try:
            result = perform() if fault is None else self._strike(place, fault, worker, perform)
        except (Crashed, greenlet.GreenletExit):  # Told by `crash`, when it happened.
            raise
        except BaseException as error:
            self._finished(worker, f"{type(error).__name__}: {error}")
            raise
        self._finished(worker, answer(result))
        return result

    def _fault_at(self, place: tuple[int, int], effect: Effect) -> Fault | None:
        """What is planned here, or goes on since it began elsewhere."""
        if (
            self.server is not None
            and not self._does_remember
            and any(getattr(fault, "needs_memory", False) for fault in self.plan.values())
        ):
            self.server.remember()  # What was given has long been safe.
            self._does_remember = True
        fault = self.plan.get(place)
        if fault is None and self.outage is not None and self.outage.strikes_too(effect):
            return self.outage.fault
        return fault

    def _finished(self, worker: Worker, answer: str) -> None:
        """Notes what a worker has done, with what it has really touched."""
        assert worker.doing is not None  # noqa: S101 - it has done it.
        self.did(worker.doing[0])
        self._note(worker, *worker.doing, answer)

    def _strike(self, place: tuple[int, int], fault: Fault, worker: Worker, perform: Callable[[], Any]) -> Any:
        assert worker.doing is not None  # noqa: S101 - a fault strikes an effect.
        if place in self.plan:
            self.struck.add(place)
            if fault.lasts:
                self.outage = Outage(fault, worker.doing[0])
            if fault.lasts or getattr(fault, "needs_memory", False):  # Others see whether it has begun.
                worker.doing = replace(worker.doing[0], reads=frozenset({EVERYTHING}), writes=frozenset({EVERYTHING})), fault
        return fault.strike(self, worker, perform)

    def refuses(self, effect: Effect) -> bool:
        """Whether a server is gone, so that nobody can connect to it. A worker that tries is told so, which is a step.

        Args:
            effect: To connect to it.
        """
        if not self.plan or self.outage is None or not self.outage.refuses(effect):
            return False
        self._note(self.current(), effect, self.outage.fault, "connection refused")
        return True

    def stall(self, seconds: float) -> None:
        """Holds the worker that is running up before its effect, which it carries out afterwards, as if nothing had been."""
        worker = self.current()
        assert worker.doing is not None  # noqa: S101 - a fault strikes an effect.
        worker.wakes_at_s = self.now_s + seconds
        self._park(worker, worker.doing[0])

    def grant(self, seconds: float, *, sleeps: bool = False) -> None:
        """Notes that something lasts so long for the worker that is running: it was granted a lease, or sleeps."""
        worker = self.here()
        if worker is not None:
            self.main(worker).holds = True
            self.lengths_s[seconds] = None
            if sleeps:
                self._asleep.add(worker.process)

    def _note(self, worker: Worker, effect: Effect, fault: Fault | None, answer: str) -> None:
        name = fault.name if fault else None
        self.steps.append(Step(worker.name, effect, self.now_s, name, answer, self.where(), worker.preempts))
        worker.preempts = False

    @property
    def learns(self) -> bool:
        """Whether it matters what is touched: for what is tried next, or for a story.

        A worker in a process of its own only repeats what was found before; and the one that clears up does so in one order.
        """
        return self.current().doing is not None and not (self.is_cleared_up and self.where is nowhere)

    def touched(self, reads: frozenset[str], writes: frozenset[str]) -> None:
        """What the effect that is being carried out has really read and changed, if that is not what it announces."""
        worker = self.current()
        if worker.doing is not None:
            effect, fault = worker.doing
            hears = self.main(worker).hears
            worker.doing = replace(effect, reads=reads | hears, writes=writes | (effect.writes & {LOCKS})), fault

    def note(self, text: str) -> None:
        """Something that people should know of, though it breaks nothing."""
        self.notes.add(text)

    def wait(
        self, seconds: float | None, effect: Effect, *, until: Callable[[], bool] | None = None, is_prompt: bool = False
    ) -> None:
        """Lets virtual time pass for this worker; or waits until something holds, for so long at most, or however long.

        Args:
            seconds: How long at most.
            effect: What it is.
            until: What it waits for.
            is_prompt: Whether the worker goes on as soon as that holds, before anybody is chosen.
        """
        worker = self.current()
        if worker.has_crashed:
            raise Crashed
        worker.wakes_at_s = None if seconds is None else self.now_s + max(0.0, seconds)
        worker.until, worker.is_prompt = until, is_prompt
        self._park(worker, self._as_noticed(worker, effect))

    def crash(self, worker: Worker) -> None:
        """Ends the worker that is running, as SIGKILL does: this does not return."""
        for one in self.everyone():
            if one.process == worker.process:
                one.has_crashed = one.is_over = True
        self._finished(worker, "the worker is killed")
        for belonging in self.belongings.pop(worker.process, []):
            belonging.lost()
        self._switch_to_hub()
        raise Crashed  # Only when the interpreter clears the greenlet away.

    def stay_alive(self) -> None:
        """Unwinds a worker that was killed, wherever it gets to.

        Raises:
            Crashed: If it was.
        """
        if self.current().has_crashed:
            raise Crashed

    def uncontrolled(self, reason: str) -> Uncontrolled:
        """The error to raise where control is lost. It is remembered, since a module may swallow it."""
        self.lost = self.lost or reason
        return Uncontrolled(reason)

    def current(self) -> Worker:
        """The worker that is running.

        Raises:
            Uncontrolled: If the caller is none: a thread that the module has started, for example.
        """
        worker = self.here()
        if worker is not None:
            return worker
        raise self.uncontrolled("something is done by a thread that is no worker: the module starts threads of its own")

    def outside(self, thing: T) -> T:
        """Something that is kept outside of the workers, as a provider is. Here it is the thing itself."""
        return thing

    def chance(self) -> Chance | None:
        """What the worker that is running draws, if one is."""
        acting = self.acting
        return acting.chance if acting is not None and get_ident() == self._thread else None

    @property
    def is_here(self) -> bool:
        """Whether the caller is in the thread of this run: a worker, or what the guard does between two of its steps."""
        return get_ident() == self._thread

    def here(self) -> Worker | None:
        """The worker that is running, if it is the caller."""
        acting = self.acting
        return acting if acting is not None and acting.greenlet is greenlet.getcurrent() else None

    def keep(self, belonging: Belonging) -> None:
        """Notes what belongs to the process of the worker that is running."""
        self.belongings.setdefault(self.current().process, []).append(belonging)

    def hear(self, names: frozenset[str]) -> None:
        """From now on the process of the worker that is running may be told something by whoever writes to these."""
        self.main(self.current()).hears |= names

    def main(self, worker: Worker) -> Worker:
        """The worker that a lane belongs to; itself, if it is none."""
        return self.workers[worker.process]

    def everyone(self) -> list[Worker]:
        """All workers and lanes."""
        return [*self.workers, *self.lanes]

    def lane(self, owner: Worker) -> Worker:
        """Another thing that a worker does beside what it does already; nothing yet."""
        owner.lanes += 1
        name = owner.name if owner.lanes == 1 else f"{owner.name}.{owner.lanes}"
        index = owner.index + LANES * owner.lanes
        lane = Worker(index, name, owner.chance, process=owner.process, is_over=True)
        lane.has_crashed, lane.ahead_s = owner.has_crashed, owner.ahead_s
        self.lanes.append(lane)
        return lane

    def start(self, lane: Worker, task: Callable[[], object]) -> None:
        """Begins something on a lane that has nothing to do, up to its first effect; then the caller goes on."""
        if lane.has_crashed:
            raise Crashed
        lane.is_over = False
        lane.greenlet = begun = carrier(self._body(lane, task), of_lane=True)
        before, self.acting = self.acting, lane
        _switch(begun)
        self.acting = before
        if lane.greenlet is begun:
            assert self._hub is not None  # noqa: S101 - a worker runs, so a run does.
            begun.parent = self._hub

    def end(self) -> None:
        """Clears everybody away who is not done. Whatever they still try to do or to say is muted."""
        left = [worker for worker in self.everyone() if worker.greenlet is not None]
        if not left:
            return
        for worker in left:
            worker.has_crashed = worker.is_over = True
        before = logging.root.manager.disable
        logging.disable()
        try:
            for worker in left:
                assert worker.greenlet is not None  # noqa: S101 - as above.
                self.acting = worker
                worker.greenlet.throw(Crashed)
        finally:
            self.acting = None
            logging.disable(before)

    def _start(self, task: Callable[[], object], name: str, ahead_s: float) -> None:
        index, life = len(self.workers), sum(worker.name == name for worker in self.workers)
        worker = Worker(index, name, Chance(self.seed, name, life, index), ahead_s=ahead_s)
        worker.process = index
        worker.greenlet = carrier(self._body(worker, task))
        self.workers.append(worker)
        self._resume(worker)

    def _body(self, worker: Worker, task: Callable[[], object]) -> Callable[[], None]:
        def body() -> None:
            try:
                self._go_through(worker, task)
            finally:
                worker.is_over, worker.greenlet = True, None

        return body

    def _go_through(self, worker: Worker, task: Callable[[], object]) -> None:
        for doing in (task, partial(self._leave, worker)):
            try:
                doing()
            except Crashed:
                break
            except (KeyboardInterrupt, greenlet.GreenletExit):  # Not the module's.
                raise
            except BaseException as error:  # noqa: BLE001 - told in the history, and judged by the contract.
                worker.error = worker.error or error
                self._note(worker, Effect("end", f"raises {type(error).__name__}: {error}"), None, "")

    def _leave(self, worker: Worker) -> None:
        if worker.process == worker.index:
            for belonging in reversed(self.belongings.pop(worker.process, [])):
                belonging.left()

    def _alive(self, own: Sequence[Worker]) -> list[Worker]:
        """Who is not done; nobody, if all that are left only serve others."""
        alive = [worker for worker in ((*own, *self.lanes) if self.lanes else own) if not worker.is_over]
        for worker in alive:
            if not worker.serves:
                return alive
        return []

    def _advance(self, alive: Sequence[Worker]) -> None:
        if len(self.steps) >= self.limit:
            if self.further is None:
                raise Stuck(f"no end within {self.limit} effects")
            self.limit += self.further()
        self.turns += 1
        if self.turns >= TURNS_MAX:
            raise Stuck(f"no end within {TURNS_MAX} effects and waits")
        ready = [worker for worker in alive if (worker.until is None and worker.wakes_at_s is None) or self._can_go_on(worker)]
        if ready:
            chosen = _prompt(ready) or self.choose(ready)
            chosen.preempts |= self._last is not chosen and self._last in ready
            self._last = chosen
            self._resume(chosen)
            return
        waiting = [worker.wakes_at_s for worker in alive if worker.wakes_at_s is not None]
        if not waiting:
            raise Stuck("every worker waits for another")
        passed_s, self.now_s = min(waiting) - self.now_s, min(waiting)
        self.time_passes(passed_s)

    def _can_go_on(self, worker: Worker) -> bool:
        if worker.wakes_at_s is not None and worker.wakes_at_s <= self.now_s:
            return True
        return worker.until() if worker.until is not None else worker.wakes_at_s is None

    def _resume(self, worker: Worker) -> None:
        """Lets a worker run up to its next effect."""
        worker.effect, worker.wakes_at_s, worker.until, worker.is_prompt = None, None, None, False
        assert worker.greenlet is not None  # noqa: S101 - it was started.
        self.acting = worker
        self.entered(worker)
        try:
            worker.greenlet.switch()
        finally:
            self.acting = None
            self.left(worker)

    def _park(self, worker: Worker, effect: Effect) -> None:
        worker.effect = effect
        self._switch_to_hub()

    def _as_noticed(self, worker: Worker, effect: Effect) -> Effect:
        """The effect, with what its worker may notice once it goes on; and with the memory for that, if lanes share it."""
        if hears := self.main(worker).hears:
            effect = replace(effect, reads=effect.reads | hears)
        return effect.of_process(worker.process) if worker.lanes or worker.process != worker.index else effect

    def _switch_to_hub(self) -> None:
        """Back to who has let this worker run: the hub, or whoever has just started this lane."""
        back = greenlet.getcurrent().parent
        assert back is not None  # noqa: S101 - a worker runs, so a run does.
        _switch(back)


def _prompt(ready: list[Worker]) -> Worker | None:
    """Who goes on before anybody is chosen, if somebody does."""
    for worker in ready:
        if worker.is_prompt and worker.until is not None and worker.until():
            return worker
    return None


def _switch(to: greenlet.greenlet) -> None:
    """Lets another one run. It is not in this one's event loop; Python keeps one for each thread."""
    loop = asyncio._get_running_loop()  # noqa: SLF001 - made for whoever implements a loop, says its documentation.
    if loop is None:
        to.switch()
        return
    asyncio._set_running_loop(None)  # noqa: SLF001 - likewise.
    try:
        to.switch()
    finally:
        asyncio._set_running_loop(loop)  # noqa: SLF001 - likewise.
