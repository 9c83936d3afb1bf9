"""Which schedules to run: each order of effects that matters, and as few others as possible.

Two effects that do not touch the same thing give the same in either order, so only one order of them is run. After each
schedule the races in it are looked for: pairs of effects of two workers that conflict and that nothing else orders. For each,
a schedule is run in which the second comes before the first, unless one that begins like it is run anyway. Sleep sets keep a
schedule from being run twice. What an effect touches is what it was seen to touch when it was done, not what it announces.

Source: P. Abdulla, S. Aronsson, B. Jonsson and K. Sagonas, "Optimal Dynamic Partial Order Reduction", POPL 2014: source-DPOR,
which is their Algorithm 1; with the sleep sets of Godefroid's thesis (1996).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.core.counting import counted
from interlock.prove.effect import Uncontrolled, told_apart
from interlock.prove.worker import process_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

    from interlock.prove.effect import Effect
    from interlock.prove.worker import Worker


class Redundant(Exception):  # noqa: N818 - the end of a schedule that was run before in another form.
    """Everything that could come next was tried elsewhere."""


@dataclass(slots=True)
class Node:
    """One choice.

    Attributes:
        effects: What each worker that could go on would have done, by worker.
        chosen: Who went on.
        done: What that came to: the effect with all that it touched.
        todo: Who should be tried here.
        asleep: Whose going on here was tried elsewhere, and what it did.
        preemptions: How often, up to and including here, a worker that could have gone on was made to wait.
        clock: The last place of each worker that comes before this one for certain.
    """

    effects: dict[int, Effect]
    chosen: int
    done: Effect
    todo: set[int]
    asleep: dict[int, Effect]
    preemptions: int = 0
    tried: set[int] = field(default_factory=set[int])
    clock: dict[int, int] = field(default_factory=dict[int, int])


class Search:
    """Goes through the schedules of one program, depth first.

    Args:
        preemptions: How often a worker that could go on may be made to wait; none for as often as it takes. With a bound it
            is no longer complete: what a race asks for may lie behind the bound, while something equal to it does not.
    """

    def __init__(self, preemptions: int | None = None) -> None:
        self._bound = preemptions
        self._nodes: list[Node] = []
        self._depth = 0
        self._known = 0  # So many nodes have a clock already.

    def choose(self, ready: list[Worker]) -> Worker:
        """Who goes on: along the schedule that is to be varied first, then in the plainest order."""
        by_index = {worker.index: worker for worker in ready}
        effects = {index: worker.effect for index, worker in by_index.items() if worker.effect is not None}
        if self._depth == len(self._nodes):
            before = self._nodes[-1] if self._nodes else None
            self._nodes.append(self._fresh(effects if before is None else in_turn(effects, before.effects, before.chosen)))
        node = self._nodes[self._depth]
        check_repeated(self._depth, node.effects, effects)
        self._depth += 1
        return by_index[node.chosen]

    def did(self, effect: Effect) -> None:
        """The last choice has come to this."""
        self._nodes[self._depth - 1].done = effect

    def advance(self) -> bool:
        """Makes ready for the next schedule; tells whether there is one."""
        del self._nodes[self._depth :]
        self._find_races()
        while self._nodes:
            node = self._nodes[-1]
            node.tried.add(node.chosen)
            node.asleep[node.chosen] = node.done
            left = sorted(index for index in node.todo - node.tried if index not in node.asleep)
            if left:
                node.chosen, node.done = left[0], node.effects[left[0]]
                node.preemptions = self._preemptions(len(self._nodes) - 1, node.chosen)
                self._depth, self._known = 0, len(self._nodes) - 1
                return True
            self._nodes.pop()
        return False

    def _fresh(self, effects: dict[int, Effect]) -> Node:
        before = self._nodes[-1] if self._nodes else None
        asleep: dict[int, Effect] = {}
        if before is not None:
            asleep = {index: effect for index, effect in before.asleep.items() if not effect.conflicts(before.done)}
            asleep.pop(before.chosen, None)
        awake = [index for index in effects if index not in asleep]
        if not awake:
            raise Redundant
        chosen = plainest(awake, before.chosen if before is not None else None)
        node = Node(effects, chosen, effects[chosen], {chosen}, asleep)
        if before is not None:
            node.preemptions = before.preemptions + (before.chosen != chosen and before.chosen in effects)
        return node

    def _preemptions(self, depth: int, chosen: int) -> int:
        if depth == 0:
            return 0
        before, node = self._nodes[depth - 1], self._nodes[depth]
        return before.preemptions + (before.chosen != chosen and before.chosen in node.effects)

    def _find_races(self) -> None:
        """Has a schedule begun, for each race and at the place of its first effect, in which the second comes first."""
        latest = {node.chosen: node.clock for node in self._nodes[: self._known]}
        for place in range(self._known, len(self._nodes)):
            node = self._nodes[place]
            known = dict(latest.get(node.chosen, {}))
            for earlier in range(place - 1, -1, -1):
                other = self._nodes[earlier]
                if other.chosen == node.chosen or known.get(other.chosen, -1) >= earlier:
                    continue
                if node.done.conflicts(other.done):
                    self._vary(earlier, place, known)
                    known = _later(known, other.clock)
            known[node.chosen] = place
            node.clock = latest[node.chosen] = known

    def _vary(self, first: int, second: int, known: dict[int, int]) -> None:
        """Has a worker tried, at the place of a race's first effect, that can begin what leads to the second without it."""
        node = self._nodes[first]
        beginners = self._beginners(first, second, known)
        if beginners & (node.todo | node.asleep.keys()):
            return
        candidates = beginners & node.effects.keys()
        wanted = {self._nodes[second].chosen} if self._nodes[second].chosen in candidates else set(sorted(candidates)[:1])
        for index in wanted or node.effects.keys() - node.todo:
            if self._bound is None or self._preemptions(first, index) <= self._bound:
                node.todo.add(index)

    def _beginners(self, first: int, second: int, known: dict[int, int]) -> set[int]:
        """The workers that can begin the sequence of what does not come after the first effect, and then the second."""
        beginners: set[int] = set()
        places: dict[int, int] = {}  # Of each worker's first effect in that sequence.
        owner = self._nodes[first].chosen
        for place in range(first + 1, second + 1):
            node = self._nodes[place]
            clock = node.clock if place < second else known
            if place < second and clock.get(owner, -1) >= first:
                continue
            if node.chosen not in places and all(clock.get(worker, -1) < at for worker, at in places.items()):
                beginners.add(node.chosen)
            places.setdefault(node.chosen, place)
        return beginners


def in_turn(effects: dict[int, Effect], before: Iterable[int], chosen: int) -> dict[int, Effect]:
    """The effects, those first that could have been done at the choice before already, in the order of then."""
    waited = [index for index in before if index in effects and index != chosen]
    return {index: effects[index] for index in dict.fromkeys((*waited, *effects))}


def plainest(able: Iterable[int], went_on: int | None, late: AbstractSet[int] = frozenset()) -> int:
    """Who goes on if nobody makes anybody wait: whoever has gone on before, if it can, and else the first.

    Args:
        able: Who could, those of one worker in the order in which they came to that.
        went_on: Who has.
        late: Who comes after all others of its worker.
    """
    worker = None if went_on is None else process_of(went_on)
    return min(able, key=lambda index: (process_of(index) != worker, process_of(index), index in late))


def check_repeated(place: int, before: dict[int, Effect], now: dict[int, Effect]) -> None:
    """Holds what workers would do against what they would have done in the same place before.

    Raises:
        Uncontrolled: If it differs.
    """
    if before == now:
        return
    differ = sorted(index for index in before.keys() | now.keys() if before.get(index) != now.get(index))
    first, second = told_apart(*(_said(effects.get(differ[0])) for effects in (before, now)))
    raise Uncontrolled(
        f"the module is not deterministic: after the same {counted(place, 'effect')} "
        f"a worker did `{first}` in one schedule and `{second}` in another"
    )


def _said(effect: Effect | None) -> tuple[str, str]:
    return (effect.said, effect.exactly) if effect is not None else ("nothing", "")


def _later(some: dict[int, int], others: dict[int, int]) -> dict[int, int]:
    return {worker: max(some.get(worker, -1), others.get(worker, -1)) for worker in some.keys() | others.keys()}
