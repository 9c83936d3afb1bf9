"""Runs workers one effect at a time, in an order that somebody else chooses.

Each worker is a greenlet in one thread, so that the code between two effects runs undisturbed, and a switch costs less than a
microsecond. A worker that comes to an effect parks before it. When every worker is parked, waiting or done, one is chosen, and
its effect is carried out. So the order of effects is all that differs between two runs.

A crash is what SIGKILL is: the worker is never run again. What its `finally` blocks would do when the interpreter clears the
greenlet away is muted, since no process would have done it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import get_ident
from typing import TYPE_CHECKING, Any, Protocol

import greenlet

from interlock.prove.effect import Effect, Uncontrolled
from interlock.prove.randomness import Chance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Crashed(BaseException):
    """Unwinds a worker that no longer exists."""


class Stuck(Exception):  # noqa: N818 - the state of a run, not a mistake of a program.
    """The run made no progress within its limit of effects, or every worker waits for another."""


class Fault(Protocol):
    """What goes wrong at one effect; see `faults`."""

    @property
    def name(self) -> str:
        """What people call it, its figures included: `delay 31 s`."""
        ...

    def strike(self, run: Run, worker: Worker, perform: Callable[[], Any]) -> Any:
        """Carries the effect out in the faulty way."""
        ...


@dataclass(slots=True, eq=False)
class Worker:
    """One worker of a run.

    Attributes:
        index: Its number, from 0.
        name: What people call it: A, B, ...
        chance: What it draws.
        effect: What it will do next; none while it is running or done.
        wakes_at_s: Until when it waits, in virtual time.
        until: What it waits for, if not for time alone: it can go on as soon as this holds.
        done: How many effects it has carried out.
        error: What it raised, if it did.
        has_crashed: Whether a fault has killed it.
        ahead_s: How far its wall clock runs ahead of the others'.
    """

    index: int
    name: str
    chance: Chance
    greenlet: greenlet.greenlet | None = None
    effect: Effect | None = None
    wakes_at_s: float | None = None
    until: Callable[[], bool] | None = None
    done: int = 0
    error: BaseException | None = None
    has_crashed: bool = False
    is_over: bool = False
    ahead_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """One effect as it happened.

    Attributes:
        worker: Who did it.
        effect: What it was.
        at_s: When, in virtual time.
        fault: The fault that struck it, if one did.
        answer: What came of it, for people.
    """

    worker: str
    effect: Effect
    at_s: float
    fault: str | None
    answer: str


Choose = Callable[[list[Worker]], Worker]


@dataclass(slots=True)
class Run:
    """One schedule.

    Args:
        choose: Picks the next of the workers that can go on; called whenever one can, even if only one.
        plan: The faults to place: (worker, its n-th effect from 0) to fault.
        seed: Of the workers' randomness; each worker gets its own.
        limit: How many effects there may be.
        time_passes: Is told of virtual seconds that have passed, so that what expires elsewhere does.

    Attributes:
        now_s: Virtual time, from the run's beginning.
        steps: What has happened.
        workers: Everybody who takes part, or has.
        lost: Why this run says nothing, if control was lost.
        struck: The places at which a fault of the plan has struck.
        places: What was done at each place: (worker, its n-th effect from 0).
        acting: The worker that is running.
    """

    choose: Choose
    plan: Mapping[tuple[int, int], Fault] = field(default_factory=dict[tuple[int, int], Fault])
    seed: int = 0
    limit: int = 400
    time_passes: Callable[[float], None] = lambda _: None
    now_s: float = 0.0
    steps: list[Step] = field(default_factory=list[Step])
    workers: list[Worker] = field(default_factory=list[Worker])
    lost: str = ""
    struck: set[tuple[int, int]] = field(default_factory=set[tuple[int, int]])
    places: dict[tuple[int, int], Effect] = field(default_factory=dict[tuple[int, int], "Effect"])
    acting: Worker | None = None
    _hub: greenlet.greenlet | None = None
    _thread: int = 0
    _doing: tuple[Effect, Fault | None] | None = None

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
        first = len(self.workers)
        for number, task in enumerate(tasks):
            name = names[number] if names else chr(ord("A") + first + number)
            self._start(task, name, ahead_s[number] if number < len(ahead_s) else 0.0)
        own = self.workers[first:]
        while any(not worker.is_over for worker in own):
            self._advance(own)

    def effect(
        self,
        effect: Effect,
        perform: Callable[[], Any],
        answer: Callable[[Any], str],
        *,
        until: Callable[[], bool] | None = None,
    ) -> Any:
        """Carries an effect out when it is this worker's turn. Called by what catches effects, inside a worker.

        Args:
            effect: What it is.
            perform: Does it.
            answer: Tells for people what came of it.
            until: Whether it can be done yet, such as a pop that waits for an item; asked before each choice.
        """
        worker = self.current()
        if worker.has_crashed:
            raise Crashed
        worker.until = until
        self._park(worker, effect)
        place = (worker.index, worker.done)
        self.places[place] = effect
        worker.done += 1
        fault = self.plan.get(place)
        self._doing = (effect, fault)
        try:
            result = perform() if fault is None else self._strike(place, fault, worker, perform)
        except (Crashed, greenlet.GreenletExit):  # Told by `crash`, when it happened.
            raise
        except BaseException as error:
            self._note(worker, effect, fault, f"{type(error).__name__}: {error}")
            raise
        self._note(worker, effect, fault, answer(result))
        return result

    def _strike(self, place: tuple[int, int], fault: Fault, worker: Worker, perform: Callable[[], Any]) -> Any:
        self.struck.add(place)
        return fault.strike(self, worker, perform)

    def _note(self, worker: Worker, effect: Effect, fault: Fault | None, answer: str) -> None:
        self.steps.append(Step(worker.name, effect, self.now_s, fault.name if fault else None, answer))

    def wait(self, seconds: float | None, effect: Effect, *, until: Callable[[], bool] | None = None) -> None:
        """Lets virtual time pass for this worker; or waits until something holds, for so long at most, or however long."""
        worker = self.current()
        if worker.has_crashed:
            raise Crashed
        worker.wakes_at_s = None if seconds is None else self.now_s + max(0.0, seconds)
        worker.until = until
        self._park(worker, effect)

    def crash(self, worker: Worker) -> None:
        """Ends the worker that is running, as SIGKILL does: this does not return."""
        worker.has_crashed = worker.is_over = True
        assert self._doing is not None  # noqa: S101 - a fault strikes an effect.
        self._note(worker, *self._doing, "the worker is killed")
        self._switch_to_hub()
        raise Crashed  # Only when the interpreter clears the greenlet away.

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

    def chance(self) -> Chance | None:
        """What the worker that is running draws, if one is."""
        return self.acting.chance if self.acting is not None else None

    @property
    def is_here(self) -> bool:
        """Whether the caller is in the thread of this run: a worker, or what the guard does between two of its steps."""
        return get_ident() == self._thread

    def here(self) -> Worker | None:
        """The worker that is running, if it is the caller."""
        acting = self.acting
        return acting if acting is not None and acting.greenlet is greenlet.getcurrent() else None

    def _start(self, task: Callable[[], object], name: str, ahead_s: float) -> None:
        index, life = len(self.workers), sum(worker.name == name for worker in self.workers)
        worker = Worker(index, name, Chance(self.seed, name, life, index), ahead_s=ahead_s)

        def body() -> None:
            try:
                task()
            except (Crashed, greenlet.GreenletExit):
                pass
            except BaseException as error:  # noqa: BLE001 - told in the history, and judged by the contract.
                worker.error = error
                self._note(worker, Effect("end", f"raises {type(error).__name__}: {error}"), None, "")
            worker.is_over = True

        worker.greenlet = greenlet.greenlet(body)
        self.workers.append(worker)
        self._resume(worker)

    def _advance(self, own: Sequence[Worker]) -> None:
        if len(self.steps) >= self.limit:
            raise Stuck(f"no end within {self.limit} effects")
        ready = [worker for worker in own if not worker.is_over and self._can_go_on(worker)]
        if ready:
            self._resume(self.choose(ready))
            return
        waiting = [worker.wakes_at_s for worker in own if not worker.is_over and worker.wakes_at_s is not None]
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
        worker.effect, worker.wakes_at_s, worker.until = None, None, None
        assert worker.greenlet is not None  # noqa: S101 - it was started.
        self.acting = worker
        try:
            worker.greenlet.switch()
        finally:
            self.acting = None

    def _park(self, worker: Worker, effect: Effect) -> None:
        worker.effect = effect
        self._switch_to_hub()

    def _switch_to_hub(self) -> None:
        assert self._hub is not None  # noqa: S101 - a worker runs, so a run does.
        self._hub.switch()
