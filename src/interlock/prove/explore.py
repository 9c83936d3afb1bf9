"""Runs a contract's programs stage by stage, keeps the first violation in their order, and says what was tried."""

from __future__ import annotations

import time
from collections.abc import Sized
from contextlib import closing
from dataclasses import dataclass, field
from itertools import tee
from typing import TYPE_CHECKING

from interlock.core.counting import counted
from interlock.core.errors import UsageError
from interlock.core.verdict import Verdict
from interlock.prove.effect import Uncontrolled
from interlock.prove.examine import examined
from interlock.prove.executors import dask_cluster, process_pool, this_process
from interlock.prove.onward import merge
from interlock.prove.programs import stages
from interlock.prove.proof import Proof, Violation
from interlock.prove.scheduler import Run
from interlock.prove.vacuity import nothing_tried
from interlock.prove.watchdog import NoAnswer, supervised
from interlock.prove.world import World

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from interlock.prove.contract import Contract
    from interlock.prove.effect import Effect
    from interlock.prove.executors import Crew
    from interlock.prove.onward import Follows
    from interlock.prove.programs import Stage
    from interlock.prove.proof import Findings

__all__ = ["BUDGET_S", "Progress", "Proof", "Violation", "prove", "watched"]

BUDGET_S = 10.0
# What was found is made smaller for so long at most, which is some hundred times what it takes on a machine with little else to
# do; then it is repeated.
SHRUNK_WITHIN_S = 15.0
JUDGED_WITHIN_S = 60.0
_TOLD_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a proof is.

    Attributes:
        stage: What is being tried.
        schedules: How many were run.
        left_s: How long it may still take.
    """

    stage: str
    schedules: int
    left_s: float


def prove(  # noqa: PLR0913 - each has a name and a default.
    contract: Contract,
    *,
    budget_s: float = BUDGET_S,
    jobs: int = 1,
    dask: str = "",
    deep: bool = False,
    told: Callable[[Progress], None] | None = None,
) -> Proof:
    """Runs the schedules of a contract until one breaks it, all within the bounds are done, or the time is over.

    What breaks it is then made small and repeated in real processes, which is not counted in the budget. The answer is the
    same whoever runs them.

    Args:
        contract: Whose.
        budget_s: How long the search may take.
        jobs: How many processes run schedules; with 1 it is this one.
        dask: The address of a Dask scheduler, whose workers run them instead.
        deep: Whether to spend the rest of the time on schedules that are drawn, once everything within the bounds is done.
        told: Is called now and then with how far it is.

    Raises:
        WorldError: If there is no Redis to run them on.
        UsageError: If the contract cannot be set up, or holds nothing that could break.
    """
    return _judged(contract, _searched(contract, budget_s, jobs, dask, told, deep=deep))


def _searched(  # noqa: PLR0913 - as above.
    contract: Contract, budget_s: float, jobs: int, dask: str, told: Callable[[Progress], None] | None, *, deep: bool
) -> Proof:
    """A proof without an answer yet, if something was found."""
    if jobs < 1:
        raise UsageError(f"found {jobs} jobs, expected at least one")
    began = time.monotonic()
    proof = Proof(contract.name)
    exploration = _Exploration(contract, proof, began + budget_s, told or (lambda _: None), deep)
    try:
        with _crew(contract, jobs, dask, exploration.count) as crew:
            exploration.explore(crew)
    except TimeoutError as error:
        proof.reason = str(error) or f"the budget of {budget_s:g} s is used up"
    if not proof.reason and proof.violation is None:
        proof.reason = exploration.nothing_tried()
        proof.verdict = Verdict.UNKNOWN if proof.reason else Verdict.PASS
    proof.seconds = time.monotonic() - began
    return proof


def watched(  # noqa: PLR0913 - as above.
    contract: Contract,
    *,
    budget_s: float = BUDGET_S,
    jobs: int = 1,
    dask: str = "",
    deep: bool = False,
    told: Callable[[Progress], None] | None = None,
) -> Proof:
    """The same in a child process, so that there is an answer in time whatever the module does, and nothing is left of it.

    Raises:
        WorldError: As `prove`.
        UsageError: As `prove`.
    """
    began, last = time.monotonic(), Progress("", 0, budget_s)

    def take(progress: Progress) -> None:
        nonlocal last
        last = progress
        if told is not None:
            told(progress)

    try:
        proof = supervised(lambda tell: _searched(contract, budget_s, jobs, dask, tell, deep=deep), began + budget_s, take)
    except NoAnswer as error:
        return Proof(contract.name, schedules=last.schedules, seconds=time.monotonic() - began, reason=str(error))
    try:
        return supervised(lambda _: _judged(contract, proof), time.monotonic() + JUDGED_WITHIN_S, take)
    except NoAnswer as error:
        proof.reason = f"it was found once, and could not be repeated: {error}"
        return proof


def _judged(contract: Contract, proof: Proof) -> Proof:
    """The proof with its answer: only what was repeated in real processes is a failure."""
    if proof.violation is None:
        return proof
    began = time.monotonic()
    try:
        proof.finding = examined(contract, proof.violation, began + SHRUNK_WITHIN_S)
    except Uncontrolled as error:
        proof.reason = str(error)
    else:
        proof.violation = proof.finding.violation
        if proof.finding.confirmation.is_sure:
            proof.verdict = Verdict.FAIL
        else:
            proof.reason = proof.finding.confirmation.said
    proof.seconds += time.monotonic() - began
    return proof


def _tasks(contract: Contract) -> int:
    nowhere = World(Run(lambda ready: ready[0]), None, "ok")
    contract.set_up(nowhere)
    return len(nowhere.tasks)


def _crew(contract: Contract, jobs: int, dask: str, after_each: Callable[[], None]) -> AbstractContextManager[Crew]:
    if dask:
        return dask_cluster(contract, dask)
    return process_pool(contract, jobs) if jobs > 1 else this_process(contract, after_each)


@dataclass(slots=True)
class _Exploration:
    contract: Contract
    proof: Proof
    ends_at_s: float
    told: Callable[[Progress], None]
    deep: bool
    places: dict[tuple[int, int], dict[Effect, None]] = field(default_factory=dict[tuple[int, int], "dict[Effect, None]"])
    follows: Follows = field(default_factory=dict[tuple[int, int], "frozenset[tuple[int, int]] | None"])
    asks_history: bool = False
    awaited: dict[str, str] = field(default_factory=dict[str, str])
    happened: set[str] = field(default_factory=set[str])
    is_large: bool = False
    schedules: int = 0
    stage: str = ""
    told_at_s: float = 0.0

    def explore(self, crew: Crew) -> None:
        """Runs stage after stage, up to the first end.

        Raises:
            TimeoutError: If the time is over.
        """
        moods = crew.asked_for_moods(self.ends_at_s)
        every = stages(
            self.contract,
            moods,
            self.places,
            follows=lambda: None if self.asks_history else self.follows,
            tasks=_tasks(self.contract),
            is_large=lambda: self.is_large,
            deep=self.deep,
        )
        for stage in every:
            self.stage, before = stage.says, self.proof.schedules
            try:
                if not self._all(stage, crew):
                    return
            except TimeoutError:
                if stage.is_whole or not self.deep:
                    raise
            if before == self.proof.schedules:
                continue  # There was nothing of the kind, such as a fault of this scenario.
            if stage.is_told and stage.is_whole:
                self.proof.bounds.append(stage.says)
            elif stage.is_told:
                self.proof.samples.append(f"{stage.says}: {counted(self.proof.schedules - before, 'schedule')}")

    def count(self, schedules: int = 1) -> None:
        """Counts schedules as they are run, and tells of it."""
        self.schedules += schedules
        now_s = time.monotonic()
        if now_s - self.told_at_s > _TOLD_EVERY_S:
            self.told_at_s = now_s
            self.told(Progress(self.stage, self.schedules, max(0.0, self.ends_at_s - now_s)))

    def nothing_tried(self) -> str:
        """Why it says nothing that nothing broke; empty if it says something."""
        missing = {never: advice for never, advice in self.awaited.items() if never not in self.happened}
        return nothing_tried(self.proof, missing, self.places, wants_faults=self.contract.is_about_faults)

    def _all(self, stage: Stage, crew: Crew) -> bool:
        """Runs the programs of a stage; tells whether the next one is wanted."""
        programs, again = tee(stage.programs)
        few = len(stage.programs) if isinstance(stage.programs, Sized) else None
        with closing(crew.in_order(programs, self.ends_at_s, few)) as findings:
            for found, program in zip(findings, again, strict=False):  # Fewer, if one ends it.
                self.proof.schedules += found.schedules
                self.proof.placements += bool(program.plan)
                self.proof.unused += bool(program.plan) and not found.struck
                self._take(found)
                self.count(0)
                if found.is_cut:
                    raise TimeoutError
                if found.is_end:
                    self.proof.violation, self.proof.reason = found.violation, found.lost
                    return False
        return True

    def _take(self, found: Findings) -> None:
        self.proof.sources |= found.sources
        self.is_large = self.is_large or found.is_partial
        self.awaited.update(found.awaited)
        self.happened |= found.happened
        self.asks_history = self.asks_history or found.asks_history
        merge(self.follows, found.follows)
        for place, effects in found.places.items():
            self.places.setdefault(place, {}).update(effects)
        self.proof.notes = sorted({*self.proof.notes, *found.notes})
