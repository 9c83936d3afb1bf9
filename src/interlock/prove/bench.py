"""Where schedules run: one process's Redis, network and clock, kept from schedule to schedule."""

from __future__ import annotations

import gc
import math
import sys
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import metadata
from itertools import zip_longest
from typing import TYPE_CHECKING

from interlock.core.errors import UsageError
from interlock.prove.clock import virtual_time
from interlock.prove.effect import Effect, Uncontrolled, told_apart
from interlock.prove.endless import Patience
from interlock.prove.faults.crash_after import CrashAfter
from interlock.prove.one_core import one_core
from interlock.prove.onward import Onward, counted_from, merge
from interlock.prove.passers_by import Passers, known_clients_seen
from interlock.prove.proof import Findings, Violation
from interlock.prove.randomness import controlled_randomness
from interlock.prove.remains import digest, kept
from interlock.prove.scheduler import Run, Stuck
from interlock.prove.search import Redundant
from interlock.prove.sources import loaded_sources
from interlock.prove.stowaways import stowaways_seen
from interlock.prove.vacuity import reach_out, something_changes
from interlock.prove.whereabouts import nowhere
from interlock.prove.wire.postgres_protocol import PostgresError
from interlock.prove.wire.postgres_server import Postgres
from interlock.prove.wire.redis_server import running_redis
from interlock.prove.wire.sockets import controlled_sockets
from interlock.prove.worker import CLEARING_UP, LANES, LOOKING, SETTING_UP, Crashed, letter
from interlock.prove.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from interlock.prove.contract import Contract
    from interlock.prove.imports import Imports, Spare
    from interlock.prove.programs import Program
    from interlock.prove.randomness import Chance
    from interlock.prove.vacuity import Sometimes
    from interlock.prove.wire.network import Wire
    from interlock.prove.wire.postgres_server import PostgresServer
    from interlock.prove.wire.redis_server import RedisServer
    from interlock.prove.worker import Worker

EFFECTS_MAX = 400
_real_monotonic = time.monotonic  # While a schedule runs, the name stands for virtual time.
GIVEN_EFFECTS_MAX = 100_000  # The migrations of a large project, or rows for a long list.


def _nowhere(_: Effect) -> bool:
    """Where nobody wants to know what could follow."""
    return False


def _untold(_: Effect) -> None:
    """What the worker that clears up does is in one order."""


class _Cut(Exception):  # noqa: N818 - the end of the time, not a mistake.
    """The time is over in the middle of a schedule."""


@dataclass(slots=True)
class _Network:
    """The network of whichever schedule is running."""

    world: World | None = None
    schedule: Run | None = None

    def run(self) -> Run | None:
        return self.schedule

    def chance(self) -> Chance | None:
        run = self.schedule
        return None if run is None else run.chance()

    def wire(self, address: object) -> Wire:
        assert self.world is not None  # noqa: S101 - a schedule is running.
        return self.world.wire(address)

    def numbered(self, host: str) -> str | None:
        return self.world.numbered(host) if self.world is not None else None


@dataclass(slots=True)
class Bench:
    """Runs the schedules of one contract.

    Args:
        contract: Whose.
        redis: The server that they run on.
        after_each: Called after each schedule.
        is_over: Whether nobody asks for more.
        postgres: The database that they run on, if they want one.
    """

    contract: Contract
    redis: RedisServer
    after_each: Callable[[], None] = lambda: None
    is_over: Callable[[], bool] = lambda: False
    _network: _Network = field(default_factory=_Network)
    _passers: Passers = field(default_factory=Passers)
    _spare: Spare = field(default_factory=dict[tuple[str, int], "Imports"])
    postgres: Postgres | None = None
    _firsts: dict[object, tuple[list[tuple[str, str]], bool]] = field(
        default_factory=dict[object, "tuple[list[tuple[str, str]], bool]"]
    )
    _happened: set[str] = field(default_factory=set[str])  # It is not looked for again.
    _ends_at_s: float = math.inf
    _cleared: set[bytes] = field(default_factory=set[bytes])  # After what is left so, all has come to what it should.

    def moods(self) -> tuple[str, ...]:
        """The provider's moods in this contract.

        Raises:
            UsageError: If the contract cannot be set up, or holds nothing that could break.
        """
        return self._arranged(Run(_first), "ok").moods

    def servers(self) -> list[RedisServer | PostgresServer]:
        """The servers that run."""
        databases = [self.postgres.server] if self.postgres is not None and self.postgres.address is not None else []
        return [self.redis, *databases]

    def fewest_workers(self) -> int:
        """How many workers there are at least: each task of the contract has one."""
        return len(self._arranged(Run(_first), "ok").tasks)

    def in_turn(self, programs: tuple[Program, ...], ends_at_s: float) -> list[Findings]:
        """Carries programs out up to the first after which nothing counts."""
        findings: list[Findings] = []
        for program in programs:
            findings.append(self.carried_out(program, ends_at_s))
            if findings[-1].is_end:
                break
        return findings

    def carried_out(self, program: Program, ends_at_s: float) -> Findings:
        """Runs every schedule of a program until one breaks the contract, or the time is over."""
        found, search = Findings(), program.search()
        self._ends_at_s = ends_at_s
        while not found.is_end:
            found.schedules += 1
            try:
                self._check_time()
                found.violation = self.schedule(program, search.choose, found, did=search.did)
            except _Cut:
                found.is_cut, found.schedules = True, found.schedules - 1
                break
            except (Uncontrolled, Stuck) as error:
                found.lost = str(error)
            self.after_each()
            if not search.advance():
                break
            if found.schedules == program.most:
                found.is_partial = True
                break
        found.sources = loaded_sources()
        return found

    def schedule(  # noqa: PLR0913 - each has a name and a default.
        self,
        program: Program,
        choose: Callable[[list[Worker]], Worker],
        found: Findings | None = None,
        *,
        did: Callable[[Effect], None] = _untold,
        make: Callable[..., Run] = Run,
        where: Callable[[], str] = nowhere,
    ) -> Violation | None:
        """Runs one schedule.

        Args:
            program: What is fixed.
            choose: Picks the next of the workers that can go on.
            found: Is told what was seen.
            did: Is told of each effect when it is done, with what it has really touched.
            make: Makes the run: in one process, unless told otherwise.
            where: Tells which of the user's lines led to an effect.
        """
        self.redis.clear()
        run = make(self._first_in_time, time_passes=self._pass_time, where=where)
        world = self._arranged(run, program.mood)
        world.spare = self._spare if make is Run else {}  # Real processes import everything themselves.
        if world.wants_postgres:
            self._fill_database(world)
        if world.must_end:
            run.further = Patience(run, self._changes).more
        onward = Onward(run, choose, did, partial(kept, world), self._may_die_after if found and not program.plan else _nowhere)
        choices: list[int] = []
        before_recovery: int | None = None

        def chosen(ready: list[Worker]) -> Worker:
            self._check_time()
            worker = onward.choose(ready)
            choices.append(worker.index - first)
            return worker

        try:
            with self._on_stage(world, run):
                self._go_up_to_the_workers(run, world)
                first, have_changed = len(run.workers), self._watched(run)
                run.choose, run.plan = chosen, {(worker + first, place): fault for (worker, place), fault in program.plan}
                run.did = onward.did
                is_whole = _went(run, _tasks(world, program.workers), world.ahead_s)
                if found is not None:
                    awaited = world.must_happen or [something_changes(have_changed)]
                    self._take_down(found, run, first, awaited if is_whole else [])
                    merge(found.follows, counted_from(first, onward.found))
                if not is_whole:
                    return None
                self._check_slips(run)
                before_recovery, run.did = len(run.steps), _untold
                left = self._left(program, found, world)
                failed = "" if (is_known := left in self._cleared) else self._recover(run, world)
        except Stuck as stuck:
            _check_control(run)
            if not world.must_end:
                raise
            return _endless(stuck, program, choices, run, before_recovery)
        _check_control(run)
        self._check_again(program, found, run, is_known=is_known)
        broken = () if is_known else self._broken(program, found, run.workers[first:], world, failed)
        self._cleared |= {left} if left is not None and not (broken or world.has_told_history) else set[bytes]()
        return Violation(broken, program, tuple(choices), tuple(run.steps), before_recovery) if broken else None

    def _broken(
        self, program: Program, found: Findings | None, workers: list[Worker], world: World, failed: str
    ) -> tuple[str, ...]:
        """How the invariants do not hold.

        Raises:
            Uncontrolled: If they do only because nothing was done.
        """
        broken = tuple(told for invariant in world.invariants if (told := self.contract.asked(invariant)))
        if found is not None:
            found.asks_history |= world.has_told_history
        if not broken and (failed := failed or _fails_by_itself(program, found, workers, world)):
            raise Uncontrolled(f"the task fails by itself: {failed}")
        return broken

    def _left(self, program: Program, found: Findings | None, world: World) -> bytes | None:
        """What tells what the workers have left from all else; nothing, if it cannot be told, or is not wanted.

        The first schedule of what has no fault is always run to its end, and held against itself.
        """
        world.has_told_history = False
        if found is None or (found.schedules <= 1 and not program.plan and program.sample is None):
            return None
        if not (world.recovery.waits_s or world.looks):
            return None  # Nobody would clear up.
        contents = [server.contents for server in self.servers()]
        return digest(world, [one for one in contents if one is not None]) if None not in contents else None

    def _may_die_after(self, effect: Effect) -> bool:
        return self.contract.faults > 0 and self.contract.strikes(CrashAfter(), effect)

    def _check_time(self) -> None:
        """Ends a schedule in the middle, if the time is over: one may take seconds, on a machine that does other things too.

        Raises:
            _Cut: If it is.
        """
        if _real_monotonic() > self._ends_at_s or self.is_over():
            raise _Cut

    def _first_in_time(self, ready: list[Worker]) -> Worker:
        self._check_time()
        return ready[0]

    def _watched(self, run: Run) -> Callable[[], bool]:
        """Tells later whether anything outside of the workers has been changed from now on; if that is still the question."""
        begun, before = len(run.steps), 0 if self._happened else self._changes()
        return lambda: self._changes() != before or reach_out(run.steps[begun:])

    def _changes(self) -> int:
        return sum(server.changes for server in self.servers())

    def _take_down(self, found: Findings, run: Run, first: int, awaited: Sequence[Sometimes]) -> None:
        """Adds what the workers of a schedule have shown, and what of that which must happen in some has happened in it.

        Workers count from `first`.
        """
        for (worker, place), effect in run.seen().items():
            if worker % LANES >= first:
                found.places.setdefault((worker - first, place), {})[effect] = None
        found.struck += bool(run.struck)
        found.notes |= run.notes
        for one in awaited:
            found.awaited[one.never] = one.advice
            if one.never not in self._happened and one.seen():
                self._happened.add(one.never)
                found.happened.add(one.never)

    def _pass_time(self, seconds: float) -> None:
        """Virtual time has gone on, for the servers too."""
        self.redis.pass_time(seconds)
        if self.postgres is not None and self.postgres.address is not None:
            self.postgres.server.pass_time(seconds)

    def _fill_database(self, world: World) -> None:
        """Makes the database what each schedule begins with; the first time, by laying its tables out."""
        assert self.postgres is not None  # noqa: S101 - schedules are run.
        server, schema = self.postgres.server, world.schema
        server.lay(getattr(schema, "__code__", schema), lambda: self._lay_out(server, schema))
        server.clear()

    def _lay_out(self, server: PostgresServer, schema: str | Callable[[], object]) -> None:
        if isinstance(schema, str):
            try:
                server.rows(schema)
            except PostgresError as error:
                raise UsageError(f"world.given_schema fails: {error}") from error
            return
        run = Run(_first, limit=GIVEN_EFFECTS_MAX)
        world = self._arranged(run, "ok")
        with self._on_stage(world, run):
            run.go([schema])
        if (failed := run.workers[0].error) is not None:
            raise UsageError(f"world.given_schema fails: {type(failed).__name__}: {failed}") from failed

    def _check_again(self, program: Program, found: Findings | None, run: Run, *, is_known: bool) -> None:
        """Holds the first schedule of a program against that of an earlier one which begins in the same way.

        Args:
            program: Which.
            found: What it has shown.
            run: The schedule.
            is_known: Whether nobody had to clear up in it.

        Raises:
            Uncontrolled: If it has come to other effects.
        """
        if found is None or found.schedules > 1 or program.sample is not None:
            return
        now = [(f"{step.worker} {step.effect.said}", step.effect.exactly) for step in run.steps]
        place = program.mood, program.workers, program.plan
        before, was_known = self._firsts.get(place, (now, is_known))
        if was_known or place not in self._firsts:
            self._firsts[place] = now, is_known
        shared = min(len(before), len(now)) if was_known or is_known else None
        if before[:shared] != now[:shared]:
            pairs = zip_longest(before[:shared], now[:shared], fillvalue=("nothing", ""))
            first, second = told_apart(*next((one, other) for one, other in pairs if one != other))
            raise Uncontrolled(f"the module is not deterministic: one schedule, run twice, came to `{first}` and to `{second}`")

    def _recover(self, run: Run, world: World) -> str:
        """One more worker, that nothing happens to, does what is left: only what stays wrong then is wrong.

        Answers with the error in which it ended last, if it did. After an error it begins anew, as a process would.
        """
        run.choose, run.plan, run.is_cleared_up = self._first_in_time, {}, True
        task, failed = world.recovery.task or world.tasks[0], ""
        turns = _Turns(run, list(world.recovery.waits_s))
        outside = run.outside(turns)

        def clear_up() -> None:
            while (wait_s := outside.take()) is not None:
                run.wait(wait_s, Effect("wait", "the next time to clear up"))
                task()

        while turns.waits_s:
            failed = self._alone(run, clear_up, CLEARING_UP)
        for look in world.looks:
            if blind := self._alone(run, look, LOOKING):
                raise Uncontrolled(f"nobody can look at what has become of it: {blind}")
        return failed

    def _alone(self, run: Run, task: Callable[[], object], name: str) -> str:
        run.limit = len(run.steps) + EFFECTS_MAX
        run.go([task], [name])
        error = run.workers[-1].error
        if error is None:
            return ""
        self.contract.check_own(error)
        return f"{type(error).__name__}: {error}"

    def _arranged(self, run: Run, mood: str) -> World:
        world = World(run, self.redis, mood, self.postgres)
        self.contract.set_up(world)
        return world

    def _check_slips(self, run: Run) -> None:
        """A mistake of the contract is told as such, and not as what comes of it; nor as what comes of a fault."""
        for worker in () if run.plan else run.workers:
            if worker.error is not None:
                self.contract.check_own(worker.error)

    def _go_up_to_the_workers(self, run: Run, world: World) -> None:
        """Does what was before, however much it is: how much the workers may do does not depend on it."""
        run.limit = GIVEN_EFFECTS_MAX
        try:
            run.go(world.setup, [SETTING_UP] * len(world.setup))
        except Stuck as stuck:
            raise run.uncontrolled(f"world.given does not end: {stuck}") from stuck
        self._check_setup(run)
        run.limit = len(run.steps) + EFFECTS_MAX

    def _check_setup(self, run: Run) -> None:
        for worker in run.workers:
            if (error := worker.error) is not None:
                self.contract.check_own(error)
                raise UsageError(f"world.given fails: {type(error).__name__}: {error}") from error

    @contextmanager
    def _on_stage(self, world: World, run: Run) -> Generator[None]:
        gc.disable()  # It would run the finalizers of one schedule within another, at moments that nobody has chosen.
        self._network.world, self._network.schedule = world, run
        self._passers.begin()
        try:
            yield
            if where := self._passers.new(self.postgres.address if self.postgres is not None else None):
                run.uncontrolled(
                    f"a connection to {where} that no socket of Python has made: a client in C, which passes by this guard"
                )
        finally:
            run.end()
            self._network.world, self._network.schedule = None, None
            world.close()
            gc.enable()
            if world.slips:
                raise self.contract.slipped(world.slips[0])


@dataclass(slots=True)
class _Turns:
    """How long to wait before each time that there is still to clear up."""

    run: Run
    waits_s: list[float]

    def take(self) -> float | None:
        """The next, if there is one; as many effects are allowed as the first time."""
        self.run.limit = len(self.run.steps) + EFFECTS_MAX
        return self.waits_s.pop(0) if self.waits_s else None


@contextmanager
def bench(contract: Contract) -> Generator[Bench]:
    """A bench for as long as the block lasts.

    Raises:
        WorldError: If there is no Redis on this machine.
    """
    network = _Network()
    with (
        one_core(),
        running_redis() as redis,
        controlled_sockets(network),
        virtual_time(network.run),
        controlled_randomness(network.chance),
        stowaways_seen(network.run),
        known_clients_seen(network.run),
        _versions_kept(),
        _silence_of_the_dead(),
        closing(Postgres(network)) as postgres,  # It changes some of what the others have changed, once it is wanted.
    ):
        yield Bench(contract, redis, _network=network, postgres=postgres)


@contextmanager
def _silence_of_the_dead() -> Generator[None]:
    """What a crashed worker's destructors would do is not done, and nothing to tell about."""
    real = sys.unraisablehook

    def told(unraisable: sys.UnraisableHookArgs) -> None:
        if not isinstance(unraisable.exc_value, Crashed):
            real(unraisable)

    sys.unraisablehook = told
    try:
        yield
    finally:
        sys.unraisablehook = real


@contextmanager
def _versions_kept() -> Generator[None]:
    """Versions of packages are read from disk once: redis-py asks for its own with each client, which takes 0.4 ms."""
    real = metadata.version
    metadata.version = cache(real)
    try:
        yield
    finally:
        metadata.version = real


def _endless(stuck: Stuck, program: Program, choices: Sequence[int], run: Run, before_recovery: int | None) -> Violation:
    """What breaks a contract that demands an end: the workers never come to theirs, or the one that clears up does not.

    Raises:
        Uncontrolled: If control was lost meanwhile.
    """
    if run.lost:
        raise Uncontrolled(run.lost) from stuck
    steps = tuple(run.steps)
    at = len(steps) if before_recovery is None else before_recovery
    return Violation((str(stuck),), program, tuple(choices), steps, at, is_cleared_up=before_recovery is not None)


def _fails_by_itself(program: Program, found: Findings | None, workers: list[Worker], world: World) -> str:
    """The error in which every worker ends in the plainest schedule of all: where nothing is done, nothing can break."""
    if found is None or found.schedules > 1 or program.plan or program.mood != world.moods[0]:
        return ""
    errors = [worker.error for worker in workers if worker.name not in {CLEARING_UP, LOOKING}]
    return "" if None in errors else f"{type(errors[0]).__name__}: {errors[0]}"


def _first(ready: list[Worker]) -> Worker:
    return ready[0]


def _went(run: Run, tasks: list[Callable[[], object]], ahead_s: Sequence[float]) -> bool:
    """Runs the workers; tells whether to their end, or only until all that could follow was tried elsewhere.

    Raises:
        Uncontrolled: If control was lost meanwhile, whatever came of it.
    """
    try:
        run.go(tasks, [letter(index) for index in range(len(tasks))], ahead_s=ahead_s)
    except (Redundant, Stuck) as error:
        if run.lost:
            raise Uncontrolled(run.lost) from error
        if isinstance(error, Stuck):
            raise
        return False
    return True


def _check_control(run: Run) -> None:
    """Holds that control was never lost, whatever came of it.

    Raises:
        Uncontrolled: If it was.
    """
    if run.lost:
        raise Uncontrolled(run.lost)


def _tasks(world: World, workers: int) -> list[Callable[[], object]]:
    """A task for each worker."""
    return [world.tasks[worker % len(world.tasks)] for worker in range(max(workers, len(world.tasks)))]
