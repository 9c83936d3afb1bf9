"""What is fixed while the order of effects varies; and the stages in which programs are run, the cheapest first.

A program is deterministic but for that order, and independent of every other program. So the programs of a stage may run
anywhere. Which of several violations is told is settled by their order here, so that the answer is the same for any number of
processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.core.counting import counted
from interlock.prove.faults import every_fault
from interlock.prove.search import Search

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from interlock.prove.contract import Contract
    from interlock.prove.effect import Effect
    from interlock.prove.scheduler import Fault


@dataclass(frozen=True, slots=True)
class Program:
    """What is fixed while the order of effects varies.

    Attributes:
        mood: The provider's mood.
        workers: How many workers there are.
        preemptions: How often a worker that could go on may be made to wait; none for as often as it takes.
        plan: The faults and where they strike: (worker, its n-th effect from 0).
    """

    mood: str
    workers: int
    preemptions: int | None
    plan: tuple[tuple[tuple[int, int], Fault], ...] = ()

    def search(self) -> Search:
        """What goes through its schedules, from the beginning."""
        return Search(self.preemptions)


@dataclass(frozen=True, slots=True)
class Stage:
    """Programs that are run before any of the next stage.

    Attributes:
        says: What is tried, for people.
        programs: In the order that settles which of several violations is told.
        is_told: Whether it is worth a word in the answer that all of it was tried: not if a later stage tries it again.
    """

    says: str
    programs: tuple[Program, ...]
    is_told: bool = True


def stages(
    contract: Contract, moods: tuple[str, ...], seen: Mapping[tuple[int, int], Mapping[Effect, None]]
) -> Iterator[Stage]:
    """The stages of a contract's proof. Where faults may strike is what has been seen when a stage begins."""
    workers = contract.workers
    for preemptions in (0, 1, None):  # The fewer switches a story has, the sooner it is found.
        programs = tuple(Program(mood, workers, preemptions) for mood in moods)
        bound = "" if preemptions is None else f" with {_preemptions(preemptions)}"
        yield Stage(f"all interleavings of {counted(workers, 'worker')}{bound}", programs, is_told=preemptions is None)
    for preemptions in (0, 1) if contract.faults else ():
        faults = tuple(_single_faults(contract, seen))
        programs = tuple(Program(mood, workers, preemptions, plan) for mood in moods for plan in faults)
        yield Stage(f"every single fault with {_preemptions(preemptions)}", programs)


def _preemptions(count: int) -> str:
    return counted(count, "preemption")


def _single_faults(
    contract: Contract,
    seen: Mapping[tuple[int, int], Mapping[Effect, None]],
) -> Iterator[tuple[tuple[tuple[int, int], Fault], ...]]:
    for place, effects in sorted(seen.items()):
        faults = (fault for effect in effects for fault in every_fault(effect) if contract.strikes(fault, effect))
        for fault in dict.fromkeys(faults):
            yield ((place, fault),)
