"""Sees after which effects a worker could do its next at once, so that to be killed after one is to be killed before the next.

That is so if the next effect is there when the first is done, no time has passed, and the worker has told nobody anything in
between: it may have noted something where the contract keeps it, outside of all processes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.effect import Effect
    from interlock.prove.scheduler import Run
    from interlock.prove.worker import Worker


Place = tuple[int, int]  # A worker, and its n-th effect from 0.
Follows = dict[Place, "frozenset[Place] | None"]


def counted_from(first: int, follows: Follows) -> Follows:
    """The same with workers that are counted from another one on."""
    return {
        (worker - first, number): None if then is None else frozenset((other - first, place) for other, place in then)
        for (worker, number), then in follows.items()
    }


def merge(follows: Follows, other: Follows) -> None:
    """Adds what followed in another schedule, or in several."""
    for place, then in other.items():
        before = follows.get(place, frozenset[Place]())
        follows[place] = None if then is None or before is None else before | then


class _Done(NamedTuple):
    """The last effect that was done."""

    place: Place
    process: int
    at_s: float
    kept: object


@dataclass(slots=True)
class Onward:
    """Watches one schedule, between it and whoever makes its choices.

    Args:
        run: The schedule.
        chooses: Picks the next of the workers that can go on.
        hears: Is told of each effect when it is done.
        kept: What is kept outside of the workers; nothing, if nobody can tell.
        matters: Whether anybody wants to know what follows an effect.

    Attributes:
        found: By place: those of which the worker could do each next; nothing, if it could not go on at once.
    """

    run: Run
    chooses: Callable[[list[Worker]], Worker]
    hears: Callable[[Effect], None]
    kept: Callable[[], object]
    matters: Callable[[Effect], bool] = lambda _: True
    found: Follows = field(default_factory=dict[Place, "frozenset[Place] | None"])
    _last: _Done | None = None

    def did(self, effect: Effect) -> None:
        """The worker that is running has done an effect, and knows nothing of it yet."""
        self.hears(effect)
        worker = self.run.current()
        place = worker.index, worker.done - 1
        self.found[place] = None
        self._last = _Done(place, worker.process, self.run.now_s, self.kept()) if self.matters(effect) else None

    def choose(self, ready: list[Worker]) -> Worker:
        """Who goes on."""
        last, self._last = self._last, None
        if last is not None and last.kept is not None and last.at_s == self.run.now_s:
            own = [worker for worker in ready if worker.process == last.process]
            if all(worker.effect is not None and worker.effect.kind != "wait" for worker in own) and self.kept() == last.kept:
                self.found[last.place] = frozenset((worker.index, worker.done) for worker in own) or None
        return self.chooses(ready)
