"""Who runs programs: this process, a pool of processes, or a Dask cluster.

All three are executors as `concurrent.futures` knows them, with one thing added: what is to be called there. Programs are
handed out in their order and taken back in it, so that nobody has to know who was quicker.
"""

from __future__ import annotations

import multiprocessing
import time
from collections import deque
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from interlock.core.errors import UsageError, WorldError
from interlock.prove import apart
from interlock.prove.bench import Bench, bench
from interlock.prove.watchdog import LATE_S, where_it_stands

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from interlock.prove.contract import Contract
    from interlock.prove.programs import Program
    from interlock.prove.proof import Findings

P = ParamSpec("P")
T = TypeVar("T")

DASK_TIMEOUT_S = 10.0
# A program with a fault has a few schedules of two milliseconds each; handing it to another process costs one.
_POOL_BATCH, _DASK_BATCH = 8, 64


@dataclass(frozen=True, slots=True)
class Crew:
    """Whoever runs programs.

    Attributes:
        executor: Where they run.
        moods: What to call there for the provider's moods in the contract.
        carry_out: What to call there with programs, and the seconds that are left for them.
        wide: How many calls can go on at once.
        batch: How many programs are worth a call.
    """

    executor: Executor
    moods: Callable[[], tuple[str, ...]]
    carry_out: Callable[[tuple[Program, ...], float], list[Findings]]
    wide: int = 1
    batch: int = 1

    def asked_for_moods(self, ends_at_s: float) -> tuple[str, ...]:
        """The provider's moods.

        Raises:
            TimeoutError: If the time is over, and there is no answer.
        """
        return _result(self.executor.submit(self.moods), ends_at_s)

    def in_order(self, programs: Iterable[Program], ends_at_s: float, count: int | None = None) -> Generator[Findings]:
        """What programs have shown, in their order. Whoever stops asking ends what has not begun.

        Args:
            programs: Which.
            ends_at_s: When the time is over.
            count: How many there are, if that is known: a few are handed out so that everybody has some.

        Raises:
            TimeoutError: If the time is over, and there is no answer.
        """
        programs, is_over = iter(programs), False
        size = self.batch if count is None else max(1, min(self.batch, count // self.wide))
        going: deque[Future[list[Findings]]] = deque()
        try:
            while not is_over or going:
                while not is_over and len(going) < self.wide + (self.wide > 1):
                    batch = tuple(islice(programs, size))
                    is_over = len(batch) < size
                    if batch:
                        going.append(self.executor.submit(self.carry_out, batch, ends_at_s - time.monotonic()))
                if going:
                    yield from _result(going.popleft(), ends_at_s)
        finally:
            for future in going:
                future.cancel()


def _result(future: Future[T], ends_at_s: float) -> T:
    try:
        return future.result(max(0.0, ends_at_s - time.monotonic()) + LATE_S)
    except TimeoutError:
        raise TimeoutError(where_it_stands()) from None
    except BrokenExecutor as error:
        raise WorldError(f"a process that ran schedules has ended: {error}") from error


class Here(Executor):
    """Calls at once, in this process, so that a debugger can follow."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Calls, and has the answer."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - whoever asks for the answer is told.
            future.set_exception(error)
        return future


@contextmanager
def this_process(contract: Contract, after_each: Callable[[], None] = lambda: None) -> Generator[Crew]:
    """This process alone."""
    with bench(contract) as own:
        own.after_each = after_each
        yield Crew(Here(), own.moods, partial(_on, own))


@contextmanager
def process_pool(contract: Contract, jobs: int) -> Generator[Crew]:
    """So many processes, forked from this one, each with a Redis of its own."""
    context = multiprocessing.get_context("fork")
    is_over = context.RawValue("b", 0)
    pool = ProcessPoolExecutor(jobs, context, initializer=_own.remember, initargs=(contract, lambda: bool(is_over.value)))
    comes_back = True
    try:
        yield Crew(pool, _own_moods, _own_carry_out, jobs, _POOL_BATCH)
    except TimeoutError:
        comes_back = False
        raise
    finally:
        is_over.value = 1
        pool.shutdown(wait=comes_back, cancel_futures=True)


@contextmanager
def dask_cluster(contract: Contract, address: str) -> Generator[Crew]:
    """The workers of a cluster. Each runs programs in another process, which finds the contract in the same file.

    Raises:
        WorldError: If the cluster does not answer, or has no workers.
        UsageError: If Dask is not installed.
    """
    try:
        from distributed import Client  # noqa: PLC0415 - an extra, and heavy.
    except ModuleNotFoundError as error:
        raise UsageError(f"{error.name} is not installed; --dask needs it: pip install 'interlock[dask]'") from error
    where = apart.Address.of(contract)
    try:
        client: Any = Client(address, timeout=DASK_TIMEOUT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise WorldError(f"no Dask scheduler at {address}: {error}") from error
    with client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise WorldError(f"the Dask scheduler at {address} has no workers")
        executor = client.get_executor(pure=False, retries=0)
        yield Crew(executor, partial(apart.moods, where), partial(apart.carried_out, where), threads, _DASK_BATCH)


class _Own:
    """What a process of the pool has: the contract that it was told of, and a bench, once it is needed."""

    def __init__(self) -> None:
        self._contract: Contract | None = None
        self._is_over: Callable[[], bool] = lambda: False
        self._bench: Bench | None = None

    def remember(self, contract: Contract, is_over: Callable[[], bool]) -> None:
        """Notes what will be asked for; whatever fails then has somebody to tell it to."""
        self._contract, self._is_over, self._bench = contract, is_over, None

    def bench(self) -> Bench:
        """This process's bench. Its Redis ends with the process."""
        if self._bench is None:
            assert self._contract is not None  # noqa: S101 - the pool has told.
            stack = ExitStack()
            self._bench = stack.enter_context(bench(self._contract))
            self._bench.is_over = self._is_over
            Finalize(None, stack.close, exitpriority=1)
        return self._bench


_own = _Own()


def _own_moods() -> tuple[str, ...]:
    return _own.bench().moods()


def _own_carry_out(programs: tuple[Program, ...], left_s: float) -> list[Findings]:
    return _on(_own.bench(), programs, left_s)


def _on(own: Bench, programs: tuple[Program, ...], left_s: float) -> list[Findings]:
    """What programs have shown, up to the first after which nothing counts."""
    return own.in_turn(programs, time.monotonic() + left_s)
