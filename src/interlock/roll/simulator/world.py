"""The world that a simulated rollout meets: traffic, failures, shared trouble, and instances that differ.

Counts, not single requests, are drawn: per tick and side, good and bad ones from Poisson laws. Only users who try again, and
orders whose own time of exposure matters, are drawn one by one.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from heapq import heappop, heappush
from math import exp
from typing import TYPE_CHECKING, Final

from interlock.roll.judge.observations import Arm, Event
from interlock.roll.plan import Kind
from interlock.roll.simulator.chance import noise, poisson

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from interlock.roll.judge.labels import Group

INCIDENT_REQUESTS_S: Final = 420.0
STAGED: Final = ((0.01, 1800.0), (0.10, 1800.0), (0.50, 900.0))
METRIC: Final = "m"
_WATCHED_MINUTES: Final = 10  # How long the baseline's own instances are watched before the rollout.
_COLD_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One kind of rollout, good or bad."""

    name: str
    kind: Kind = Kind.FAILURES
    baseline_rate: float = 0.02  # Failures, or orders, per request. The incident's service had 98 % success before it.
    canary_rate: float = 0.02
    requests_s: float = INCIDENT_REQUESTS_S
    shares: tuple[tuple[float, float], ...] = ((0.01, 6300.0),)  # Share, and for how many seconds.
    onset_s: float = 0.0  # When the canary becomes different.
    tick_s: float = 1.0
    noise_cv: float = 0.0  # How much instances differ.
    noise_block_s: float = 0.0  # How often that is drawn anew; 0: once.
    instances: int = 20  # Of the baseline.
    canary_instances: int = 1  # 0: as large a part of the instances as of the traffic.
    incident: tuple[float, float, float] = (0.0, 0.0, 1.0)  # From, until, and by which factor both sides fail more.
    drift: float = 0.0  # By which part of themselves failures grow in an hour, on both sides.
    cold_factor: float = 1.0  # How many times more a canary fails in the first 60 s of each step.
    warm_up_s: float = 0.0  # What the plan says of it.
    retries_mean: float = 0.0  # How often a failed user tries again, and fails again.
    lag_s: float = 0.0  # How long after the exposure the event comes, on average.
    at_exposure: bool = True  # Whether late events are booked under the share at exposure, or (the trap) the share now.
    one_by_one: bool = False  # Whether each late event tells when its user was exposed.
    settles_s: float = 0.0  # What the plan says of it.
    stalls_every_s: float = 0.0  # How often a side stands still, on average; 0: never.
    stall_s: float = 1.0  # For how long; what would have come meanwhile comes when that is over.

    @property
    def is_good(self) -> bool:
        """Whether stopping it would be a false alarm."""
        return self.canary_rate == self.baseline_rate

    def canary_instances_at(self, share: float) -> int:
        """How many instances serve the canary's share."""
        return self.canary_instances or max(1, round(share * self.instances))


@dataclass(frozen=True, slots=True)
class Moment:
    """A tick of the world."""

    at_s: float
    step: int
    baseline_requests: int
    canary_requests: int
    groups: tuple[Group, ...]  # What counts, by the share under which it is booked.
    events: tuple[Event, ...] = ()  # Instead, where users are drawn one by one.

    @property
    def baseline(self) -> int:
        """What counts on the baseline, however it is booked."""
        return sum(group[1] for group in self.groups) + sum(event.arm is Arm.BASELINE for event in self.events)

    @property
    def canary(self) -> int:
        """What counts on the canary, however it is booked."""
        return sum(group[2] for group in self.groups) + sum(event.arm is Arm.CANARY for event in self.events)


def moments(scenario: Scenario, random: Random) -> Iterator[Moment]:
    """The ticks of one rollout."""
    if scenario.retries_mean:
        return _retried(scenario, random)
    if scenario.one_by_one:
        return _each(scenario, random)
    return _lagging(scenario, random) if scenario.lag_s else _immediate(scenario, random)


def _immediate(scenario: Scenario, random: Random) -> Iterator[Moment]:
    at_s = 0.0
    for step, (share, seconds) in enumerate(scenario.shares):
        began_s, redrawn_s = at_s, -1.0
        canary = baseline = 1.0
        while at_s < began_s + seconds - 1e-9:
            if redrawn_s < 0 or (scenario.noise_block_s and at_s - redrawn_s >= scenario.noise_block_s):
                redrawn_s = at_s
                canary = _mean_noise(random, scenario.noise_cv, scenario.canary_instances_at(share))
                baseline = _mean_noise(random, scenario.noise_cv, scenario.instances)
            shared = _shared(scenario, at_s)
            cold = scenario.cold_factor if at_s - began_s < _COLD_S else 1.0
            rate = scenario.canary_rate if at_s >= scenario.onset_s else scenario.baseline_rate
            at_s += scenario.tick_s
            others = _served(random, scenario, 1.0 - share, scenario.baseline_rate * shared * baseline)
            own = _served(random, scenario, share, rate * shared * canary * cold)
            yield Moment(at_s, step, others[0], own[0], ((share, others[1], own[1]),))


def _served(random: Random, scenario: Scenario, share: float, rate: float) -> tuple[int, int]:
    """Requests of a side in a tick, and how many of them count."""
    mean, rate = scenario.requests_s * scenario.tick_s * share, min(1.0, rate)
    counting = poisson(random, mean * rate)
    return counting + poisson(random, mean * (1.0 - rate)), counting


def _lagging(scenario: Scenario, random: Random) -> Iterator[Moment]:
    """Events that come an exponential time after the exposure, each drawn for the step that its user was exposed in."""
    began: list[float] = []
    at_s = 0.0
    for step, (share, seconds) in enumerate(scenario.shares):
        began.append(at_s)
        end_s = at_s + seconds
        while at_s < end_s - 1e-9:
            at_s += scenario.tick_s
            groups: list[Group] = []
            for past, since_s in enumerate(began):
                until_s = began[past + 1] if past < step else at_s
                arrived = exp(-(at_s - until_s) / scenario.lag_s) - exp(-(at_s - since_s) / scenario.lag_s)
                mean, exposed = scenario.requests_s * scenario.tick_s * arrived, scenario.shares[past][0]
                baseline = poisson(random, mean * (1.0 - exposed) * scenario.baseline_rate)
                canary = poisson(random, mean * exposed * scenario.canary_rate)
                groups.append((exposed if scenario.at_exposure else share, baseline, canary))
            others, own = (poisson(random, scenario.requests_s * part) for part in (1.0 - share, share))
            yield Moment(at_s, step, others, own, tuple(groups))


def _each(scenario: Scenario, random: Random) -> Iterator[Moment]:
    """The same, one by one, and from sides that stand still now and then."""
    stalls = {arm: _stalls(scenario, random) for arm in Arm}
    coming: list[tuple[float, int, Arm, float]] = []
    users, at_s = 0, 0.0
    for step, (share, seconds) in enumerate(scenario.shares):
        end_s = at_s + seconds
        while at_s < end_s - 1e-9:
            at_s += scenario.tick_s
            sides = ((Arm.BASELINE, 1.0 - share, scenario.baseline_rate), (Arm.CANARY, share, scenario.canary_rate))
            for arm, part, rate in sides:
                for _ in range(poisson(random, scenario.requests_s * scenario.tick_s * part * rate)):
                    users += 1
                    exposed_s = at_s - random.random() * scenario.tick_s
                    due_s = exposed_s + (random.expovariate(1.0 / scenario.lag_s) if scenario.lag_s else 0.0)
                    heappush(coming, (_held_up(due_s, stalls[arm], scenario.stall_s), users, arm, exposed_s))
            events: list[Event] = []
            while coming and coming[0][0] <= at_s:
                came_s, user, arm, exposed_s = heappop(coming)
                events.append(Event(at_s=came_s, metric=METRIC, arm=arm, user=f"user {user}", exposed_at_s=exposed_s))
            others, own = (poisson(random, scenario.requests_s * scenario.tick_s * part) for _, part, _ in sides)
            yield Moment(at_s, step, others, own, (), tuple(events))


def _stalls(scenario: Scenario, random: Random) -> list[float]:
    """When a side begins to stand still."""
    found: list[float] = []
    at_s = 0.0
    while scenario.stalls_every_s and at_s < sum(seconds for _, seconds in scenario.shares):
        at_s += random.expovariate(1.0 / scenario.stalls_every_s)
        found.append(at_s)
    return found


def _held_up(due_s: float, stalls: list[float], stall_s: float) -> float:
    """When that comes which was due while its side may have stood still."""
    before = bisect_right(stalls, due_s)
    return max(due_s, stalls[before - 1] + stall_s) if before else due_s


def _retried(scenario: Scenario, random: Random) -> Iterator[Moment]:
    """Users who fail, try again some seconds later, and fail again."""
    waiting: list[tuple[float, int, bool]] = []
    users = 0
    stop = 1.0 / (1.0 + scenario.retries_mean)
    for moment in _immediate(scenario, random):
        for is_canary, count in enumerate(moment.groups[0][1:]):
            for _ in range(count):
                users += 1
                heappush(waiting, (moment.at_s - random.random() * scenario.tick_s, users, bool(is_canary)))
        events: list[Event] = []
        while waiting and waiting[0][0] <= moment.at_s:
            at_s, user, is_canary = heappop(waiting)
            arm = Arm.CANARY if is_canary else Arm.BASELINE
            events.append(Event(at_s=at_s, metric=METRIC, arm=arm, user=f"user {user}"))
            if random.random() > stop:
                heappush(waiting, (at_s + random.expovariate(0.1), user, is_canary))
        yield Moment(moment.at_s, moment.step, moment.baseline_requests, moment.canary_requests, (), tuple(events))


def minutes_before(scenario: Scenario, random: Random) -> list[list[int]]:
    """What counts on each of the baseline's instances in each minute before the rollout."""
    mean = scenario.requests_s * scenario.baseline_rate * 60.0 / scenario.instances
    factors: list[float] = []
    rows: list[list[int]] = []
    for minute in range(_WATCHED_MINUTES):
        if not factors or (scenario.noise_block_s and minute * 60.0 % scenario.noise_block_s == 0):
            factors = [noise(random, scenario.noise_cv) for _ in range(scenario.instances)]
        rows.append([poisson(random, mean * factor) for factor in factors])
    return rows


def _mean_noise(random: Random, cv: float, instances: int) -> float:
    return sum(noise(random, cv) for _ in range(instances)) / instances if cv else 1.0


def _shared(scenario: Scenario, at_s: float) -> float:
    """What both sides suffer alike."""
    since_s, until_s, factor = scenario.incident
    incident = factor if since_s <= at_s < until_s else 1.0
    return incident * (1.0 + scenario.drift * at_s / 3600.0)
