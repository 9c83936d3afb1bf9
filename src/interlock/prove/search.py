"""Which schedules to run: each order of effects that matters, and as few others as possible.

Two effects that do not touch the same thing give the same in either order, so only one order of them is run. After each
schedule the races in it are looked for: pairs of effects of two workers that conflict and that nothing else orders. For each,
the schedule in which the second comes first is run as well. Sleep sets keep a schedule from being run twice.

Source: C. Flanagan and P. Godefroid, "Dynamic Partial-Order Reduction for Model Checking Software", POPL 2005, with the sleep
sets of Godefroid's thesis (1996).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.prove.effect import Uncontrolled

if TYPE_CHECKING:
    from interlock.prove.effect import Effect
    from interlock.prove.scheduler import Worker


class Redundant(Exception):  # noqa: N818 - the end of a schedule that was run before in another form.
    """Everything that could come next was tried elsewhere."""


@dataclass(slots=True)
class Node:
    """One choice.

    Attributes:
        effects: What each worker that could go on would have done, by worker.
        chosen: Who went on.
        todo: Who should be tried here.
        asleep: Whose going on here was tried elsewhere, and what it would have done.
        preemptions: How often, up to and including here, a worker that could have gone on was made to wait.
    """

    effects: dict[int, Effect]
    chosen: int
    todo: set[int]
    asleep: dict[int, Effect]
    preemptions: int
    tried: set[int] = field(default_factory=set[int])


class Search:
    """Goes through the schedules of one program, depth first.

    Args:
        preemptions: How often a worker that could go on may be made to wait; none for as often as it takes.
    """

    def __init__(self, preemptions: int | None = None) -> None:
        self._bound = preemptions
        self._nodes: list[Node] = []
        self._depth = 0

    @property
    def choices(self) -> list[int]:
        """Who went on at each choice of the last schedule."""
        return [node.chosen for node in self._nodes[: self._depth]]

    def choose(self, ready: list[Worker]) -> Worker:
        """Who goes on: along the schedule that is to be varied first, then with as few switches as possible."""
        by_index = {worker.index: worker for worker in ready}
        if self._depth == len(self._nodes):
            self._nodes.append(self._fresh(by_index))
        node = self._nodes[self._depth]
        effects = {index: worker.effect for index, worker in by_index.items()}
        if node.chosen not in by_index or node.effects != effects:
            raise Uncontrolled("the same order of effects did not lead to the same effects: the module is not deterministic")
        self._depth += 1
        return by_index[node.chosen]

    def advance(self) -> bool:
        """Makes ready for the next schedule; tells whether there is one."""
        del self._nodes[self._depth :]
        self._find_races()
        while self._nodes:
            node = self._nodes[-1]
            node.tried.add(node.chosen)
            node.asleep[node.chosen] = node.effects[node.chosen]
            left = sorted(index for index in node.todo - node.tried if index not in node.asleep)
            if left:
                node.chosen = left[0]
                node.preemptions = self._preemptions(len(self._nodes) - 1, node.chosen)
                self._depth = 0
                return True
            self._nodes.pop()
        return False

    def _fresh(self, ready: dict[int, Worker]) -> Node:
        effects = {index: worker.effect for index, worker in ready.items() if worker.effect is not None}
        before = self._nodes[-1] if self._nodes else None
        asleep: dict[int, Effect] = {}
        if before is not None:
            done = before.effects[before.chosen]
            asleep = {index: effect for index, effect in before.asleep.items() if not effect.conflicts(done)}
        awake = [index for index in ready if index not in asleep]
        if not awake:
            raise Redundant
        chosen = before.chosen if before is not None and before.chosen in awake else awake[0]
        node = Node(effects, chosen, {chosen}, asleep, 0)
        self._nodes.append(node)
        node.preemptions = self._preemptions(len(self._nodes) - 1, chosen)
        self._nodes.pop()
        return node

    def _preemptions(self, depth: int, chosen: int) -> int:
        if depth == 0:
            return 0
        before, node = self._nodes[depth - 1], self._nodes[depth]
        return before.preemptions + (before.chosen != chosen and before.chosen in node.effects)

    def _find_races(self) -> None:
        """Notes, for each race, at the place of its first effect that the second one's worker should be tried there."""
        ends: list[dict[int, int]] = []  # For each effect: the last effect of each worker that comes before it for certain.
        latest: dict[int, dict[int, int]] = {}
        for place, node in enumerate(self._nodes):
            effect, worker = node.effects[node.chosen], node.chosen
            known = dict(latest.get(worker, {}))
            for earlier in range(place - 1, -1, -1):
                other = self._nodes[earlier]
                if other.chosen == worker or not effect.conflicts(other.effects[other.chosen]):
                    continue
                if known.get(other.chosen, -1) < earlier:
                    self._vary(earlier, worker)
                    known = _later(known, ends[earlier])
            known[worker] = place
            ends.append(known)
            latest[worker] = known

    def _vary(self, place: int, worker: int) -> None:
        node = self._nodes[place]
        candidates = {worker} if worker in node.effects else set(node.effects)
        for index in candidates - node.todo:
            if self._bound is None or self._preemptions(place, index) <= self._bound:
                node.todo.add(index)


def _later(some: dict[int, int], others: dict[int, int]) -> dict[int, int]:
    return {worker: max(some.get(worker, -1), others.get(worker, -1)) for worker in some.keys() | others.keys()}
