"""A schedule whose workers are processes: each is forked, asks before each effect, carries it out itself, and waits again.

The process that grants runs the same schedule as the search does, with the same faults and the same clock; only that a worker
of it is no greenlet with the module inside, but one that listens to a process, and each of its lanes likewise. A crash is
SIGKILL: the kernel closes what the process had open, and the servers see it go.

What is said, with the number of the worker or lane: effect and wait (whether it serves others, whether it has to wait for
something, what), lane, start (of a lane), thing (which, method, arguments), refuses (whether a server is gone), performed
(result, told), failed (error), holds (yes or no), over (error). What is told: perform, holds?, own (go on with your own
result), value (go on with this one), raise (an error).
"""

from __future__ import annotations

import os
import socket
import warnings
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar, cast

import greenlet

from interlock.prove.confirm.inside import Inside, be_silent
from interlock.prove.confirm.link import ANSWER_TIMEOUT_S, Child, Link, LinkLost, raisable
from interlock.prove.scheduler import Run
from interlock.prove.worker import LOOKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from interlock.prove.effect import Effect
    from interlock.prove.worker import Worker

T = TypeVar("T")


class Server(Protocol):
    """A server of the proof, with connections of our own to it."""

    def in_new_process(self) -> None:
        """This process was forked: the connections are another one's."""
        ...

    def catch_up(self) -> None:
        """Other processes may have done something since."""
        ...

    def was_elsewhere(self) -> None:
        """Other processes have done something that nobody here has noted."""
        ...


@dataclass(slots=True)
class ProcessRun(Run):
    """A schedule whose workers are processes. There are no `super()` calls: they do not find a class that has got slots.

    Attributes:
        servers: Which ones have connections in this process.
        killed: How many of them SIGKILL has ended.
        children: By the worker's number.
        things: What is kept outside of the workers.
    """

    servers: Sequence[Server] = ()
    killed: int = 0
    children: dict[int, Child] = field(default_factory=dict[int, Child])
    things: list[Any] = field(default_factory=list[Any])
    _inside: Inside | None = None  # In a worker's process only.

    def outside(self, thing: T) -> T:
        """Something that is kept here, and asked from the workers."""
        self.things.append(thing)
        return cast("T", _Thing(self, len(self.things) - 1, thing))

    def ask(self, number: int, method: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Asks something that is kept outside."""
        if self._inside is not None:
            return self._inside.ask(number, method, args, options)
        return getattr(self.things[number], method)(*args, **options)

    def crash(self, worker: Worker) -> None:
        """SIGKILL."""
        self.killed += self.children[worker.process].kill()
        Run.crash(self, worker)

    def end(self) -> None:
        """Leaves no process behind."""
        for child in self.children.values():
            child.end()
        for server in self.servers:
            server.was_elsewhere()
        Run.end(self)

    # What is another thing in a worker's process.

    def effect(
        self,
        effect: Effect,
        perform: Callable[[], Any],
        answer: Callable[[Any], str],
        *,
        until: Callable[[], bool] | None = None,
        seconds: float | None = None,
    ) -> Any:
        """Carries an effect out when it is granted."""
        if self._inside is not None:
            return self._inside.effect(effect, perform, answer, until, seconds)
        return Run.effect(self, effect, perform, answer, until=until, seconds=seconds)

    def wait(
        self, seconds: float | None, effect: Effect, *, until: Callable[[], bool] | None = None, is_prompt: bool = False
    ) -> None:
        """Waits until it is woken."""
        if self._inside is not None:
            self._inside.wait(seconds, effect, until, is_prompt=is_prompt)
        else:
            Run.wait(self, seconds, effect, until=until, is_prompt=is_prompt)

    def refuses(self, effect: Effect) -> bool:
        """Whether a server is gone, which only the process that grants knows."""
        if self._inside is not None:
            return bool(self._inside.answered("refuses", effect))
        return Run.refuses(self, effect)

    def lane(self, owner: Worker) -> Worker:
        """Another lane; the process that grants has one for it, too."""
        if self._inside is not None:
            self._inside.say("lane", owner.index)
        return Run.lane(self, owner)

    def start(self, lane: Worker, task: Callable[[], object]) -> None:
        """Begins something on a lane; so does the process that grants."""
        if self._inside is not None:
            self._inside.say("start", lane.index)
        Run.start(self, lane, task)

    def catch_up(self) -> None:
        """Looks what other processes may have done."""
        for server in self.servers:
            server.catch_up()

    def park(self) -> None:
        """Lets whoever has let this one run go on."""
        self._switch_to_hub()

    def resume(self, worker: Worker) -> None:
        """Lets one run until it parks or is over."""
        self._resume(worker)

    def _body(self, worker: Worker, task: Callable[[], object]) -> Callable[[], None]:
        body = Run._body(self, worker, task)  # noqa: SLF001 - its own.

        def told() -> None:
            body()
            if self._inside is not None:
                self._inside.say("over", worker.index, worker.error)

        return told

    # What the process that grants does.

    def _start(self, task: Callable[[], object], name: str, ahead_s: float) -> None:
        """As in one process; what is looked at afterwards is for our own eyes, and stays here."""
        Run._start(self, task if name == LOOKING else partial(self._listen, task), name, ahead_s)  # noqa: SLF001 - its own.

    def _listen(self, task: Callable[[], object]) -> None:
        worker = self.current()
        ours, theirs = (Link(end) for end in socket.socketpair())
        pid = _forked()
        if pid == 0:
            ours.close()
            self._live(worker, task, theirs)
        theirs.close()
        child = self.children[worker.index] = Child(pid, ours)
        self._serve(child, worker)
        if all(lane.is_over for lane in self.lanes if lane.process == worker.index):
            child.end()

    def _live(self, worker: Worker, task: Callable[[], object], link: Link) -> NoReturn:
        """The whole life of a worker's process."""
        try:
            be_silent()
            for child in self.children.values():
                child.link.close()
            for server in self.servers:
                server.in_new_process()
            self._hub, self._inside = greenlet.getcurrent(), Inside(self, link)
            worker.greenlet = greenlet.greenlet(self._body(worker, task))
            self._inside.live(worker)
        except BaseException as error:  # noqa: BLE001 - our own mistake; the other process says so.
            link.say(f"{type(error).__name__} in a worker's process: {error}", "ended")
        finally:
            os._exit(0)

    def _serve(self, child: Child, worker: Worker) -> None:
        """Does for a worker or a lane what it says, until it is over."""
        while True:
            match self._heard(child):
                case ("effect", _, serves, waits, effect, seconds):
                    worker.serves = serves
                    until = self._until(child, worker) if waits else None
                    self._grant(child, worker, effect, until, seconds)
                case ("wait", _, serves, waits, effect, seconds, is_prompt):
                    worker.serves = serves
                    until = self._until(child, worker) if waits else None
                    Run.wait(self, seconds, effect, until=until, is_prompt=is_prompt)
                    self._tell(child, worker, "own")
                case ("lane", owner):
                    Run.lane(self, self._numbered(owner))
                case ("start", index):
                    lane = self._numbered(index)
                    Run.start(self, lane, partial(self._serve, child, lane))
                case ("over", _, None):
                    return
                case ("over", _, error):
                    raise raisable(error)
                case other:
                    raise LinkLost(f"a worker's process said {other!r}")

    def _grant(
        self, child: Child, worker: Worker, effect: Effect, until: Callable[[], bool] | None, seconds: float | None
    ) -> None:
        done: list[tuple[Any, str]] = []

        def perform() -> Any:
            self._tell(child, worker, "perform")
            kind, _, *told = self._heard(child)
            if kind == "failed":
                raise raisable(told[0])
            done.append((told[0], told[1]))
            return told[0]

        def answer(value: Any) -> str:
            return done[-1][1] if done and done[-1][0] is value else str(value)

        try:
            value = Run.effect(self, effect, perform, answer, until=until, seconds=seconds)
        except LinkLost:
            raise
        except Exception as error:  # noqa: BLE001 - it is the worker's to see.
            self._tell(child, worker, "raise", error)
        else:
            self._tell(child, worker, *(("own",) if done and done[-1][0] is value else ("value", value)))

    def _until(self, child: Child, worker: Worker) -> Callable[[], bool]:
        def holds() -> bool:
            self._tell(child, worker, "holds?")
            return bool(self._heard(child)[2])

        return holds

    def _numbered(self, index: int) -> Worker:
        return next(worker for worker in self.everyone() if worker.index == index)

    def _tell(self, child: Child, worker: Worker, *message: Any) -> None:
        child.link.say(self.now_s, self.main(worker).ahead_s, worker.index, *message)

    def _heard(self, child: Child) -> tuple[Any, ...]:
        """What a process says, once what it asks of the things outside is answered.

        Raises:
            LinkLost: If it says nothing any more; then nobody can tell what the schedule comes to.
        """
        while True:
            try:
                lost, *message = child.link.hear(ANSWER_TIMEOUT_S)
            except LinkLost as error:
                self.lost = self.lost or str(error)
                raise
            self.lost = self.lost or lost
            if message[0] not in {"thing", "refuses"}:
                return tuple(message)
            kind, *what = message
            try:
                value = self.ask(*what) if kind == "thing" else self.refuses(*what)
            except Exception as error:  # noqa: BLE001 - it is the worker's to see.
                child.link.say(self.now_s, "raise", error)
            else:
                child.link.say(self.now_s, "value", value)


class _Thing:
    """Stands for something that is kept in the process that grants: its methods can be called from everywhere."""

    def __init__(self, run: ProcessRun, number: int, thing: object) -> None:
        self._run, self._number, self._thing = run, number, thing

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if not callable(getattr(self._thing, name)):
            raise TypeError(f"{name} is kept outside of the workers, which can only call methods there")
        return lambda *args, **options: self._run.ask(self._number, name, args, options)


def _forked() -> int:
    """Forks. Threads do not come along; those of a test runner or a watchdog are no part of a worker."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()
