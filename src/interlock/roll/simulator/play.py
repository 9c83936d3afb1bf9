"""Plays a scenario many times, with every rule on the same draws, on all processors."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from random import Random
from statistics import quantiles
from typing import TYPE_CHECKING, Final, Protocol

from interlock.roll.simulator.rules import Argo, Flagger, Interlock, Kayenta
from interlock.roll.simulator.world import moments

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from interlock.roll.simulator.world import Moment, Scenario


class Rule(Protocol):
    """Decides after each tick whether the rollout is stopped."""

    def stops(self, moment: Moment) -> bool:
        """Whether it is stopped now."""
        ...


RULES: Final[Mapping[str, Callable[[Scenario, Random], Rule]]] = {
    "interlock": Interlock,
    "Argo Rollouts, limit 0": lambda _scenario, _random: Argo(0),
    "Argo Rollouts, limit 3": lambda _scenario, _random: Argo(3),
    "Flagger, min 95": lambda _scenario, _random: Flagger(0.95),
    "Kayenta, 30 min": lambda _scenario, _random: Kayenta(),
}


@dataclass(frozen=True, slots=True)
class Stop:
    """When a rule stopped a rollout, and how much had counted on the canary by then; at_s is None if it never did."""

    at_s: float | None
    harmed: int


@dataclass(frozen=True, slots=True)
class Result:
    """All rollouts of one scenario under one rule."""

    scenario: str
    rule: str
    onset_s: float
    is_good: bool
    stops: tuple[Stop, ...]

    @property
    def stopped(self) -> int:
        """How many were stopped."""
        return sum(stop.at_s is not None for stop in self.stops)

    @property
    def part(self) -> float:
        """Which part was stopped: false aborts of a good release, the power against a bad one."""
        return self.stopped / len(self.stops)

    def delay_s(self, part: float = 0.5) -> float | None:
        """Seconds from the onset until so many of all rollouts were stopped; None if that many never were."""
        times = sorted(stop.at_s - self.onset_s for stop in self.stops if stop.at_s is not None)
        index = int(part * len(self.stops))
        return times[index] if index < len(times) else None

    @property
    def harmed(self) -> float | None:
        """The median of what had counted on the canary until it was stopped; None if no rollout was."""
        found = sorted(stop.harmed for stop in self.stops if stop.at_s is not None)
        return quantiles(found, n=2)[0] if len(found) > 1 else next(iter(found), None)


def play(scenario: Scenario, rules: Sequence[str], seed: str) -> list[Stop]:
    """One rollout, seen by several rules."""
    random = Random(seed)  # noqa: S311 - chance for a simulation.
    judging = [RULES[name](scenario, Random(f"{seed} {name}")) for name in rules]  # noqa: S311 - likewise.
    stops = [Stop(None, 0)] * len(rules)
    watching = list(range(len(rules)))
    harmed = 0
    for moment in moments(scenario, random):
        if moment.at_s > scenario.onset_s:
            harmed += moment.canary
        for index in list(watching):
            if judging[index].stops(moment):
                stops[index] = Stop(moment.at_s, harmed)
                watching.remove(index)
        if not watching:
            break
    return stops


def play_many(scenario: Scenario, rules: Sequence[str], rollouts: int, seed: int, jobs: int) -> list[Result]:
    """Many rollouts of a scenario; the same seed gives the same rollouts, however many jobs there are."""
    seeds = [f"{seed} {scenario.name} {number}" for number in range(rollouts)]
    one = partial(play, scenario, tuple(rules))
    if jobs == 1:
        played = [one(text) for text in seeds]
    else:
        with ProcessPoolExecutor(jobs) as pool:
            played = list(pool.map(one, seeds, chunksize=max(1, rollouts // (8 * jobs))))
    return [
        Result(scenario.name, rule, scenario.onset_s, scenario.is_good, tuple(stops[index] for stops in played))
        for index, rule in enumerate(rules)
    ]
