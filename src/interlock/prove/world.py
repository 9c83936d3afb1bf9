"""What a contract is shown: a Redis, a provider, subjects and workers; made anew for each schedule."""

from __future__ import annotations

import errno
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast
from urllib.parse import urlsplit

from interlock.core.errors import UsageError
from interlock.prove.effect import Effect
from interlock.prove.imports import Imports, Spare
from interlock.prove.invariant import Invariant
from interlock.prove.process_loop import ProcessLoop
from interlock.prove.provider import Provider, check_mood
from interlock.prove.vacuity import Sometimes
from interlock.prove.wire.http_wire import Answer, HttpWire
from interlock.prove.wire.postgres_process import USER
from interlock.prove.wire.postgres_server import DATABASE
from interlock.prove.wire.postgres_wire import PostgresWire
from interlock.prove.wire.redis_wire import RedisWire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from interlock.prove.effect import Step
    from interlock.prove.scheduler import Run
    from interlock.prove.wire.http_wire import Request
    from interlock.prove.wire.network import Wire
    from interlock.prove.wire.postgres_server import Postgres
    from interlock.prove.wire.redis_server import RedisServer
    from interlock.prove.worker import Worker

S = TypeVar("S")

REDIS_HOST = "redis.interlock"


@dataclass(frozen=True, slots=True)
class _Service:
    """What is behind an address, and what it has raised: a module may take that for an error of the network's, and live on."""

    answers: Callable[[Request], Answer | tuple[int, dict[str, Any]]]
    slips: list[Exception]

    def answer(self, request: Request) -> Answer | tuple[int, dict[str, Any]]:
        """Answers a request."""
        try:
            return _checked(self.answers(request), request)
        except OSError:  # As good as an answer: so a contract breaks a connection.
            raise
        except Exception as error:
            self.slips.append(error)
            raise


def _checked(found: object, request: Request) -> Answer | tuple[int, dict[str, Any]]:
    if not isinstance(found, Answer | tuple):
        raise UsageError(f"found {found!r} for {request.method} {request.path}, expected an Answer(...)")
    return cast("Answer | tuple[int, dict[str, Any]]", found)


class Subject(Generic[S]):
    """What each process makes for itself, of a class or a function that it has imported.

    Args:
        run: The schedule, which knows what process is running.
        imported: What that process has imported.
        kind: The class or the function.
        args: What it is given.
        options: What it is given by name.
    """

    def __init__(
        self, run: Run, imported: Callable[[], Imports], kind: Callable[..., S], args: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        self.parts = (kind, args, options)
        self._run = run
        self._imported = imported
        self._made: dict[int, S] = {}

    def __call__(self) -> S:
        """The one of the process that is running."""
        process = self._run.current().process
        if process not in self._made:
            (kind, args, options), own = self.parts, self._imported().own
            self._made[process] = own(kind)(*map(own, args), **{name: own(value) for name, value in options.items()})
        return self._made[process]


@dataclass(frozen=True, slots=True)
class Mishap:
    """A fault that has struck.

    Attributes:
        worker: Whom, by name.
        fault: Its name.
        kind: Of what effect.
        had_asked: Whether that worker had sent a request before, whatever else it was doing at once.
    """

    worker: str
    fault: str
    kind: str
    had_asked: bool


@dataclass(frozen=True, slots=True)
class Recovery:
    """What the worker that clears up does, and how long it waits before each time."""

    task: Callable[[], object] | None = None
    waits_s: tuple[float, ...] = (60.0,) * 12


class World:
    """The surroundings of one schedule.

    Args:
        run: The schedule.
        redis: The proof's own server; none if nothing is to be run.
        mood: The provider's mood in this schedule.
        postgres: The proof's own Postgres, if one is wanted.

    Attributes:
        home: The module that the contract is written in.
        spare: What the processes of earlier schedules have imported.
        tasks: What the workers do: the first one the first, and so on, over and over.
        must_end: Whether going on for ever breaks the contract.
        looks: What is looked at in the end, for the invariants.
        called: What is called under load, with the number of the call.
        ahead_s: How far each worker's wall clock runs ahead of the true one.
        must_happen: What must have happened in some schedule, if the contract says what.
        slips: What was raised by what the contract has put behind an address.
        has_told_history: Whether somebody has asked for the history.
    """

    def __init__(self, run: Run, redis: RedisServer | None, mood: str, postgres: Postgres | None = None) -> None:
        self._run = run
        run.server = redis
        self._server = redis
        self._sql = postgres
        self._mood = mood
        self._hosts: dict[str, Callable[[], Wire]] = {REDIS_HOST: lambda: RedisWire(run, self._redis)}
        self._wires: list[Wire] = []
        self._own_loops: dict[int, ProcessLoop] = {}
        self._imported: dict[int, Imports] = {}
        run.entered, run.left = self._enter, self._leave
        self.home = ""
        self.spare: Spare = {}
        self.moods: tuple[str, ...] = ("ok",)
        self.setup: list[Callable[[], object]] = []
        self.tasks: tuple[Callable[[], object], ...] = ()
        self.recovery = Recovery()
        self.must_end = False
        self.looks: list[Callable[[], object]] = []
        self.called: Callable[[int], object] | None = None
        self.ahead_s: tuple[float, ...] = ()
        self.slips: list[Exception] = []
        self.wants_postgres = False
        self.schema: str | Callable[[], object] = ""
        self.invariants: list[Invariant] = []
        self.must_happen: list[Sometimes] = []
        self.has_told_history = False

    @property
    def now_s(self) -> float:
        """Virtual time, in seconds from the beginning of the schedule."""
        return self._run.now_s

    @property
    def redis_url(self) -> str:
        """The address of a Redis that holds nothing when a schedule begins."""
        return f"redis://{REDIS_HOST}:6379/0"

    @property
    def postgres_dsn(self) -> str:
        """The address of a Postgres that holds what `given_schema` has laid out when a schedule begins."""
        self.wants_postgres = True
        host, port = self._sql.listens_at if self._sql is not None else ("127.0.0.1", 5432)  # Only looked at, if there is none.
        return f"postgresql://{USER}@{host}:{port}/{DATABASE}"

    def given_schema(self, schema: str | Callable[[], object]) -> None:
        """What lies in Postgres when a schedule begins; carried out once.

        Args:
            schema: Statements, or a function that lays tables out with a client of the team's own.
        """
        self.wants_postgres, self.schema = True, schema

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Asks Postgres something, for an invariant; no effect of any worker."""
        return self._postgres.server.rows(statement)

    def redis(self, *command: str | bytes | int) -> Any:
        """Asks the server something, for an invariant; no effect of any worker."""
        return self._redis.value(*command)

    def provider(
        self, url: str, *, moods: tuple[str, ...] = ("ok",), payment_of: Callable[[Request], str] | None = None
    ) -> Provider:
        """A provider behind an address. Every mood is tried.

        Args:
            url: Where the module sends its charges.
            moods: Of `ok`, `declines`, `declines once`, `declines 2 times` and so on.
            payment_of: Finds the payment in a request; by default a field of the JSON body with a usual name.
        """
        host = urlsplit(url).hostname
        if host is None:
            raise UsageError(f"no address of a provider: {url!r}")
        for mood in moods or ("",):
            check_mood(mood)
        self.moods = moods
        provider = Provider(self._mood, lambda: self.now_s, payment_of)
        service = self.outside(_Service(provider.answer, self.slips))
        self.serve(host, lambda: HttpWire(self._run, host, service.answer))
        return provider

    def http(self, url: str, answer: Callable[[Request], Answer]) -> None:
        """Puts an address under control at which something else than payments is done.

        Args:
            url: The address; all paths of its host are answered.
            answer: What comes back. It may depend on what was asked before.
        """
        host = urlsplit(url).hostname
        if host is None:
            raise UsageError(f"no address: {url!r}")
        service = self.outside(_Service(answer, self.slips))
        self.serve(host, lambda: HttpWire(self._run, host, service.answer))

    def awaited(self, made: object) -> object:
        """What a coroutine comes to; anything else as it is."""
        return self._whole(lambda: made)()

    def no_key_without_ttl(self, prefix: str = "") -> Invariant:
        """Every key that begins so expires by itself."""

        def broken() -> str | None:
            keys = [key for key in self.redis("KEYS", "*") if key.startswith(prefix.encode())]
            kept = sorted(key.decode(errors="replace") for key in keys if self.redis("PTTL", key) == -1)
            return f"{kept[0]} never expires" if kept else None

        return Invariant(f"every key{f' under {prefix}' if prefix else ''} expires", broken)

    def serve(self, host: str, wire: Callable[[], Wire]) -> None:
        """Puts a host under control.

        Args:
            host: Its name, as the module's clients know it.
            wire: Makes what stands behind a new connection to it.
        """
        self._hosts[host] = wire

    def outside(self, thing: S) -> S:
        """Something that is kept outside of the workers' processes, and whose methods they can call: a list of what they saw.

        What a task notes elsewhere, in a plain list say, is lost with its process when a violation is confirmed.
        """
        return self._run.outside(thing)

    def subject(self, kind: Callable[..., S], *args: Any, **options: Any) -> Callable[[], S]:
        """A function that gives each worker an instance of its own, of an import of its own, as processes have."""
        return Subject(self._run, self._imports, kind, args, options)

    def given(self, task: Callable[[], object]) -> None:
        """What has happened before the workers begin. Nothing goes wrong in it."""
        self.setup.append(self._whole(task))

    def run(self, *tasks: Callable[[], object]) -> None:
        """What the workers do, once: all of them the same task, or each its own. A coroutine is run in an event loop."""
        self.tasks = tuple(self._whole(task) for task in tasks)

    def load(self, call: Callable[[int], object]) -> None:
        """What is called under load, with the number of the call from 0. Raising is failing. Schedules do without it."""
        self.called = call

    def recover(
        self,
        task: Callable[[], object] | None = None,
        *,
        every_s: float = 60.0,
        times: int = 12,
        waits_s: Sequence[float] | None = None,
    ) -> None:
        """What is done afterwards by a worker that nothing happens to, to clear up.

        Args:
            task: What it does; what the first worker did, unless told otherwise.
            every_s: How long it waits before each time.
            times: How often it does it.
            waits_s: How long it waits before each time, if not always the same.
        """
        waits = tuple(waits_s) if waits_s is not None else (every_s,) * times
        self.recovery = Recovery(self._whole(task) if task is not None else None, waits)

    def clocks(self, *, ahead_s: tuple[float, ...]) -> None:
        """How far the wall clock of each worker runs ahead of the true one, the servers'; behind it, if it is negative."""
        self.ahead_s = ahead_s

    def look(self, task: Callable[[], object]) -> None:
        """What is looked at when all is done, by a worker that nothing happens to, so that an invariant can tell."""
        self.looks.append(self._whole(task))

    def effect(self, effect: Effect, perform: Callable[[], object]) -> None:
        """Something that the contract itself does, whose order matters: goes into what a lock guards, say."""
        self._run.effect(effect, perform, lambda _: "")

    def wait(self, seconds: float) -> None:
        """Lets virtual time pass for the worker that calls this."""
        self._run.wait(seconds, Effect("wait", f"wait {seconds:g} s"))

    @property
    def history(self) -> Sequence[Step]:
        """What has happened so far. An invariant that asks for no more than what went wrong is decided sooner by `mishaps`."""
        self.has_told_history = True
        return self._run.steps

    @property
    def mishaps(self) -> tuple[Mishap, ...]:
        """What has gone wrong so far, in order.

        Where a worker is killed right after an effect, that may be told as before its next one, which comes to the same.
        """
        found, asked = list[Mishap](), set[str]()
        for step in self._run.steps:
            if step.fault:
                found.append(Mishap(step.worker, step.fault, step.effect.kind, step.worker.partition(".")[0] in asked))
            if step.effect.kind == "http":
                asked.add(step.worker.partition(".")[0])
        return tuple(found)

    @property
    def imported(self) -> Iterable[Imports]:
        """What each process has imported."""
        return self._imported.values()

    @property
    def what_follows(self) -> list[object]:
        """What processes are still to do when the workers are done; and who is next."""
        return [self.recovery.task or self.tasks[0], self.looks, len(self._run.workers)]

    @property
    def what_is_asked(self) -> list[object]:
        """What is still to be called then in the contract's own process."""
        return [[one.broken for one in self.invariants], self._hosts]

    def check_end(self) -> None:
        """Demands that every worker comes to an end: one that goes on and on, or waits for ever, breaks the contract."""
        self.must_end = True

    def check(self, *invariants: Invariant) -> None:
        """What must hold at the end."""
        self.invariants += invariants

    def sometimes(self, says: str, seen: Callable[[], bool], *, advice: str = "") -> None:
        """What must have happened when the workers are done, in one schedule at least: otherwise the answer is unknown.

        Unless this is said, it is that they change something: what only reads has to say what it must have seen.

        Args:
            says: What must have happened, for people.
            seen: Whether it has, in this schedule.
            advice: What to do if it never has.
        """
        self.must_happen.append(Sometimes(f"it never happened that {says}", seen, advice))

    def _whole(self, task: Callable[[], object]) -> Callable[[], object]:
        """The task; and if it is a coroutine, or makes one, that too, in an event loop of its process."""

        def whole() -> object:
            made = self._imports().own(task)()
            if not inspect.iscoroutine(made):
                return made
            process = self._run.current().process
            if process not in self._own_loops:
                self._own_loops[process] = ProcessLoop()
                self._run.keep(self._own_loops[process])
            return self._own_loops[process].run(made)

        return whole

    def _imports(self) -> Imports:
        """What the process of the worker that is running has imported."""
        process = self._run.current().process
        if process not in self._imported:
            there = self.home, process
            self._imported[process] = self.spare.pop(there) if there in self.spare else Imports(self.home)
            self._imported[process].enter()
        return self._imported[process]

    def _enter(self, worker: Worker) -> None:
        if (imports := self._imported.get(worker.process)) is not None:
            imports.enter()

    def _leave(self, worker: Worker) -> None:
        if (imports := self._imported.get(worker.process)) is not None:
            imports.leave()

    def wire(self, address: Any) -> Wire:
        """A new connection for a client."""
        if self._sql is not None and address == self._sql.address:
            wire: Wire = PostgresWire(self._run, self._sql.server)
            self._wires.append(wire)
            return wire
        host = self._host(address)
        if host not in self._hosts:
            raise self._run.uncontrolled(f"a connection to {address!r}, which the contract does not know")
        if self._run.refuses(_connecting(host)):
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        wire = self._hosts[host]()
        self._wires.append(wire)
        return wire

    def close(self) -> None:
        """Ends all connections, as the end of a process does."""
        for wire in self._wires:
            wire.close()
        for process, imports in self._imported.items():
            if imports.forget():
                self.spare[self.home, process] = imports
        if self._sql is not None:
            self._sql.forget()

    def numbered(self, host: str) -> str | None:
        """The number that a controlled host goes by."""
        name = self._host((host,))
        if self._sql is not None and self._sql.address is not None and host == self._sql.address[0]:
            return host
        return f"240.0.0.{list(self._hosts).index(name) + 1}" if name in self._hosts else None

    @property
    def _postgres(self) -> Postgres:
        if self._sql is None:
            raise UsageError("a contract asks for Postgres where nothing is run")
        return self._sql

    @property
    def _redis(self) -> RedisServer:
        if self._server is None:
            raise UsageError("a contract asks the server while it sets the world up; expected it in a task or an invariant")
        return self._server

    def _host(self, address: Any) -> str:
        name = str(cast("tuple[object, ...]", address)[0]) if isinstance(address, tuple) else str(address)
        prefix, _, number = name.rpartition(".")
        if prefix == "240.0.0" and 0 < int(number) <= len(self._hosts):
            return list(self._hosts)[int(number) - 1]
        return name


def _connecting(host: str) -> Effect:
    name = frozenset({f"http:{host}"})
    return Effect("redis", "connect") if host == REDIS_HOST else Effect("http", f"connect to {host}", name, name)
