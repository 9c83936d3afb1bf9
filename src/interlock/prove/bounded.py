"""Every schedule with so many preemptions at most, the fewest first.

A preemption just before an effect that touches nothing of what anybody else touches might as well come after it: the others
cannot tell, and there are no more preemptions than before. So a worker is made to wait only before an effect that conflicts
with something that another worker was seen to do. What somebody is seen to do later can bring a choice back that was left out.

The reduction by races (`search`) is not used here: within a bound it loses schedules.

Source: K. Coons, M. Musuvathi and K. McKinley, "Bounded Partial-Order Reduction", OOPSLA 2013, on why; and for the bound itself
M. Musuvathi and S. Qadeer, "Iterative Context Bounding for Systematic Testing of Multithreaded Programs", PLDI 2007.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

from interlock.prove.effect import Effect
from interlock.prove.search import check_repeated

if TYPE_CHECKING:
    from interlock.prove.worker import Worker


@dataclass(frozen=True, slots=True)
class _Choice:
    """Who could go on, who did, and what that came to."""

    effects: dict[int, Effect]
    chosen: int
    done: Effect
    preemptions: int


@dataclass(frozen=True, slots=True, order=True)
class _Branch:
    """A schedule that is still to be run: what it has in common with one that was, and who goes on then instead."""

    preemptions: int
    number: int
    before: tuple[_Choice, ...] = field(compare=False)
    effects: dict[int, Effect] = field(compare=False)
    chosen: int = field(compare=False)


@dataclass(slots=True)
class Bounded:
    """Goes through the schedules of one program, those with the fewest preemptions first.

    Attributes:
        bound: How many preemptions there may be.
    """

    bound: int
    _numbers: count[int] = field(default_factory=count)
    _begun: _Branch | None = None
    _made: list[_Choice] = field(default_factory=list[_Choice])
    _todo: list[_Branch] = field(default_factory=list[_Branch])
    _left_out: list[tuple[_Branch, int, Effect]] = field(default_factory=list[tuple[_Branch, int, Effect]])
    _seen: dict[int, Effect] = field(default_factory=dict[int, Effect])  # By worker: all that it touches.

    def choose(self, ready: list[Worker]) -> Worker:
        """Who goes on: along the branch, and after it whoever has gone on before, for as long as it can."""
        by_index = {worker.index: worker for worker in ready}
        effects = {index: worker.effect for index, worker in by_index.items() if worker.effect is not None}
        depth, branch = len(self._made), self._begun
        if branch is not None and depth <= len(branch.before):
            along = branch.before[depth] if depth < len(branch.before) else branch
            check_repeated(depth, along.effects, effects)
            chosen, preemptions = along.chosen, along.preemptions
        else:
            last = self._made[-1] if self._made else None
            chosen = last.chosen if last is not None and last.chosen in effects else next(iter(effects))
            preemptions = last.preemptions if last is not None else 0
        self._made.append(_Choice(effects, chosen, effects[chosen], preemptions))
        return by_index[chosen]

    def did(self, effect: Effect) -> None:
        """The last choice has come to this."""
        self._made[-1] = replace(self._made[-1], done=effect)

    def advance(self) -> bool:
        """Makes ready for the next schedule; tells whether there is one."""
        first = len(self._begun.before) + 1 if self._begun is not None else 0
        made = tuple(self._made)
        for choice in made:
            self._see(choice)
        for depth in range(first, len(made)):
            self._branch_off(made, depth)
        left_out, self._left_out = self._left_out, []
        for branch, waits, effect in left_out:
            self._take(branch, waits, effect)
        self._made = []
        self._begun = heappop(self._todo) if self._todo else None
        return self._begun is not None

    def _branch_off(self, made: tuple[_Choice, ...], depth: int) -> None:
        choice, before = made[depth], made[depth - 1] if depth else None
        could_go_on = before is not None and before.chosen in choice.effects
        so_far = before.preemptions if before is not None else 0
        for other in choice.effects.keys() - {choice.chosen}:
            if so_far + could_go_on <= self.bound:
                branch = _Branch(so_far + could_go_on, next(self._numbers), made[:depth], choice.effects, other)
                if could_go_on:
                    self._take(branch, choice.chosen, choice.done)
                else:
                    heappush(self._todo, branch)

    def _take(self, branch: _Branch, waits: int, effect: Effect) -> None:
        """Notes a branch in which a worker is made to wait before an effect: to be run if that matters to anybody."""
        if effect.process is not None or any(effect.conflicts(seen) for worker, seen in self._seen.items() if worker != waits):
            heappush(self._todo, branch)
        else:
            self._left_out.append((branch, waits, effect))

    def _see(self, choice: _Choice) -> None:
        before = self._seen.get(choice.chosen, Effect("all", ""))
        done = choice.done
        if not (done.reads <= before.reads and done.writes <= before.writes):
            self._seen[choice.chosen] = Effect("all", "", before.reads | done.reads, before.writes | done.writes)
