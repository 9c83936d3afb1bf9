"""Hears all sources, tells the judge, and notices silence.

A judge that is told nothing sees nothing wrong. So every source has to say something within its time; one that does not keeps
the rollout where it is, and ends it when that lasts.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from interlock.core.errors import WorldError
from interlock.roll import judge as judging
from interlock.roll.buckets import BUCKETS, bucket_of
from interlock.roll.exposures import Came, Exposures, Served
from interlock.roll.judge import Arm, Counts, Tick
from interlock.roll.plan import Kind
from interlock.roll.shares import within
from interlock.roll.sources import BusinessEvent, Count, Event, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from interlock.roll.exposures import Exposure
    from interlock.roll.judge import Judge
    from interlock.roll.plan import Plan
    from interlock.roll.shares import Shares
    from interlock.roll.sources import Heard, Source

REQUESTS: Final = "requests"
_BEYOND_S: Final = 1.0  # So long, at every look.
_PART_WAITED: Final = 0.25  # Of settles_s, for the line of a request that goes on after its order has come.


@dataclass(slots=True, kw_only=True)
class Ear:
    """One source, and how long it may say nothing."""

    source: Source
    silent_s: float
    names: tuple[str, ...] = ()  # the metrics that this source alone tells of
    at_most: dict[str, float] = field(default_factory=dict[str, float])  # of readings, by their name
    beyond_s: dict[str, float] = field(default_factory=dict[str, float])  # since when they are more
    heard_at_s: float = 0.0
    trouble: str = ""

    def poll(self, now_s: float) -> Sequence[Heard]:
        """What is new; nothing, and a trouble, if the source cannot tell."""
        try:
            heard = self.source.poll()
        except WorldError as error:
            self.trouble = str(error)
            return []
        # That somebody tells of something else is no news of what is asked for.
        news = any(isinstance(one, Event) or not self.names or one.name in self.names for one in heard)
        if news or (not heard and self.source.idle()):
            self.heard_at_s, self.trouble = now_s, ""
        return heard

    def silence_s(self, now_s: float) -> float:
        """How long it has said nothing beyond what it may."""
        return max(0.0, now_s - self.heard_at_s - self.silent_s)


@dataclass(slots=True, kw_only=True)
class Totals:
    """Requests and failures of both arms."""

    requests: dict[Arm, int] = field(default_factory=lambda: dict.fromkeys(Arm, 0))
    failed: dict[Arm, int] = field(default_factory=lambda: dict.fromkeys(Arm, 0))

    def add(self, arm: Arm, requests: int, failed: int) -> None:
        """More of them."""
        self.requests[arm] += requests
        self.failed[arm] += failed

    def failure_rate(self) -> float | None:
        """Of all that were served; None if nobody was."""
        served = sum(self.requests.values())
        return sum(self.failed.values()) / served if served else None


class Listening:
    """All ears of a rollout."""

    def __init__(self, plan: Plan, judge: Judge, shares: Shares, ears: Sequence[Ear]) -> None:
        own = {name for ear in ears for name in ear.names}
        self.told = {metric.name: metric for metric in plan.metrics if metric.name in own}
        self._of_requests = [metric for metric in plan.metrics if metric.name not in own]
        self._judge = judge
        self._shares = shares
        self._waiting: list[Came] = []  # Business events, for the line of their request.
        self._settles_s = max((metric.settles_s for metric in self.told.values()), default=0.0)
        self._exposures = Exposures(shares, 2 * self._settles_s)
        self._looked_s = 0.0
        self.ears = ears
        self.totals = Totals()
        self.exceeded = ""  # what is beyond an absolute limit on the canary, and has been for a while
        self.served_at_s = 0.0
        self.unknown: set[str] = set()  # names of events that no metric has

    def begin(self, now_s: float) -> None:
        """Silence counts from now."""
        self.served_at_s = self._looked_s = now_s
        for ear in self.ears:
            ear.heard_at_s = now_s

    def hear(self, now_s: float) -> bool:
        """Tells the judge what is new. True if there were requests."""
        before = sum(self.totals.requests.values())
        counts: dict[str, dict[int, dict[Arm, int]]] = defaultdict(lambda: defaultdict(lambda: dict.fromkeys(Arm, 0)))
        requests = dict.fromkeys(Arm, 0)
        for ear in self.ears:
            for heard in ear.poll(now_s):
                match heard:
                    case Event():
                        self._event(heard, now_s)
                    case BusinessEvent():
                        self._came(Came(heard, self._looked_s, now_s))
                    case Count():
                        self._count(heard, counts, requests)
                    case Reading():
                        self._reading(heard, ear, now_s)
        self._waiting = [came for came in self._waiting if not self._is_attributed(came, now_s)]
        self._looked_s = now_s
        served = sum(self.totals.requests.values()) > before
        if served:
            self.served_at_s = now_s
        if counts or any(requests.values()):
            told = {name: tuple(_paired(by_limit)) for name, by_limit in counts.items()}
            self._judge.observe(Tick(now_s, requests[Arm.BASELINE], requests[Arm.CANARY], told))
        elif any(ear.heard_at_s == now_s for ear in self.ears if not ear.names and not ear.at_most):
            self._judge.tick(now_s)
        return served

    def silent(self, now_s: float) -> tuple[float, str]:
        """How long the most silent source is beyond its time, and what is wrong with it."""
        ear = max(self.ears, key=lambda ear: ear.silence_s(now_s))
        silence_s = ear.silence_s(now_s)
        return silence_s, (ear.trouble or f"{ear.source.name}: nothing for {now_s - ear.heard_at_s:.0f} s") if silence_s else ""

    def nobody(self, now_s: float, limit_s: float) -> str:
        """That nobody comes any more, if so; to hear well of nothing is to know nothing."""
        idle_s = now_s - self.served_at_s
        return f"nobody has come for {idle_s:.0f} s" if idle_s > limit_s else ""

    def _event(self, event: Event, now_s: float) -> None:
        """A request."""
        during = self._shares.during(event.limit)
        user = None if event.user is None else str(event.user)
        self.totals.add(event.arm, 1, int(event.failed))
        if self._shares.since and event.limit == self._shares.since[-1][1]:
            self._judge.request(now_s, event.arm, user)
        if during is None:
            return  # Sent there under a share that this rollout never asked for, such as an entry that had ended.
        if event.user is not None and self._settles_s:
            begun_s = self._looked_s - (event.duration_ms or 0.0) / 1000  # It ended after the last look, so not before that.
            self._exposures.note(event.user, Served(begun_s, now_s, event.limit))
        for metric in self._of_requests:
            if event.duration_ms is not None if metric.kind is Kind.LATENCY else event.failed:
                self._judge.see(
                    judging.Event(
                        at_s=now_s,
                        metric=metric.name,
                        arm=event.arm,
                        user=user,
                        bad=event.failed,
                        value=event.duration_ms or 0.0,
                        exposed_at_s=within(now_s, during),
                    )
                )

    def _came(self, came: Came) -> None:
        """Something of the business, at once if it needs not wait."""
        event = came.event
        if event.name == REQUESTS:
            self._request(came)
        elif event.name not in self.told:
            self.unknown.add(event.name)
        elif self.told[event.name].kind is Kind.FAILURES or not event.failed:
            self._judge.arrived(event.name)
            if self.told[event.name].settles_s and event.exposed_s is None:
                self._waiting.append(came)
            else:
                self._attribute(came, self._exposures.told(came), came.at_s)

    def _request(self, came: Came) -> None:
        """A request that the business tells of, where no router does."""
        event, exposure = came.event, self._exposures.told(came)
        if exposure is not None:
            arm = _side(event.user, exposure.limit)
            self._event(Event(arm=arm, limit=exposure.limit, user=event.user, failed=event.failed), came.at_s)

    def _is_attributed(self, came: Came, now_s: float) -> bool:
        """Whether an event that waits needs not wait any more."""
        exposure = self._exposures.under_way(came)
        if exposure is None and now_s - came.at_s < _PART_WAITED * self.told[came.event.name].settles_s:
            return False
        self._attribute(came, exposure or self._exposures.before(came) or self._exposures.told(came), now_s)
        return True

    def _attribute(self, came: Came, exposure: Exposure | None, now_s: float) -> None:
        """Tells the judge whose it is, if that can be known."""
        event = came.event
        during = None if exposure is None else self._shares.during(exposure.limit)
        if exposure is None or during is None:
            return
        self._judge.see(
            judging.Event(
                at_s=now_s,
                metric=event.name,
                arm=_side(event.user, exposure.limit),
                user=str(event.user),
                bad=event.failed,
                exposed_at_s=within(exposure.at_s, during),
                counted=True,
            )
        )

    def _count(self, count: Count, counts: dict[str, dict[int, dict[Arm, int]]], requests: dict[Arm, int]) -> None:
        if count.name == REQUESTS:
            requests[count.arm] += count.total
            self.totals.add(count.arm, count.total, count.failed)
            for metric in self._of_requests:
                if metric.kind is Kind.FAILURES:
                    counts[metric.name][count.limit][count.arm] += count.failed
        elif count.name in self.told:
            counts[count.name][count.limit][count.arm] += count.total
        else:
            self.unknown.add(count.name)

    def _reading(self, reading: Reading, ear: Ear, now_s: float) -> None:
        """A gauge of one instance of the canary. One high reading is no harm: a pool may well be full for a moment."""
        at_most = ear.at_most.get(reading.name)
        if reading.arm is not Arm.CANARY or at_most is None:
            return
        if reading.value <= at_most:
            ear.beyond_s.pop(reading.name, None)
        elif now_s - ear.beyond_s.setdefault(reading.name, now_s) >= _BEYOND_S:
            self.exceeded = f"{reading.name} is {reading.value:g} on the canary, at most {at_most:g} was allowed"

    def close(self) -> None:
        """Gives back what the sources hold."""
        for ear in self.ears:
            ear.source.close()


def _side(user: int, limit: int) -> Arm:
    return Arm.CANARY if bucket_of(user) < limit else Arm.BASELINE


def _paired(by_limit: dict[int, dict[Arm, int]]) -> Iterator[Counts]:
    for limit, arms in by_limit.items():
        yield Counts(arms[Arm.BASELINE], arms[Arm.CANARY], limit / BUCKETS)
