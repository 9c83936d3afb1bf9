"""The processes of a load, forked from the one that drives it: some make calls in many threads, some do the work."""

from __future__ import annotations

import gc
import os
import pickle
import threading
import time
import traceback
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, cast

from interlock.prove.clock import wall_clock
from interlock.prove.load.commands import keys_of
from interlock.prove.load.leaks import is_exhaustion
from interlock.prove.load.timeline import OwnTime, own_time
from interlock.prove.sources import loaded_sources

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Generator, Iterator, Sequence
    from multiprocessing.connection import Connection

    from interlock.prove.load.calls import Call
    from interlock.prove.load.timeline import Timeline
    from interlock.prove.load.wiring import Wiring

_STACK_BYTES = 512 * 1024
_LINE_LENGTH, _CAUSED_LENGTH = 200, 100
_MANY_THREADS = 200
_GIVES_WAY = 5  # See nice(2): a third of what others get, and not so little that the work is not done on a busy machine.
_real_monotonic = time.monotonic
_real_sleep = time.sleep


class Ended(Exception):  # noqa: N818 - the state of a module, not a mistake of ours.
    """A process of the load has ended by itself."""


class Overdue(Exception):  # noqa: N818 - likewise.
    """The time is over, and a process has not answered."""


class Made(NamedTuple):
    """What came of one call. A tuple, as a call is.

    Attributes:
        call: Which.
        began_s: When it was really made, in monotonic time.
        took_s: How long it took, with the sleeps that took no time.
        error: What it raised, if it did.
        keys: The keys of Redis that it named.
    """

    call: Call
    began_s: float
    took_s: float
    error: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Duties:
    """What the processes of a load do.

    Attributes:
        call: Makes one call.
        work: What each worker does, over and over; the first one the first, and so on.
        asked: Questions that are answered in the end, by name.
    """

    call: Callable[[Call], object]
    work: Sequence[Callable[[], object]] = ()
    asked: dict[str, Callable[[], object]] = field(default_factory=dict[str, "Callable[[], object]"])


@dataclass(frozen=True, slots=True)
class Rested:
    """What a process that has come to rest says of itself.

    Attributes:
        strangers: What it wanted to connect to that the contract does not name.
        passed_by: Where connections lead that no function of Python has made.
        struck: Which faults struck its connections, and how often.
        has_asked: Whether it has sent anything to a server while calls were made.
        cpu_s: How much time of a processor it has used from when its calls began until all were over.
        sources: The files that it has run: a module may be imported where it is first called.
    """

    strangers: frozenset[str]
    passed_by: frozenset[str]
    struck: Counter[str]
    has_asked: bool
    cpu_s: float
    sources: frozenset[str]


@dataclass(slots=True)
class Member:
    """One process, as the one that drives sees it.

    Attributes:
        pid: Its number.
        pipe: Where it is told what to do, and answers.
        is_busy: Whether it has not answered yet.
    """

    pid: int
    pipe: Connection[Any, Any]
    is_busy: bool = False

    def tell(self, *order: object) -> None:
        """Gives it something to do."""
        try:
            send(self.pipe, order)
        except OSError:
            raise self._ended() from None
        self.is_busy = True

    def answer(self, until_s: float) -> Any:
        """What it answers; waits for it until then, in monotonic time.

        Raises:
            Ended: If it has.
            Overdue: If it does not.
        """
        try:
            if not self.pipe.poll(max(0.0, until_s - _real_monotonic())):
                raise Overdue
            answer = self.pipe.recv()
        except (EOFError, OSError):
            raise self._ended() from None
        self.is_busy = False
        return answer

    def ask(self, until_s: float, *order: object) -> Any:
        """Gives it something to do, and waits for the answer, as `answer` does."""
        self.tell(*order)
        return self.answer(until_s)

    def files(self) -> int:
        """How many files and connections it has open."""
        try:
            return len(os.listdir(f"/proc/{self.pid}/fd"))  # noqa: PTH208 - ten times a second, and a thousand of them.
        except OSError:
            return 0

    def _ended(self) -> Ended:
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        said = f"signal {-status}" if status < 0 else f"exit code {status}"
        return Ended(f"a process under load has ended by itself: {said}")


def send(pipe: Connection[Any, Any], what: object) -> None:
    """Puts something into a pipe. Its own `send` does so by a pickler in Python, for what only multiprocessing shares."""
    pipe.send_bytes(pickle.dumps(what, pickle.HIGHEST_PROTOCOL))


@contextmanager
def crew(duties: Duties, timeline: Timeline, wirings: Sequence[Wiring], threads: int) -> Generator[list[Member]]:
    """As many processes as there are networks, for as long as the block lasts."""
    members: list[Member] = []
    try:
        for number, wiring in enumerate(wirings):
            ours, theirs = Pipe()
            pid = os.fork()
            if not pid:
                for other in (*(member.pipe for member in members), ours):
                    other.close()
                _serve(_Process(duties, timeline, wiring, threads, number), theirs)
            theirs.close()
            members.append(Member(pid, ours))
        yield members
    finally:
        for member in members:
            member.pipe.close()
            with suppress(ProcessLookupError):
                os.kill(member.pid, 9)
            with suppress(ChildProcessError):
                os.waitpid(member.pid, 0)


def _serve(process: _Process, pipe: Connection[Any, Any]) -> NoReturn:
    """Does what it is told until nobody is there any more. Never returns to the code that was forked."""
    try:
        process.wiring.install()
        with wall_clock(lambda: process.timeline):
            while True:
                name, *told = pipe.recv()
                send(pipe, getattr(process, name)(*told))
    except (EOFError, OSError, KeyboardInterrupt):
        os._exit(0)
    except BaseException:  # noqa: BLE001 - whatever it is, this process must not go on in the code that was forked.
        traceback.print_exc()
    os._exit(1)


class _Batch:
    """Calls that are made by several threads; whoever waits for them is woken once, by the last.

    Args:
        make: Makes one of them.
        size: How many there are.
        start_s: When the load began, in monotonic time, if they are made in real time.

    Attributes:
        over: Those that are over, and what each has sent to Redis.
        is_over: Can be had when all are.
    """

    def __init__(self, make: Callable[[Call], object], size: int, start_s: float | None) -> None:
        self.make = make
        self.start_s = start_s
        self.over: list[tuple[Made, OwnTime]] = []
        self.is_over = threading.Lock()
        self._left = iter(range(size - 1, -1, -1))  # In one step of the interpreter: no two threads are the last.
        if size:
            self.is_over.acquire()

    def enter(self, one: tuple[Made, OwnTime]) -> None:
        """Takes a call that is over."""
        self.over.append(one)
        if not next(self._left):
            self.is_over.release()


class _Process:
    """What runs in a process of a load."""

    def __init__(self, duties: Duties, timeline: Timeline, wiring: Wiring, threads: int, number: int) -> None:
        self.duties = duties
        self.timeline = timeline
        self.wiring = wiring
        self._threads = threads
        self._number = number
        self._todo: SimpleQueue[tuple[_Batch, Call]] = SimpleQueue()
        self._running = 0
        self._cpu_s = 0.0

    def ready(self) -> bool:
        """Starts the threads that make calls."""
        if self._threads > _MANY_THREADS:
            threading.stack_size(_STACK_BYTES)
        while self._running < self._threads:
            threading.Thread(target=self._make_calls, daemon=True).start()
            self._running += 1
        return True

    def calls(self, batch: list[Call], start_s: float | None) -> list[Made]:
        """Makes calls, and answers when all have come back.

        Args:
            batch: Which.
            start_s: When the load begins, in monotonic time, if they are made in real time.
        """
        before_s = time.process_time()  # To start a thousand threads takes more than a module does.
        made = self._made_by_threads(self.duties.call, batch, start_s)
        self._cpu_s += time.process_time() - before_s
        return made

    def calmly(self, batch: list[Call], within_s: float) -> list[Made]:
        """Makes calls one after the other, in one thread, as many as there is time for."""
        made, ends_at_s = list[Made](), _real_monotonic() + within_s
        for call in batch:
            if _real_monotonic() > ends_at_s:
                break
            made.append(_with_keys(*self._made(self.duties.call, call, None)))
        return made

    def empty(self, batch: list[Call], start_s: float) -> list[float]:
        """When threads that have nothing to do in them begin calls, in seconds since the beginning."""
        return [one.began_s - start_s for one in self._made_by_threads(_nothing, batch, start_s)]

    def work(self, sleeps: bool) -> str:  # noqa: FBT001 - it comes through a pipe.
        """Does the work once; answers with the error in which it ended.

        Args:
            sleeps: Whether its sleeps really last.
        """
        if sleeps and os.getpriority(os.PRIO_PROCESS, 0) < _GIVES_WAY:
            os.setpriority(os.PRIO_PROCESS, 0, _GIVES_WAY)  # In production workers do not take the processor from who calls.
        tasks = self.duties.work
        token = own_time.set(OwnTime(self.timeline.shared_s - _real_monotonic(), sleeps=sleeps, sent=None))
        try:
            tasks[self._number % len(tasks)]()
        except Exception as error:  # noqa: BLE001 - whatever the module raises; counted and told.
            return _said(error)
        finally:
            own_time.reset(token)
        return ""

    def asked(self, name: str) -> tuple[object, str]:
        """The answer to one of the questions, or the error in which it ended."""
        try:
            return self.duties.asked[name](), ""
        except Exception as error:  # noqa: BLE001 - as above.
            return None, _said(error)

    def rest(self) -> Rested:
        """Lets go of what nobody holds any more: that is no leak."""
        gc.collect()
        wiring = self.wiring
        return Rested(
            frozenset(wiring.strangers),
            frozenset(wiring.passers_by()),
            wiring.struck,
            wiring.has_asked,
            self._cpu_s,
            loaded_sources(),
        )

    def _made_by_threads(self, make: Callable[[Call], object], calls: list[Call], start_s: float | None) -> list[Made]:
        batch = _Batch(make, len(calls), start_s)
        for call in calls:
            self._todo.put((batch, call))
        batch.is_over.acquire()
        return [_with_keys(*one) for one in batch.over]  # Only now: others were still to be begun in time.

    def _make_calls(self) -> None:
        while True:
            batch, call = self._todo.get()
            if batch.start_s is not None:
                _real_sleep(max(0.0, batch.start_s + call.due_s - _real_monotonic()))
            batch.enter(self._made(batch.make, call, batch.start_s))

    def _made(self, make: Callable[[Call], object], call: Call, start_s: float | None) -> tuple[Made, OwnTime]:
        began_s = _real_monotonic()
        shown_s = call.due_s if start_s is None else self.timeline.shared_s
        own = OwnTime(shown_s - began_s, sleeps=start_s is not None)
        token, error = own_time.set(own), ""
        try:
            make(call)
        except Exception as raised:  # noqa: BLE001 - as above.
            error = _said(raised)
        finally:
            own_time.reset(token)
        return Made(call, began_s, _real_monotonic() - began_s + own.slept_s, error), own


def _with_keys(made: Made, own: OwnTime) -> Made:
    return made._replace(keys=keys_of(own.sent or ()))


def _nothing(_: Call) -> None:
    """A call that does nothing."""


def _said(error: BaseException) -> str:
    """An error in a line; with what it came from, if only that tells that no connection was left."""
    chain = [_line(one) for one in _chain(error)]
    told = next((line for line in chain if is_exhaustion(line)), chain[0])
    return chain[0] if told == chain[0] else f"{chain[0][:_CAUSED_LENGTH]}, from {told}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was raised from, or while it was handled."""
    seen: set[int] = set()
    inner: BaseException | None = error
    while inner is not None and id(inner) not in seen:
        seen.add(id(inner))
        attempt = getattr(inner, "last_attempt", None)  # tenacity's RetryError says nothing by itself.
        if attempt is not None and (cause := attempt.exception()) is not None:
            inner = cast("BaseException", cause)
            continue
        yield inner
        inner = inner.__cause__ or inner.__context__


def _line(error: BaseException) -> str:
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first}"[:_LINE_LENGTH]
