"""Every schedule with so many preemptions at most, the fewest first.

A preemption just before an effect that touches nothing of what anybody else touches might as well come after it: the others
cannot tell, and there are no more preemptions than before. So a worker is made to wait only before an effect that conflicts
with something that another worker was seen to do. What somebody is seen to do later can bring a choice back that was left out.

A worker that does several things at once, as an event loop does, sends commands that are all on their way together. They are
carried out in the order in which they were sent, but that any of them may be late: each one that others overtake counts like a
preemption, once, however many these are and whenever it is carried out then.

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
from interlock.prove.search import check_repeated, in_turn, plainest
from interlock.prove.worker import process_of

if TYPE_CHECKING:
    from interlock.prove.worker import Worker

# With more, a lane that somebody else lets go on may overtake the one that waits, and what matters is the other one.
_MOST_BOUND_OF_LANES = 1


@dataclass(frozen=True, slots=True)
class _Choice:
    """Who could go on, who did, and what that came to.

    Attributes:
        effects: What each of those who could would have done; of one worker, in the order in which it came to that.
        chosen: Who did.
        done: What it was.
        preemptions: How many there were, this one included.
        late: Whose effects others have overtaken and are still to be done.
    """

    effects: dict[int, Effect]
    chosen: int
    done: Effect
    preemptions: int
    late: frozenset[int]

    def of(self, worker: int) -> list[int]:
        """Who could go on of a worker and its lanes."""
        return [index for index in self.effects if process_of(index) == worker]


@dataclass(frozen=True, slots=True, order=True)
class _Branch:
    """A schedule that is still to be run: what it has in common with one that was, and who goes on then instead."""

    preemptions: int
    number: int
    before: tuple[_Choice, ...] = field(compare=False)
    instead: _Choice = field(compare=False)


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
            choice = branch.before[depth] if depth < len(branch.before) else branch.instead
            check_repeated(depth, choice.effects, effects)
        else:
            last = self._made[-1] if self._made else None
            if last is not None:
                effects = in_turn(effects, last.effects, last.chosen)
            went_on, late = (last.chosen, last.late) if last is not None else (None, frozenset[int]())
            choice = _choice(effects, plainest(effects, went_on, late), last)
        self._made.append(choice)
        return by_index[choice.chosen]

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
        went_on = None if before is None else process_of(before.chosen)
        for other in choice.effects.keys() - {choice.chosen}:
            instead = _choice(choice.effects, other, before)
            if instead.preemptions > self.bound:
                continue
            branch = _Branch(instead.preemptions, next(self._numbers), made[:depth], instead)
            waiting = choice.of(went_on) if went_on is not None and process_of(other) != went_on else []
            if len(waiting) == 1 and (choice.done.process is None or self.bound <= _MOST_BOUND_OF_LANES):
                self._take(branch, choice.chosen, choice.done)
            else:
                heappush(self._todo, branch)

    def _take(self, branch: _Branch, waits: int, effect: Effect) -> None:
        """Notes a branch in which a worker is made to wait before an effect: to be run if that matters to another one."""
        others = (seen for worker, seen in self._seen.items() if process_of(worker) != process_of(waits))
        if any(effect.conflicts(seen) for seen in others):
            heappush(self._todo, branch)
        else:
            self._left_out.append((branch, waits, effect))

    def _see(self, choice: _Choice) -> None:
        before = self._seen.get(choice.chosen, Effect("all", ""))
        done = choice.done
        if not (done.reads <= before.reads and done.writes <= before.writes):
            self._seen[choice.chosen] = Effect("all", "", before.reads | done.reads, before.writes | done.writes)


def _choice(effects: dict[int, Effect], chosen: int, before: _Choice | None) -> _Choice:
    """A choice, with what it costs."""
    worker = process_of(chosen)
    preemptions, late = (0, frozenset[int]()) if before is None else (before.preemptions, before.late)
    if before is not None and process_of(before.chosen) != worker:
        preemptions += any(process_of(index) == process_of(before.chosen) for index in effects)
    ahead = [index for index in effects if process_of(index) == worker and index not in late]
    overtaken = ahead[: ahead.index(chosen)] if chosen in ahead else []
    return _Choice(effects, chosen, effects[chosen], preemptions + len(overtaken), late.union(overtaken) - {chosen})
