"""What came in since the last tick, sorted by metric, threshold and the share at exposure.

An order that is completed two minutes after the share went from 1 to 10 % was begun under 1 %. Booked under 10 % it would
make every healthy canary look as if orders went missing. So each event is booked under the share when its user was exposed;
the shares of the past are kept for that, one for each step. When it is judged is another question, see `settling`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from interlock.core.errors import UsageError
from interlock.roll.judge.observations import Arm
from interlock.roll.judge.settling import Settling
from interlock.roll.judge.users import Distinct, Seen
from interlock.roll.plan import Kind, ShareFrom

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interlock.roll.judge.labels import Group
    from interlock.roll.judge.observations import Event, Tick
    from interlock.roll.plan import Metric, Plan

_THIS_TICK: Final = -1.0  # Stands for the share of this tick's requests, where shares are measured.
_HARM: Final = (Kind.FAILURES, Kind.LATENCY)

_Booked = dict[tuple[float, bool], list[int]]  # By share, and whether the canary was cold: on the baseline, on the canary.


class Told(NamedTuple):
    """What a tick brought of one metric."""

    groups: list[list[Group]]  # For each threshold.
    cold: list[Group]  # Of users who were exposed while the canary warmed up; at the highest threshold.
    arrived: int  # How many events came at that threshold, settled or not, whoever's they are.


@dataclass(frozen=True, slots=True)
class Brought:
    """What a tick brought."""

    share: float | None  # None before the first step.
    requests: tuple[int, int]
    newcomers: tuple[int, int]
    metrics: Mapping[str, Told]


class Intake:
    """Takes requests and events in, and hands them over tick by tick."""

    def __init__(self, plan: Plan) -> None:
        self._measured = plan.share_from is ShareFrom.REQUESTS
        self._metrics = plan.metrics
        self._steps: list[list[float]] = []  # Since when, asked share, requests on the baseline, on the canary.
        self._pending: dict[str, list[_Booked]] = {}
        self._settling = {metric.name: Settling(metric.settles_s) for metric in plan.metrics if metric.settles_s}
        self._warming = {metric.name for metric in plan.metrics if metric.warm_up_s}
        self._none_arrived = dict.fromkeys((metric.name for metric in plan.metrics), 0)
        self._arrived = self._none_arrived.copy()
        self._seen: dict[str, Seen] = {}
        self._above_ms: Mapping[str, tuple[float, ...]] = {}
        self._requests = [0, 0]
        self._newcomers = [0, 0]
        self._harmed = Distinct()
        self._nameless = dict.fromkeys((metric.name for metric in plan.metrics if metric.kind in _HARM), 0)

    def start(self, above_ms: Mapping[str, tuple[float, ...]]) -> None:
        """The thresholds of latency are known from now on."""
        self._above_ms = above_ms
        self._seen = {metric.name: Seen() for metric in self._metrics if metric.kind is not Kind.COUNT}
        self._pending = self._nothing()

    def _nothing(self) -> dict[str, list[_Booked]]:
        channels = {
            metric.name: len(self._above_ms[metric.name]) if metric.kind is Kind.LATENCY else 1 for metric in self._metrics
        }
        return {name: [{} for _ in range(several)] for name, several in channels.items()}

    def begin_step(self, at_s: float, share: float) -> None:
        """Whoever is exposed from now on is exposed under this share."""
        self._steps.append([at_s, share, 0, 0])

    def request(self, *, is_canary: bool, new: bool) -> None:
        """A request, and whether its user is new in this step."""
        self._requests[is_canary] += 1
        self._newcomers[is_canary] += new

    def arrived(self, metric: Metric) -> None:
        """An event of the business came, whoever's it is: an absolute limit need not know."""
        self._arrived[metric.name] += metric.kind not in _HARM

    def see(self, metric: Metric, event: Event) -> None:
        """An event, if it counts and its user was not counted before."""
        exposed_at_s = event.at_s if event.exposed_at_s is None else min(event.exposed_at_s, event.at_s)
        step = next((index for index in reversed(range(len(self._steps))) if self._steps[index][0] <= exposed_at_s), None)
        if not event.counted:
            self.arrived(metric)
        if step is None or not 0.0 < self._steps[step][1] < 1.0:
            return
        is_canary = event.arm is Arm.CANARY
        for above in self._channels(metric, event):
            if event.user is None or metric.kind is Kind.COUNT or self._seen[metric.name].is_first(f"{above} {event.user}"):
                self._book(metric, above, step, exposed_at_s, (not is_canary, is_canary))
                if is_canary and above == len(self._pending[metric.name]) - 1:
                    self._count_harm(metric, 1, event.user)

    def _channels(self, metric: Metric, event: Event) -> list[int]:
        """For which thresholds an event counts."""
        match metric.kind:
            case Kind.FAILURES:
                return [0] if event.bad else []
            case Kind.LATENCY:
                return [above for above, limit_ms in enumerate(self._above_ms[metric.name]) if event.value > limit_ms]
            case Kind.BUSINESS | Kind.COUNT:
                return [0]

    def observe(self, tick: Tick) -> None:
        """Counts of a tick."""
        for arm, requests in enumerate((tick.baseline_requests, tick.canary_requests)):
            self._requests[arm] += requests
            self._newcomers[arm] += requests
        for metric in self._metrics:
            for counts in tick.counts.get(metric.name, ()) if self._steps else ():
                several = len(self._pending[metric.name])
                if several and not 0 <= counts.above < several:
                    message = f"counts of {metric.name!r} above threshold {counts.above}; expected one of {several}, from 0"
                    raise UsageError(message)
                step = self._steps[-1]
                share = self._share_of(step) if counts.share is None else counts.share
                if several and share < 1.0 and share:
                    pair = (counts.baseline, counts.canary)
                    self._add(metric.name, counts.above, (share, tick.at_s < step[0] + metric.warm_up_s), pair)
                    if counts.above == several - 1:
                        self._arrived[metric.name] += sum(pair)
                        self._count_harm(metric, counts.canary, None)

    def _book(self, metric: Metric, above: int, index: int, exposed_at_s: float, counts: tuple[int, int]) -> None:
        """Counts of users who were exposed in this step: to be judged in this tick, or when they have settled."""
        step, settling = self._steps[index], self._settling.get(metric.name)
        cold = exposed_at_s < step[0] + metric.warm_up_s
        if metric.kind in _HARM and above == len(self._pending[metric.name]) - 1:
            self._arrived[metric.name] += sum(counts)
        if settling:
            settling.hold(exposed_at_s, index, counts, cold=cold)
        else:
            self._add(metric.name, above, (self._share_of(step), cold), counts)

    def _add(self, name: str, above: int, key: tuple[float, bool], counts: tuple[int, int]) -> None:
        pair = self._pending[name][above].setdefault(key, [0, 0])
        pair[0] += counts[0]
        pair[1] += counts[1]

    def _count_harm(self, metric: Metric, canary: int, user: str | None) -> None:
        if metric.kind in _HARM and user is not None:
            self._harmed.add(user)
        elif metric.kind in _HARM:
            self._nameless[metric.name] += canary

    def _share_of(self, step: list[float]) -> float:
        """What an event of this step that comes now is booked under."""
        if not self._measured:
            return step[1]
        return _THIS_TICK if step is self._steps[-1] else _measured(step)

    def _settle(self, at_s: float) -> None:
        """Books those whose time has come."""
        for name, settling in self._settling.items():
            for index, cold, counts in settling.settled(at_s):
                step = self._steps[index]
                self._add(name, 0, (_measured(step) if self._measured else step[1], cold), counts)

    def take(self, at_s: float) -> Brought:
        """Everything since the last time, but for what has not settled."""
        requests, newcomers = (self._requests[0], self._requests[1]), (self._newcomers[0], self._newcomers[1])
        self._settle(at_s)
        pending, arrived = self._pending, self._arrived
        self._pending = self._nothing() if pending else {}
        self._requests, self._newcomers, self._arrived = [0, 0], [0, 0], self._none_arrived.copy()
        if not self._steps:
            return Brought(None, requests, newcomers, {})
        self._steps[-1][2] += requests[0]
        self._steps[-1][3] += requests[1]
        measured = requests[1] / max(1, sum(requests))
        return Brought(
            share=measured if self._measured else self._steps[-1][1],
            requests=requests,
            newcomers=newcomers,
            metrics={
                name: Told(
                    groups=[_groups(booked, measured, cold=False) for booked in several],
                    cold=_groups(several[-1], measured, cold=True) if several and name in self._warming else [],
                    arrived=arrived[name],
                )
                for name, several in pending.items()
            },
        )

    @property
    def share_now(self) -> float | None:
        """The asked share; None before the first step."""
        return self._steps[-1][1] if self._steps else None

    @property
    def canary_served(self) -> bool:
        """Whether the canary has served anybody in this step."""
        return bool(self._steps) and bool(self._steps[-1][3] + self._requests[1])

    @property
    def harmed_users(self) -> int:
        """Users of the canary with a failed or slow answer; where there are no users, requests of the metric with most."""
        return self._harmed.estimate + max(self._nameless.values(), default=0)

    def state(self) -> dict[str, Any]:
        """What a successor has to know."""
        return {
            "steps": self._steps,
            "pending": {name: [list(booked.items()) for booked in several] for name, several in self._pending.items()},
            "settling": {name: settling.state() for name, settling in self._settling.items()},
            "arrived": self._arrived,
            "seen": {name: seen.state() for name, seen in self._seen.items()},
            "requests": self._requests,
            "newcomers": self._newcomers,
            "harmed": self._harmed.state(),
            "nameless": self._nameless,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where a predecessor was."""
        self._steps = [list(step) for step in state["steps"]]
        self._pending = {
            name: [{(share, cold): list(pair) for (share, cold), pair in booked} for booked in several]
            for name, several in state["pending"].items()
        }
        for name, kept in state["settling"].items():
            self._settling[name].restore(kept)
        self._arrived = dict(state["arrived"])
        for name, seen in state["seen"].items():
            self._seen[name].restore(seen)
        self._requests, self._newcomers = list(state["requests"]), list(state["newcomers"])
        self._harmed.restore(state["harmed"])
        self._nameless = dict(state["nameless"])


def _measured(step: list[float]) -> float:
    """The canary's share of the requests of a step."""
    return step[3] / max(1.0, step[2] + step[3])


def _groups(booked: _Booked, measured: float, *, cold: bool) -> list[Group]:
    """The counts by share; without those that say nothing, because one side served nobody."""
    found: list[Group] = []
    for (asked, was_cold), (baseline, canary) in booked.items():
        share = measured if asked == _THIS_TICK else asked
        if was_cold is cold and 0.0 < share < 1.0:
            found.append((share, baseline, canary))
    return found
