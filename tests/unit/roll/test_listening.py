"""What is heard of gauges that have a limit, and of orders that come late."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING

import pytest

from interlock.core.verdict import Verdict
from interlock.roll.buckets import BUCKETS, bucket_of, user_hash
from interlock.roll.decision import unseen
from interlock.roll.judge import Arm, Judge, Tick
from interlock.roll.listening import Ear, Listening
from interlock.roll.plan import Direction, Kind, Metric, Plan, Step
from interlock.roll.rollback import recovered
from interlock.roll.shares import Shares
from interlock.roll.sources import BusinessEvent, Event, Reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.roll.judge import Judgement

PLAN = Plan(steps=(Step(share=0.5, bake_s=60.0),), metrics=(Metric(name="failures"),))
POOL = "connections_in_use"
AT_MOST = 8.0


@dataclass(slots=True)
class Gauge:
    """One instance of the canary."""

    value: float
    name: str = "a gauge"

    def poll(self) -> list[Reading]:
        return [Reading(name=POOL, arm=Arm.CANARY, value=self.value)]

    def idle(self) -> bool:
        return False

    def close(self) -> None:
        """There is nothing to give back."""


def listening_to(*gauges: Gauge) -> Listening:
    ears = [Ear(source=gauge, silent_s=5.0, at_most={POOL: AT_MOST}) for gauge in gauges]
    return Listening(PLAN, Judge(PLAN), Shares([]), ears)


@pytest.mark.parametrize("others", [[], [1.0], [1.0, 2.0]])
def test_a_pool_that_stays_full_is_told_whatever_the_other_instances_have(others: list[float]) -> None:
    listening = listening_to(Gauge(9.0), *map(Gauge, others))
    for at_s in (0.0, 0.5):
        listening.hear(at_s)
        assert not listening.exceeded

    listening.hear(1.0)

    assert listening.exceeded == f"{POOL} is 9 on the canary, at most 8 was allowed"


def test_a_pool_that_is_full_for_a_moment_is_no_leak() -> None:
    gauge = Gauge(9.0)
    listening = listening_to(gauge)
    for at_s, value in enumerate((9.0, 8.0, 9.0, 8.0)):
        gauge.value = value
        listening.hear(at_s * 0.6)

    assert not listening.exceeded


ORDERS = Metric(name="orders", kind=Kind.BUSINESS, direction=Direction.DOWN, tolerance=0.2, settles_s=5.0)
TICK_S = 0.25
LIMIT = BUCKETS // 2


@dataclass(slots=True)
class Router:
    """Users who come to a checkout 300 times a second: its log, written when it has answered, and the provider's orders."""

    stands_still: tuple[float, float] = (0.0, 0.0)  # the canary's, from and until
    loses: bool = False  # whether the canary's orders are lost then, and not late
    name: str = "a router"
    at_s: float = 0.0
    orders: list[BusinessEvent] = field(default_factory=list[BusinessEvent])
    _waiting: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])
    _users: int = 0

    def poll(self) -> list[Event]:
        self.at_s += TICK_S
        for _ in range(75):
            self._users += 1
            self._waiting.append((user_hash(str(self._users), "a1b2"), self.at_s - TICK_S / 2))
        since_s, until_s = self.stands_still
        answered = [one for one in self._waiting if not (bucket_of(one[0]) < LIMIT and since_s <= self.at_s < until_s)]
        self._waiting = [one for one in self._waiting if one not in answered]
        lost = {user for user, begun_s in answered if self.loses and bucket_of(user) < LIMIT and since_s <= begun_s < until_s}
        self.orders += [BusinessEvent(name="orders", user=user, lag_s=0.0) for user, _ in answered if user not in lost]
        return [
            Event(
                arm=Arm.CANARY if bucket_of(user) < LIMIT else Arm.BASELINE,
                limit=LIMIT,
                user=user,
                duration_ms=1000 * (self.at_s - begun_s),
            )
            for user, begun_s in answered
        ]

    def idle(self) -> bool:
        return False

    def close(self) -> None:
        """There is nothing to give back."""


@dataclass(slots=True)
class Provider:
    """Tells of the orders, and not of when anybody was exposed."""

    router: Router
    name: str = "a provider"

    def poll(self) -> list[BusinessEvent]:
        told, self.router.orders = self.router.orders, []
        return told

    def idle(self) -> bool:
        return False

    def close(self) -> None:
        """There is nothing to give back."""


def heard_for(seconds: float, router: Router, orders: Metric = ORDERS) -> Judgement:
    """What is known after so long of a step of 50 %, or as soon as it is stopped."""
    plan = Plan(steps=(Step(share=0.5, bake_s=60.0), Step(share=1.0)), metrics=(orders,))
    judge, shares = Judge(plan), Shares([(-100.0, 0), (0.0, LIMIT)])
    ears = [Ear(source=Provider(router), silent_s=5.0, names=("orders",)), Ear(source=router, silent_s=5.0)]
    listening = Listening(plan, judge, shares, ears)
    listening.begin(0.0)
    judge.begin_step(0, 0.0)
    for tick in range(1, round(seconds / TICK_S) + 1):
        listening.hear(tick * TICK_S)
        if (judgement := judge.judgement(tick * TICK_S)).verdict is Verdict.FAIL:
            return judgement
    return judge.judgement(seconds)


def test_orders_that_say_nothing_of_their_exposure_are_found_in_the_routers_log_and_wait_for_a_canary_that_stands_still() -> (
    None
):
    stalled = heard_for(30.0, Router(stands_still=(15.0, 16.0)))

    assert stalled.verdict is not Verdict.FAIL
    assert stalled.metrics[0].canary > 3000
    assert heard_for(30.0, Router(stands_still=(15.0, 16.0)), replace(ORDERS, settles_s=0.0)).verdict is Verdict.FAIL


def test_orders_that_the_canary_loses_are_missing_all_the_same() -> None:
    assert heard_for(30.0, Router(stands_still=(15.0, 18.0), loses=True)).verdict is Verdict.FAIL


def test_what_no_metric_is_called_is_not_counted_and_told() -> None:
    judge = Judge(PLAN)
    router = Router(orders=[BusinessEvent(name="ordres", user=1)])
    listening = Listening(PLAN, judge, Shares([(0.0, 0)]), [Ear(source=Provider(router), silent_s=5.0)])
    listening.hear(1.0)

    assert listening.unknown == {"ordres"}


def test_that_somebody_tells_of_something_else_is_no_news_of_what_is_asked_for() -> None:
    router = Router(orders=[BusinessEvent(name="page views", user=1)])
    ear = Ear(source=Provider(router), silent_s=5.0, names=("orders",))
    ear.poll(7.0)
    assert ear.silence_s(7.0) == 2.0

    router.orders = [BusinessEvent(name="orders", user=1)]
    ear.poll(8.0)
    assert ear.silence_s(8.0) == 0.0


def test_where_a_source_of_its_own_has_told_of_no_failure_nobody_is_called_spotless() -> None:
    judge = Judge(PLAN)
    judge.begin_step(0, 0.0)
    for second in range(1, 11):
        judge.observe(Tick(second, 500, 500, {}))
    judgement = judge.judgement(10.0)

    assert unseen(PLAN, judgement, told=()) == []
    assert unseen(PLAN, judgement, told=("failures",)) == ["failures"]


def test_a_recovery_that_few_have_seen_is_none() -> None:
    for users, expected in ((1, Verdict.UNKNOWN), (75, Verdict.PASS)):
        listening = Listening(PLAN, Judge(PLAN), Shares([(0.0, 0)]), [Ear(source=Few(users), silent_s=5.0)])
        assert recovered(listening, 5.0, 0.0, ticking()).verdict is expected


def ticking() -> Callable[[], float]:
    """A clock on which a tenth of a second passes between two looks."""
    ticks = count()
    return lambda: next(ticks) / 10


@dataclass(slots=True)
class Few:
    """So many requests of the baseline, once they are looked for."""

    users: int
    name: str = "a log"
    _looks: int = 0

    def poll(self) -> list[Event]:
        self._looks += 1
        return [Event(arm=Arm.BASELINE, limit=0, user=user) for user in range(self.users)] if self._looks == 2 else []

    def idle(self) -> bool:
        return False

    def close(self) -> None:
        """There is nothing to give back."""
