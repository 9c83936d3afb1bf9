"""The judge stops harm, leaves a good release alone, and survives a restart. Each trap of the field is a test here."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from interlock.core.errors import UsageError
from interlock.core.verdict import Verdict
from interlock.roll.decision import Action, decide
from interlock.roll.judge import Arm, Counts, Event, Judge, Noise, Normal, Tick
from interlock.roll.plan import DEFAULT_STEPS, Direction, Kind, Metric, OnUnknown, Plan, ShareFrom, Step
from interlock.roll.simulator.chance import poisson

FAILURES = Metric(name="failures")
ORDERS = Metric(name="orders", kind=Kind.BUSINESS, direction=Direction.DOWN, tolerance=0.2)
SLOW = Metric(name="slow", kind=Kind.LATENCY)
PLAN = Plan(steps=DEFAULT_STEPS, metrics=(FAILURES,))


def begun(plan: Plan, step: int = 0, normal: Normal | None = None) -> Judge:
    judge = Judge(plan, normal)
    judge.begin_step(step, at_s=0.0)
    return judge


def fail(judge: Judge, user: str | None, arm: Arm = Arm.CANARY, at_s: float = 0.5, metric: str = "failures") -> None:
    judge.see(Event(at_s=at_s, metric=metric, arm=arm, user=user))


def test_a_canary_that_fails_alone_is_stopped_within_four_users() -> None:
    judge = begun(PLAN)
    for number in range(4):
        fail(judge, f"u{number}")
    judge.tick(at_s=1.0)

    judgement = judge.judgement(now_s=1.0)
    assert judgement.verdict is Verdict.FAIL
    assert judgement.harmed_users == 4
    assert judgement.reason.startswith("failures: 4 on the canary where 0.0 were to be expected")
    assert decide(PLAN, 0, 1.0, judgement).action is Action.ABORT


def test_one_weird_user_is_no_evidence_however_often_they_try() -> None:
    judge = begun(PLAN)
    for attempt in range(500):
        fail(judge, "weird", at_s=attempt / 10)
        judge.tick(at_s=attempt / 10)

    assert judge.judgement(50.0).verdict is Verdict.UNKNOWN
    assert judge.judgement(50.0).harmed_users == 1


def test_two_harmed_users_are_too_few_whatever_the_evidence_says() -> None:
    plan = replace(PLAN, alpha=0.5, steps=(Step(share=0.0001), Step(share=1.0)))
    judge = begun(plan)
    fail(judge, "a")
    fail(judge, "b")
    judge.tick(1.0)
    assert judge.judgement(1.0).evidence > judge.judgement(1.0).needed
    assert judge.judgement(1.0).verdict is Verdict.UNKNOWN

    fail(judge, "c", at_s=1.5)
    judge.tick(2.0)
    assert judge.judgement(2.0).verdict is Verdict.FAIL


def test_where_there_are_no_users_requests_count() -> None:
    judge = begun(PLAN)
    for _ in range(4):
        fail(judge, None)
    judge.tick(1.0)

    assert judge.judgement(1.0).harmed_users == 4
    assert judge.judgement(1.0).verdict is Verdict.FAIL


def test_what_everybody_suffers_is_not_the_canarys_fault() -> None:
    judge = begun(PLAN)
    for second in range(1, 200):
        judge.observe(Tick(second, 416, 4, {"failures": (Counts(396, 4),)}))

    judgement = judge.judgement(now_s=200.0)
    assert judgement.verdict is Verdict.PASS
    assert decide(PLAN, 0, 1800.0, judgement).action is Action.PROMOTE
    assert decide(PLAN, 0, 1799.0, judgement).action is Action.WAIT


def test_a_drift_that_meets_a_ramp_is_no_paradox() -> None:
    """Failures go from 2 to 6 % on both sides while the canary goes from 1 to 50 %: pooled, the canary looks twice as bad."""
    judge = begun(PLAN)
    random = Random(1)
    highest = 0.0
    pooled = [[0, 0], [0, 0]]
    for second in range(4500):
        step = 0 if second < 1800 else 1 if second < 3600 else 2
        if second in {1800, 3600}:
            judge.begin_step(step, float(second))
        share, rate = PLAN.steps[step].share, 0.02 + 0.04 * second / 4500
        requests = (round(420 * (1 - share)), round(420 * share))
        bad = (poisson(random, 420 * (1 - share) * rate), poisson(random, 420 * share * rate))
        judge.observe(Tick(second + 1.0, *requests, {"failures": (Counts(*bad),)}))
        pooled = [[sums[0] + one, sums[1] + two] for sums, one, two in zip(pooled, requests, bad, strict=True)]
        highest = max(highest, judge.judgement(second + 1.0).evidence)

    assert pooled[1][1] / pooled[1][0] > 1.3 * pooled[0][1] / pooled[0][0]
    assert highest < 100
    assert judge.judgement(4500.0).verdict is Verdict.PASS


def test_orders_are_booked_under_the_share_at_exposure() -> None:
    """Two minutes after the step to 10 %, the orders that come are those of users exposed at 1 %."""
    plan = replace(PLAN, metrics=(ORDERS,))
    right, wrong = begun(plan), begun(plan)
    for judge in (right, wrong):
        judge.begin_step(1, at_s=1800.0)
    for second in range(120):
        for number in range(21):
            arm = Arm.CANARY if number == 0 and second % 5 == 0 else Arm.BASELINE
            order = Event(at_s=1800.0 + second, metric="orders", arm=arm, user=f"{second} {number}", exposed_at_s=1700.0)
            right.see(order)
            wrong.see(replace(order, exposed_at_s=None))
        right.tick(1801.0 + second)
        wrong.tick(1801.0 + second)

    assert right.judgement(1921.0).verdict is not Verdict.FAIL
    assert wrong.judgement(1921.0).verdict is Verdict.FAIL


def test_missing_orders_are_harm_and_more_orders_are_none() -> None:
    plan = replace(PLAN, metrics=(ORDERS,))
    fewer, more = begun(plan, step=1), begun(plan, step=1)
    for second in range(1, 240):
        fewer.observe(Tick(second, 378, 42, {"orders": (Counts(19, 1),)}))
        more.observe(Tick(second, 378, 42, {"orders": (Counts(19, 4),)}))

    assert fewer.judgement(240.0).verdict is Verdict.FAIL
    assert more.judgement(240.0).verdict is Verdict.PASS


def test_a_fault_that_begins_late_is_found_as_soon_as_an_early_one() -> None:
    judge = begun(PLAN, step=1)
    for second in range(1200):
        judge.observe(Tick(second + 1.0, 378, 42, {"failures": (Counts(9, 1),)}))
    assert judge.judgement(1200.0).verdict is Verdict.PASS

    for second in range(1200, 1203):
        judge.observe(Tick(second + 1.0, 378, 42, {"failures": (Counts(9, 16),)}))
    assert judge.judgement(1203.0).verdict is Verdict.FAIL


def test_noise_that_was_measured_is_forgiven_and_unmeasured_is_not() -> None:
    """A pod that fails 60 % more for ever: one of twenty pods that differ by 30 % does."""
    noisy = Normal(noise={"failures": Noise(0.3, 0.3, 0.3, freedom=19)})
    forgiving, strict = begun(PLAN, 1, noisy), begun(PLAN, 1)
    for second in range(1, 1200):
        for judge in (forgiving, strict):
            judge.observe(Tick(second, 378, 42, {"failures": (Counts(10, 2 if second % 5 < 4 else 1),)}))

    assert forgiving.judgement(1200.0).verdict is Verdict.UNKNOWN
    assert strict.judgement(1200.0).verdict is Verdict.FAIL


def test_harm_beyond_the_noise_is_stopped_all_the_same() -> None:
    judge = begun(PLAN, 1, Normal(noise={"failures": Noise(0.3, 0.3, 0.3, freedom=19)}))
    for second in range(1, 30):
        judge.observe(Tick(second, 378, 42, {"failures": (Counts(9, 10),)}))

    assert judge.judgement(30.0).verdict is Verdict.FAIL


def test_a_wrong_share_holds_and_does_not_abort() -> None:
    judge = begun(PLAN)
    for second in range(1, 600):
        judge.observe(Tick(second, 415, 6, {"failures": (Counts(8, 0),)}))

    judgement = judge.judgement(600.0)
    assert judgement.verdict is Verdict.UNKNOWN
    assert judgement.hold == "the router sends 1.425% to the canary, 1.000% was asked"
    assert decide(PLAN, 0, 1800.0, judgement).action is Action.HOLD


def test_the_right_share_never_complains() -> None:
    random = Random(5)
    judge = begun(PLAN)
    for second in range(1, 1800):
        judge.observe(Tick(second, poisson(random, 415.8), poisson(random, 4.2), {}))

    assert judge.judgement(1800.0).hold == ""


def test_a_heavy_user_does_not_make_the_share_wrong() -> None:
    users, requests = begun(PLAN), begun(PLAN)
    for number in range(10_000):
        arm = Arm.CANARY if number % 100 == 0 else Arm.BASELINE
        for judge, named in ((users, True), (requests, False)):
            judge.request(number / 100, arm, f"u{number}" if named else None)
            judge.request(number / 100, Arm.CANARY, "robot" if named else None)
            if number % 1000 == 999:
                judge.tick(number / 100)

    assert users.judgement(100.0).hold == ""
    assert "the router sends" in requests.judgement(100.0).hold


def test_a_share_that_is_measured_is_taken_as_it_is() -> None:
    plan = replace(PLAN, share_from=ShareFrom.REQUESTS)
    judge = begun(plan)
    for second in range(1, 600):
        judge.observe(Tick(second, 380, 40, {"failures": (Counts(19, 2),)}))

    assert judge.judgement(600.0).hold == ""
    assert judge.judgement(600.0).verdict is Verdict.PASS


def test_silence_holds_and_then_aborts() -> None:
    judge = begun(PLAN)
    judge.observe(Tick(1.0, 400, 4))

    assert decide(PLAN, 0, 1800.0, judge.judgement(now_s=11.0)).action is Action.HOLD
    assert decide(PLAN, 0, 0.0, judge.judgement(now_s=62.0)).action is Action.ABORT
    assert "no news for 61 s" in judge.judgement(now_s=62.0).reason


def test_a_canary_that_nobody_reaches_is_not_promoted() -> None:
    judge = begun(PLAN)
    for second in range(1, 10):
        judge.observe(Tick(second, 10, 0))

    judgement = judge.judgement(9.0)
    assert judgement.hold == "the canary has served nobody in this step"
    assert decide(PLAN, 0, 1800.0, judgement).action is Action.HOLD


def test_too_little_traffic_is_unknown_and_neither_pass_nor_fail() -> None:
    judge = begun(PLAN)
    for second in range(1, 1800):
        judge.observe(Tick(second, 2, second % 50 == 0, {"failures": (Counts(second % 25 == 0, 0),)}))

    judgement = judge.judgement(1800.0)
    assert judgement.verdict is Verdict.UNKNOWN
    assert not judgement.metrics[0].visible
    assert decide(PLAN, 0, 1800.0, judgement) == decide(PLAN, 0, 1800.0, judgement)
    assert decide(PLAN, 0, 1800.0, judgement).reason == "too little to see of failures"


def test_what_could_be_seen_and_is_not_known_to_be_good_holds_unless_the_plan_says_otherwise() -> None:
    judge = begun(PLAN, step=1)
    for second in range(1, 61):
        judge.observe(Tick(second, 378, 42, {"failures": (Counts(18, 3 if second % 2 else 2),)}))

    judgement = judge.judgement(60.0)
    assert judgement.verdict is Verdict.UNKNOWN
    assert decide(PLAN, 1, 1800.0, judgement).action is Action.HOLD
    assert decide(replace(PLAN, on_unknown=OnUnknown.PROMOTE), 1, 1800.0, judgement).action is Action.PROMOTE


def test_a_cold_start_is_forgiven_and_a_disaster_is_not() -> None:
    plan = replace(PLAN, metrics=(replace(FAILURES, warm_up_s=60.0),))
    cold, dead, unforgiven = begun(plan, 1), begun(plan, 1), begun(PLAN, 1)
    for second in range(1, 60):
        for judge in (cold, unforgiven):
            judge.observe(Tick(second, 378, 42, {"failures": (Counts(9, 3),)}))
    dead.observe(Tick(1.0, 378, 42, {"failures": (Counts(9, 40),)}))

    assert cold.judgement(60.0).verdict is Verdict.UNKNOWN
    assert unforgiven.judgement(60.0).verdict is Verdict.FAIL
    assert dead.judgement(1.0).verdict is Verdict.FAIL


def test_harm_to_both_sides_breaks_an_absolute_limit() -> None:
    plan = replace(PLAN, metrics=(replace(FAILURES, limit=0.05),))
    within, beyond = begun(plan), begun(plan)
    for second in range(1, 120):
        within.observe(Tick(second, 396, 4, {"failures": (Counts(19, second % 5 == 0),)}))
        beyond.observe(Tick(second, 396, 4, {"failures": (Counts(99, 1),)}))

    assert within.judgement(120.0).verdict is not Verdict.FAIL
    assert beyond.judgement(120.0).verdict is Verdict.FAIL
    assert "more than 5.00% of the requests, over the whole service" in beyond.judgement(120.0).reason


def test_too_few_sign_ups_an_hour_break_a_limit() -> None:
    sign_ups = Metric(name="sign-ups", kind=Kind.COUNT, direction=Direction.DOWN, limit=60.0)
    plan = replace(PLAN, metrics=(sign_ups,))
    dry, wet = begun(plan), begun(plan)
    for minute in range(1, 31):
        dry.observe(Tick(60.0 * minute, 100, 1))
        wet.observe(Tick(60.0 * minute, 100, 1, {"sign-ups": (Counts(1, 0),)}))

    assert dry.judgement(1800.0).verdict is Verdict.FAIL
    assert wet.judgement(1800.0).verdict is not Verdict.FAIL


def slow_events(judge: Judge, random: Random, at_s: float, factor: float) -> None:
    for number in range(100):
        arm = Arm.CANARY if number % 10 == 0 else Arm.BASELINE
        value = random.lognormvariate(4.4, 0.6) * (factor if arm is Arm.CANARY else 1.0)
        judge.see(Event(at_s=at_s, metric="slow", arm=arm, value=value))
        judge.request(at_s, arm)


@pytest.mark.parametrize(("factor", "expected"), [(1.0, False), (2.0, True)])
def test_latency_is_compared_by_tails_that_were_fixed_before(factor: float, *, expected: bool) -> None:
    plan = replace(PLAN, metrics=(replace(SLOW, tolerance=1.0),))
    judge = Judge(plan)
    random = Random(8)
    for second in range(-60, 0):
        slow_events(judge, random, float(second), 1.0)
    judge.begin_step(1, 0.0)
    for second in range(60):
        slow_events(judge, random, float(second), factor)
        judge.tick(second + 1.0)

    assert (judge.judgement(60.0).verdict is Verdict.FAIL) is expected


def test_latency_without_thresholds_is_unknown_and_holds() -> None:
    plan = replace(PLAN, metrics=(SLOW,))
    judge = begun(plan)
    judge.request(0.5, Arm.CANARY)
    judge.tick(1.0)

    assert decide(plan, 0, 1800.0, judge.judgement(1.0)).action is Action.HOLD
    assert "too little was seen before the first step" in judge.judgement(1.0).reason


def test_how_much_instances_differ_is_learned_before_the_first_step() -> None:
    random = Random(4)
    judge = Judge(PLAN)
    for minute in range(12):
        for number, mean in enumerate((5.0, 10.0, 15.0, 20.0, 25.0, 30.0)):
            for count in range(100):
                bad = count < poisson(random, mean)
                second = 60.0 * minute + count / 2 - 720.0
                judge.see(Event(at_s=second, metric="failures", arm=Arm.BASELINE, bad=bad, instance=f"i{number}"))
    judge.begin_step(1, 0.0)
    for second in range(1, 60):
        judge.observe(Tick(second, 378, 42, {"failures": (Counts(9, 2),)}))

    assert judge.judgement(60.0).verdict is not Verdict.FAIL
    assert '"freedom": 5' in judge.to_json()


def test_several_metrics_share_alpha_and_the_right_one_is_blamed() -> None:
    plan = replace(PLAN, metrics=(replace(FAILURES, weight=3.0), ORDERS))
    judge = begun(plan, 1)
    for second in range(1, 240):
        judge.observe(Tick(second, 378, 42, {"failures": (Counts(9, 1),), "orders": (Counts(19, 1),)}))

    judgement = judge.judgement(240.0)
    assert [metric.needed for metric in judgement.metrics] == pytest.approx([100 / 0.75, 100 / 0.25])
    assert judgement.reason.startswith("orders: ")
    assert judgement.verdict is Verdict.FAIL


def test_a_single_canary_instance_is_said_to_be_indistinguishable_from_a_bad_node() -> None:
    two = replace(PLAN, steps=(Step(share=0.01, canary_instances=2), Step(share=1.0)))
    for plan, said in ((PLAN, True), (two, False)):
        judge = begun(plan)
        judge.observe(Tick(1.0, 416, 4, {"failures": (Counts(8, 4),)}))
        assert ("a bad node cannot be told from a bad version" in judge.judgement(1.0).reason) is said


def test_a_judge_goes_on_where_its_predecessor_was_killed() -> None:
    plan = Plan(
        steps=DEFAULT_STEPS,
        metrics=(replace(FAILURES, warm_up_s=1.5, limit=0.5), ORDERS, replace(SLOW, above_ms=(100.0, 200.0))),
    )
    judge = begun(plan, 0, Normal(noise={"failures": Noise(0.3, 0.2, 0.1, freedom=9), "orders": Noise.assumed(0.3)}))
    for second in range(1, 70):
        judge.request(second - 0.5, Arm.CANARY, f"u{second}")
        fail(judge, f"u{second % 7}", Arm.CANARY if second % 9 == 0 else Arm.BASELINE, second - 0.5)
        judge.see(Event(at_s=second - 0.5, metric="slow", arm=Arm.BASELINE, user=f"u{second}", value=150.0))
        judge.observe(Tick(second, 400, 4, {"orders": (Counts(20, 0),)}))
        judge = Judge.from_json(plan, judge.to_json())
    unbroken = Judge.from_json(plan, judge.to_json())
    for either in (judge, unbroken):
        either.begin_step(1, 70.0)
        either.tick(71.0)

    assert unbroken.to_json() == judge.to_json()
    assert unbroken.judgement(71.0) == judge.judgement(71.0)
    assert judge.judgement(71.0).exposed_users == 69 + 69 * 4


def test_a_restart_changes_nothing() -> None:
    def told(*, restarted: bool) -> str:
        judge = begun(PLAN, 1, Normal(noise={"failures": Noise(0.3, 0.2, 0.1, freedom=9)}))
        random = Random(6)
        for second in range(1, 400):
            judge.observe(Tick(second, 378, 42, {"failures": (Counts(poisson(random, 8.0), poisson(random, 1.0)),)}))
            if restarted and second % 37 == 0:
                judge = Judge.from_json(PLAN, judge.to_json())
        return judge.to_json()

    assert told(restarted=True) == told(restarted=False)


def test_the_state_of_another_plan_is_refused() -> None:
    with pytest.raises(
        UsageError, match="the state is of version 2 and metrics failures; expected version 2 and metrics orders"
    ):
        Judge.from_json(replace(PLAN, metrics=(ORDERS,)), begun(PLAN).to_json())


def test_memory_does_not_grow_with_the_rollout() -> None:
    """40,000 users who all fail: their names alone would be 400 kB."""
    judge = begun(PLAN)
    for number in range(40_000):
        judge.request(number / 100, Arm.CANARY if number % 100 else Arm.BASELINE, f"user {number:05}")
        fail(judge, f"user {number:05}", Arm.BASELINE, number / 100)
        if number % 1000 == 999:
            judge.tick((number + 1) / 100)

    assert len(judge.to_json()) < 200_000


def test_memory_does_not_grow_with_shares_that_are_measured() -> None:
    judge = begun(replace(PLAN, share_from=ShareFrom.REQUESTS), 1)
    sizes: list[int] = []
    for second in range(1, 601):
        judge.observe(Tick(second, 370 + second % 29, 40 + second % 7, {"failures": (Counts(9, 1),)}))
        sizes.append(len(judge.to_json()))

    assert sizes[-1] < sizes[99] + 100


def test_unknown_metrics_and_time_that_goes_back_are_errors() -> None:
    judge = begun(PLAN)
    with pytest.raises(UsageError, match="expected one of the plan's metrics: failures"):
        fail(judge, "u", metric="failure")
    judge.tick(2.0)
    with pytest.raises(UsageError, match="expected time to go forward"):
        judge.tick(1.0)
