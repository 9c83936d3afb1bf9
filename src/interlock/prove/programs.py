"""What is fixed while the order of effects varies; and the stages in which programs are run, the cheapest first.

A program is deterministic but for that order, and independent of every other program. So the programs of a stage may run
anywhere. Which of several violations is told is settled by their order here, so that the answer is the same for any number of
processes.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from interlock.core.counting import counted
from interlock.prove.bounded import Bounded
from interlock.prove.placing import placed
from interlock.prove.sampling import Sample
from interlock.prove.search import Search

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from interlock.prove.contract import Contract
    from interlock.prove.effect import Effect
    from interlock.prove.fault import Fault
    from interlock.prove.onward import Follows, Place
    from interlock.prove.worker import Worker

    Seen = Mapping[Place, Mapping[Effect, None]]
    Plan = tuple[tuple[Place, Fault], ...]

# With three workers and a few effects each, all interleavings are thousands; with two they are dozens.
WORKERS_IN_ALL_ORDERS = 2
SEED = 0
# Schedules of a program that are run without a preemption before anything else, because what they find is told most easily.
# More than two tasks that wait again and again have many of them: who goes on then is nobody's preemption.
FIRST_LOOK = 30


class Strategy(Protocol):
    """Picks the schedules of a program."""

    def choose(self, ready: list[Worker]) -> Worker:
        """Who goes on."""
        ...

    def did(self, effect: Effect) -> None:
        """Is told what the last choice came to, with all that it touched."""
        ...

    def advance(self) -> bool:
        """Makes ready for the next schedule; tells whether there is one."""
        ...


@dataclass(frozen=True, slots=True)
class Program:
    """What is fixed while the order of effects varies.

    Attributes:
        mood: The provider's mood.
        workers: How many workers there are.
        preemptions: How often a worker that could go on may be made to wait; none for as often as it takes.
        plan: The faults and where they strike: (worker, its n-th effect from 0).
        is_reduced: Whether only what races ask for is run, which within a bound may leave schedules out.
        sample: How one schedule is drawn instead.
        most: How many schedules are run at most; none for all of them.
    """

    mood: str
    workers: int
    preemptions: int | None
    plan: tuple[tuple[tuple[int, int], Fault], ...] = ()
    is_reduced: bool = False
    sample: Sample | None = None
    most: int | None = None

    def search(self) -> Strategy:
        """What goes through its schedules, from the beginning."""
        if self.sample is not None:
            return self.sample.begun()
        if self.preemptions is None or self.is_reduced:
            return Search(self.preemptions)
        return Bounded(self.preemptions)


@dataclass(frozen=True, slots=True)
class Stage:
    """Programs that are run before any of the next stage.

    Attributes:
        says: What is tried, for people.
        programs: In the order that settles which of several violations is told.
        is_whole: Whether everything that it says is tried.
        is_told: Whether it is worth a word in the answer: not if a later stage tries it again.
    """

    says: str
    programs: Iterable[Program]
    is_whole: bool = True
    is_told: bool = True


def stages(  # noqa: PLR0913 - each has a name, and but for three a default.
    contract: Contract,
    moods: tuple[str, ...],
    seen: Seen,
    *,
    follows: Callable[[], Follows | None] = lambda: None,
    tasks: int = 0,
    is_large: Callable[[], bool] = lambda: False,
    deep: bool = False,
) -> Iterator[Stage]:
    """The stages of a contract's proof.

    Args:
        contract: Whose.
        moods: The provider's.
        seen: What was seen at each place, when a stage begins; faults may strike there.
        follows: What their worker could do at once after each effect; nothing, if an invariant can tell faults apart that come
            to the same.
        tasks: How many the contract has: each has a worker, however few it says.
        is_large: Whether a program had more schedules than were run of it, when a stage begins. Then bounds on preemptions,
            which know no reduction, leave more to be run than all interleavings as far as they differ.
        deep: Whether to go on as long as there is time.
    """
    workers = contract.workers
    all_orders = f"all interleavings of {counted(max(workers, tasks), 'worker')}"
    is_small = workers <= WORKERS_IN_ALL_ORDERS
    for bound in (0, 1):  # The fewer switches a story has, the sooner it is found.
        if is_large():
            continue
        programs = [Program(mood, workers, bound, most=FIRST_LOOK if is_small and not bound else None) for mood in moods]
        yield Stage(f"{all_orders} with {_at_most(bound)}", programs, is_told=not is_small and bound > 0)
    if is_small:
        yield Stage(all_orders, [Program(mood, workers, None) for mood in moods])
    else:
        programs = [Program(mood, workers, 2, is_reduced=True) for mood in moods]
        yield Stage(f"{all_orders} with {_at_most(2)}, as far as races ask for it", programs, is_whole=False)
    at_once = follows() if is_small else None  # Of more workers, not all that may be done at a place was seen.
    faults = tuple(_single_faults(contract, seen, at_once))
    for most in _bounds_of_faults(contract, is_large=is_large()):
        yield _with_faults(all_orders, moods, workers, most, faults)
    if at_once is not None and follows() is None:
        left_out = tuple(plan for plan in _single_faults(contract, seen, None) if plan not in faults)
        for most in _bounds_of_faults(contract, is_large=is_large()):
            yield _with_faults(all_orders, moods, workers, most, left_out)
    if deep and not is_small:
        yield Stage(all_orders, [Program(mood, workers, None) for mood in moods])
    if deep:
        says = f"random orders and priorities with {counted(contract.faults, 'fault')} at most (seed {SEED})"
        yield Stage(says, _samples(contract, moods, seen), is_whole=False)


def _with_faults(all_orders: str, moods: tuple[str, ...], workers: int, most: int | None, plans: tuple[Plan, ...]) -> Stage:
    programs = [Program(mood, workers, most, plan) for mood in moods for plan in plans]
    within = f"in {all_orders}" if most is None else f"with {_at_most(most)}"
    return Stage(f"every single fault {within}", programs, is_told=most != 0)


def _bounds_of_faults(contract: Contract, *, is_large: bool) -> tuple[int | None, ...]:
    if not contract.faults:
        return ()
    return (None,) if is_large else (0, 1)


def _at_most(preemptions: int) -> str:
    return counted(preemptions, "preemption") + (" at most" if preemptions else "")


def _single_faults(contract: Contract, seen: Seen, follows: Follows | None) -> Iterator[Plan]:
    """Each of them as a plan; those too that come to what others do, where `follows` is nothing."""
    return ((one,) for one in placed(seen, contract.strikes, follows))


def _samples(contract: Contract, moods: tuple[str, ...], seen: Seen) -> Iterator[Program]:
    """Programs without an end: each mood and each way to draw in turn, with a fault in every second one if there may be one."""
    plans = [(), *_single_faults(contract, seen, None)] if contract.faults else [()]
    length = len(seen)
    chance, number = random.Random(SEED), 0  # noqa: S311 - to be repeated.
    while True:
        for priorities in (None, 1, 2, 3):
            for mood in moods:
                plan = chance.choice(plans) if number % 2 else ()
                sample = Sample(f"{SEED}:{number}", priorities, length)
                yield Program(mood, contract.workers, None, plan, sample=sample)
                number += 1
