"""Draws schedules instead of going through all of them: where there are too many, a good draw finds most of what is wrong.

A random walk lets anybody go on at each choice. With priorities, the worker with the highest one goes on, and at d - 1 places
that are drawn beforehand whoever runs falls to the lowest. A mistake that needs d orders of two effects each is found so with a
probability of at least 1 / (n k^(d - 1)), for n workers and k effects.

Source: S. Burckhardt, P. Kothari, M. Musuvathi and S. Nagarakatte, "A Randomized Scheduler with Probabilistic Guarantees of
Finding Bugs", ASPLOS 2010 (PCT).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlock.prove.effect import Effect
    from interlock.prove.worker import Worker


@dataclass(frozen=True, slots=True)
class Sample:
    """How one schedule is drawn.

    Attributes:
        seed: What repeats it.
        depth: How many orders of two effects a mistake may need; none for a random walk.
        length: How many choices a schedule has, about.
    """

    seed: str
    depth: int | None
    length: int

    def begun(self) -> Draw:
        """Draws it."""
        chance = random.Random(self.seed)  # noqa: S311 - to be repeated.
        falls = {chance.randrange(max(1, self.length)) for _ in range((self.depth or 1) - 1)}
        return Draw(chance, self.depth is not None, falls)


@dataclass(slots=True)
class Draw:
    """One schedule that is drawn."""

    chance: random.Random
    has_priorities: bool
    falls: set[int]
    _made: int = 0
    _priorities: dict[int, float] = field(default_factory=dict[int, float])

    def choose(self, ready: list[Worker]) -> Worker:
        """Who goes on."""
        self._made += 1
        if not self.has_priorities:
            return self.chance.choice(ready)
        for worker in ready:
            self._priorities.setdefault(worker.index, 1.0 + self.chance.random())
        chosen = max(ready, key=lambda worker: self._priorities[worker.index])
        if self._made - 1 in self.falls:
            self._priorities[chosen.index] = -float(self._made)
            chosen = max(ready, key=lambda worker: self._priorities[worker.index])
        return chosen

    def did(self, effect: Effect) -> None:
        """Nothing depends on it."""

    def advance(self) -> bool:
        """There is this one alone."""
        return False
