"""Nobody is missing yet who was exposed a moment ago, and whoever does not come at all is missing a moment later."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from interlock.core.verdict import Verdict
from interlock.roll.decision import Action, decide
from interlock.roll.judge import Arm, Counts, Event, Judge, Tick
from interlock.roll.plan import Direction, Kind, Metric, Plan, Step

SETTLES_S = 10.0
TICK_S = 0.25
ORDERS = Metric(name="orders", kind=Kind.BUSINESS, direction=Direction.DOWN, tolerance=0.2, settles_s=SETTLES_S)
PLAN = Plan(steps=(Step(share=0.1, bake_s=60.0), Step(share=0.5, bake_s=60.0), Step(share=1.0, bake_s=0.0)), metrics=(ORDERS,))
AT_ONCE = replace(PLAN, metrics=(replace(ORDERS, settles_s=0.0),))

Late = Callable[[float], float | None]  # When the order of a user of the canary comes, by when that one was exposed.


def prompt(exposed_s: float) -> float | None:
    """Comes as soon as its user is exposed."""
    return exposed_s


def stalled(exposed_s: float) -> float | None:
    """Comes after half a second in which the canary stood still."""
    return max(exposed_s, 20.5) if exposed_s >= 20.0 else exposed_s


def never(exposed_s: float) -> float | None:  # noqa: ARG001 - whenever that was.
    """Does not come."""
    return None


def judged(plan: Plan, late: Late, *, seconds: float = 60.0, kept: bool = False) -> tuple[Judge, float | None]:
    """A judge in the step of 50 %, with 300 orders a second, and when it stopped the release; `late` holds for the canary."""
    judge = Judge(plan)
    judge.begin_step(1, 0.0)
    coming: list[Event] = []
    for tick in range(1, round(seconds / TICK_S) + 1):
        at_s = tick * TICK_S
        for number in range(75):
            exposed_s = at_s - TICK_S + number / 300
            arm = Arm.CANARY if number % 2 else Arm.BASELINE
            comes_s = late(exposed_s) if arm is Arm.CANARY else exposed_s
            if comes_s is not None:
                user = f"{tick} {number}"
                coming.append(Event(at_s=comes_s, metric="orders", arm=arm, user=user, exposed_at_s=exposed_s))
        for event in [event for event in coming if event.at_s <= at_s]:
            judge.see(event)
        coming = [event for event in coming if event.at_s > at_s]
        judge.request(at_s, Arm.CANARY)
        judge.tick(at_s)
        if kept:
            judge = Judge.from_json(plan, judge.to_json())
        if judge.judgement(at_s).verdict is Verdict.FAIL:
            return judge, at_s
    return judge, None


def test_a_canary_that_stands_still_for_half_a_second_has_lost_no_orders() -> None:
    assert judged(PLAN, stalled)[1] is None


def test_judged_as_they_come_they_would_be_lost() -> None:
    assert judged(AT_ONCE, stalled)[1] is not None


def test_orders_that_never_come_are_missing_as_soon_as_they_would_have_settled() -> None:
    at_once, settled = judged(AT_ONCE, never)[1], judged(PLAN, never)[1]

    assert at_once is not None
    assert settled is not None
    assert SETTLES_S <= settled - at_once <= SETTLES_S * 41 / 40 + TICK_S


def test_a_small_loss_is_found_later_by_no_more_than_it_takes_to_settle() -> None:
    def forgetful(exposed_s: float) -> float | None:
        return None if round(exposed_s * 300) % 8 == 1 else exposed_s

    at_once, settled = judged(AT_ONCE, forgetful)[1], judged(PLAN, forgetful)[1]

    assert at_once is not None
    assert settled is not None
    assert settled - at_once <= SETTLES_S * 41 / 40 + TICK_S


def test_an_order_that_comes_after_it_was_missed_is_no_longer_missing() -> None:
    def late(exposed_s: float) -> float | None:
        return exposed_s + 2 * SETTLES_S if exposed_s < 1.0 else exposed_s

    judge, _ = judged(replace(PLAN, harmed_min=10**6), late, seconds=2 * SETTLES_S + 4.0)
    (orders,) = judge.judgement(0.0).metrics

    assert orders.canary == pytest.approx(orders.expected, rel=0.05)


def test_a_restart_loses_none_of_those_that_wait() -> None:
    unbroken, broken = judged(PLAN, stalled, seconds=25.0)[0], judged(PLAN, stalled, seconds=25.0, kept=True)[0]

    assert broken.to_json() == unbroken.to_json()


def test_what_waits_is_bounded() -> None:
    def waiting(seconds: float) -> int:
        return len(str(json.loads(judged(PLAN, prompt, seconds=seconds)[0].to_json())["intake"]["settling"]))

    assert waiting(60.0) <= 1.1 * waiting(20.0)


def test_a_clock_that_goes_wrong_keeps_nobody_waiting_for_ever() -> None:
    judge = Judge(PLAN)
    judge.begin_step(1, 0.0)
    for number in range(100):
        arm = Arm.CANARY if number % 2 else Arm.BASELINE
        judge.see(Event(at_s=1.0, metric="orders", arm=arm, user=str(number), exposed_at_s=1e9))
    judge.tick(1.0)
    judge.tick(1.0 + SETTLES_S * 41 / 40)

    assert judge.judgement(12.0).metrics[0].canary == 50


@pytest.mark.parametrize(("lost_from_s", "expected"), [(0.0, Verdict.UNKNOWN), (4.0, Verdict.FAIL)])
def test_who_was_exposed_in_a_warm_up_is_forgiven_and_nobody_else_whenever_that_settles(
    lost_from_s: float, expected: Verdict
) -> None:
    """Steps of 8 s: the first two seconds of one are forgiven, which are judged when the next one has begun."""
    judge = Judge(replace(PLAN, metrics=(replace(ORDERS, warm_up_s=2.0),)))
    judge.begin_step(1, 0.0)
    for number in range(2000):
        exposed_s = number / 250
        is_canary = number % 2 == 1
        if not (is_canary and number % 8 != 1 and lost_from_s <= exposed_s < lost_from_s + 2.0):
            arm = Arm.CANARY if is_canary else Arm.BASELINE
            judge.see(Event(at_s=exposed_s, metric="orders", arm=arm, user=f"{number}", exposed_at_s=exposed_s))
    judge.tick(8.0)
    judge.begin_step(1, 8.0)
    judge.tick(20.0)

    assert judge.judgement(20.0).verdict is expected


def test_a_step_lasts_until_what_its_last_users_did_has_settled() -> None:
    judge = Judge(PLAN)
    judge.begin_step(0, 0.0)
    judge.observe(Tick(69.0, 900, 100, {"orders": (Counts(900, 100),)}))
    judgement = judge.judgement(69.0)

    assert decide(PLAN, 0, 69.0, judgement).action is Action.WAIT
    assert decide(PLAN, 0, 70.0, judgement).action is Action.PROMOTE
    assert decide(PLAN, 2, 0.0, judgement).action is Action.PROMOTE  # With everybody there is nothing to wait for.
    assert PLAN.planned_s == 140.0


def limited(count: int, *, later: bool) -> Judge:
    """A judge whose limit is 3,600 orders an hour, after 20 s with so many orders a second, which wait or are nobody's."""
    judge = Judge(replace(PLAN, metrics=(replace(ORDERS, limit=3600.0),)))
    judge.begin_step(0, 0.0)
    for second in range(1, 21):
        for number in range(count):
            if later:
                judge.arrived("orders")
            else:
                arm = Arm.CANARY if number == 0 and second % 2 else Arm.BASELINE
                judge.see(Event(at_s=second, metric="orders", arm=arm, user=f"{second} {number}", exposed_at_s=second))
        judge.request(second, Arm.CANARY)
        judge.tick(second)
    return judge


@pytest.mark.parametrize("later", [False, True])
def test_an_absolute_limit_counts_orders_when_they_come_settled_or_not(*, later: bool) -> None:
    assert limited(5, later=later).judgement(20.0).verdict is not Verdict.FAIL
    assert "fewer than 3600 an hour" in limited(0, later=later).judgement(20.0).reason


def test_an_absolute_limit_does_not_count_the_time_in_which_nobody_listened() -> None:
    kept, gone_on = (limited(5, later=False) for _ in range(2))
    for judge, resumed in ((kept, False), (gone_on, True)):
        if resumed:
            judge.resume(620.0)
        judge.tick(620.0)

    assert "an hour" in kept.judgement(620.0).reason
    assert "an hour" not in gone_on.judgement(620.0).reason
