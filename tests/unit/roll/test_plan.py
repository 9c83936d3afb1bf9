"""A plan is read strictly, and the planner says what a step cannot see."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from interlock.core.errors import UsageError
from interlock.core.settings import Document
from interlock.roll.declared import load_declared
from interlock.roll.plan import Direction, Kind, Plan, ShareFrom, load_plan
from interlock.roll.planner import sights
from interlock.roll.shares import Shares


def plan_of(text: str) -> Plan:
    return load_plan(Document("interlock.toml", text, tomllib.loads(text)))


def test_without_settings_it_is_1_10_50_and_all_with_75_minutes_before_everyone() -> None:
    plan = plan_of("")

    assert [(step.share, step.bake_s) for step in plan.steps] == [(0.01, 1800), (0.10, 1800), (0.50, 900), (1.0, 0)]
    assert plan.alpha == 0.01
    assert plan.planned_s == 75 * 60


def test_a_plan_is_read_as_written() -> None:
    plan = plan_of(
        """
        [roll]
        alpha = 0.001
        share_from = "requests"
        [roll.router]
        kind = "somebody else's business"
        [[roll.step]]
        share = 0.05
        bake_s = 10
        [[roll.metric]]
        name = "orders"
        kind = "business"
        [[roll.metric]]
        name = "slow"
        kind = "latency"
        above_ms = [200, 500.5]
        """
    )

    assert [step.share for step in plan.steps] == [0.05, 1.0]
    assert plan.share_from is ShareFrom.REQUESTS
    assert (plan.metric("orders").kind, plan.metric("orders").direction) == (Kind.BUSINESS, Direction.DOWN)
    assert plan.metric("slow").above_ms == (200, 500.5)
    assert plan.metric("slow").warm_up_s == 60
    assert [plan.metric(name).settles_s for name in ("orders", "slow")] == [10, 0]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[roll]\nalhpa = 0.01", "interlock.toml:2: unknown key 'alhpa' in [roll]; did you mean 'alpha'?"),
        ("[roll]\nalpha = true", "alpha in [roll] is 'True'; expected a number"),
        ("[roll]\nalpha = 2.0", "alpha is 2; expected a number above 0 and at most 0.5"),
        ("[[roll.step]]\nshare = 0.1\n[[roll.step]]\nshare = 0.1", "expected each larger than the one before"),
        ("[[roll.step]]\nshare = 0.0", "share is 0; expected a number above 0 and at most 1"),
        ("[[roll.metric]]\nname = 'a'\nkind = 'latencies'", "kind is 'latencies'; did you mean 'latency'?"),
        ("[[roll.metric]]\nname = 'a'\nkind = 'count'\nabove_ms = [1]", "expected kind = 'latency'"),
        ("[[roll.metric]]\nname = 'a'\nkind = 'latency'\nabove_ms = ['fast']", "expected a list of numbers"),
        ("[[roll.metric]]\nname = 'a'\nkind = 'count'\n" * 2, "two metrics are called 'a'"),
        ("roll = 3", "expected a table"),
        ("[[roll.step]]\nshare = 0.1\nbake_s = 0", "bake_s is 0; expected a number of at least 0.001"),
        ("[[roll.step]]\nshare = 0.1\nbake_s = nan", "bake_s is nan"),
        ("[roll]\nstale_hold_s = nan", "stale_hold_s is nan"),
        ("[roll]\nstale_abort_s = inf", "stale_abort_s is inf"),
        ("[roll]\nharmed_min = 0", "harmed_min is 0; expected a number of at least 1"),
        ("[[roll.metric]]\nname = 'a'\nkind = 'count'\nlimit = -1.0", "limit is -1; expected a number of at least 0"),
        ("[[roll.metric]]\nname = 'a'\nkind = 'count'\nsettles_s = -2.0", "settles_s is -2; expected a number of at least 0"),
        ("[[roll.metric]]\nname = 'a'\nkind = 'failures'\nsettles_s = 5.0", "expected kind = 'business' or 'count'"),
    ],
)
def test_what_makes_no_sense_is_an_error_that_says_where(text: str, complaint: str) -> None:
    with pytest.raises(UsageError) as error:
        plan_of(text)

    assert complaint in str(error.value)


def test_a_20_percent_drop_of_orders_is_invisible_in_15_minutes_at_1_percent_and_plain_at_10() -> None:
    plan = plan_of(
        """
        [[roll.step]]
        share = 0.01
        bake_s = 900
        [[roll.step]]
        share = 0.10
        bake_s = 900
        [[roll.metric]]
        name = "orders"
        kind = "business"
        """
    )

    small, large = sights(plan, {"orders": 21.0})
    assert 17 * 60 < small.harm_after_s < 27 * 60
    assert 1.5 * 60 < large.harm_after_s < 3 * 60
    assert (small.is_seeing, large.is_seeing) == (False, True)
    assert small.smallest is not None
    assert small.smallest < 0.8
    assert large.smallest is not None
    assert large.smallest > 0.8


def test_orders_that_are_waited_for_are_seen_later_by_the_wait_and_a_step_lasts_so_much_longer() -> None:
    step, metric = "[[roll.step]]\nshare = 0.5\nbake_s = 20\n", "[[roll.metric]]\nname = 'orders'\nkind = 'business'\n"
    (at_once,), (waited,) = (sights(plan_of(f"{step}{metric}settles_s = {settles}"), {"orders": 300.0}) for settles in (0, 90))

    assert waited.harm_after_s == pytest.approx(at_once.harm_after_s + 90)
    assert waited.pass_after_s == pytest.approx(at_once.pass_after_s + 90)
    assert waited.is_seeing
    assert waited.smallest == pytest.approx(at_once.smallest)


def test_without_events_nothing_is_visible() -> None:
    (sight,) = sights(plan_of("[[roll.step]]\nshare = 0.5"), {"failures": 0.0})

    assert sight.smallest is None
    assert not sight.is_seeing


def test_noise_as_large_as_the_tolerance_hides_it_for_ever() -> None:
    (sight,) = sights(plan_of("[roll]\nnoise_cv = 0.3\n[[roll.step]]\nshare = 0.5\nbake_s = 1e6"), {"failures": 100.0})

    assert not sight.is_seeing
    assert sight.harm_after_s == float("inf")


LOG = "[[roll.source]]\nkind = 'haproxy-log'\naddress = 'log'\n"
COUNTERS = "[[roll.source]]\nkind = 'haproxy-counters'\n"
BUSINESS = "[[roll.source]]\nkind = 'business'\naddress = 'orders.jsonl'\nnames = {names}\n"
PROMETHEUS = "[[roll.source]]\nkind = 'prometheus'\naddress = 'http://p'\nbaseline = 'b'\ncanary = 'c'\nnames = {names}\n"
PAYMENTS = "[[roll.metric]]\nname = 'payments'\nkind = '{kind}'\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (LOG + "names = ['failures']", "'haproxy-log' has names"),
        (LOG + BUSINESS.format(names=["faliures"]), "tells of 'faliures', which is no metric; did you mean 'failures'?"),
        (BUSINESS.format(names=["failures"]), "no [[roll.source]] tells of requests"),
        (LOG + COUNTERS, "haproxy-counters and haproxy-log tells of requests; expected one"),
        (PROMETHEUS.format(names=["requests"]), "no [[roll.source]] tells of 'failures', of kind failures"),
        (COUNTERS + PAYMENTS.format(kind="latency"), "no [[roll.source]] tells of 'payments', of kind latency"),
        (
            LOG + BUSINESS.format(names=["payments"]) + PAYMENTS.format(kind="latency"),
            "no [[roll.source]] tells of 'payments', of kind latency",
        ),
        (LOG + PAYMENTS.format(kind="business"), "expected one of kind business or prometheus with it among its names"),
        (
            LOG + PROMETHEUS.format(names=["payments"]) + "at_most = 3.0\n" + PAYMENTS.format(kind="business"),
            "no [[roll.source]] tells of 'payments', of kind business",
        ),
        (LOG + "[[roll.source]]\nkind = 'metrics'\naddress = 'http://c'\nnames = ['in_use']", "has no 'at_most'"),
        (LOG + PROMETHEUS.format(names=["failures"]).replace("baseline", "# baseline"), "lacks a query"),
        (LOG + "silent_s = inf", "silent_s is inf"),
        (LOG + "silent_s = 1e6", "silent_s is 1e+06; expected a day"),
        (LOG + "lag_s = -1.0", "lag_s is -1"),
    ],
)
def test_a_metric_of_which_nobody_would_tell_is_an_error_before_the_start(text: str, complaint: str) -> None:
    whole = f"[roll.router]\nkind = 'haproxy'\nsocket = 's'\nmap = 'm'\n{text}"
    document = Document("interlock.toml", whole, tomllib.loads(whole))
    with pytest.raises(UsageError) as error:
        load_declared(document, Path()).open_ears(load_plan(document), Shares([]), "a1b2")

    assert complaint in str(error.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("tick_s = 6.0", "tick_s is 6; expected a third of lease_s at most, 5"),
        ("lease_s = -1.0", "lease_s is -1; expected a number of at least 1"),
        ("tick_s = nan", "tick_s is nan"),
        ("[roll.rollback]\ncommands = ['']", "an empty command"),
        ('[roll.rollback]\ncommands = ["deploy \'v41"]', "cannot be taken apart: No closing quotation"),
        ("[roll.promote]\ncommands = ['  ']", "an empty command"),
        ("[roll]\nsource = 5", "source in [roll] is 5; expected [[roll.source]]"),
    ],
)
def test_what_could_not_be_done_in_an_abort_is_told_before_the_start(text: str, complaint: str) -> None:
    router = "[roll.router]\nkind = 'flag'\nfile = 'f'\n"
    whole = f"{text}\n{router}" if text.startswith("[roll]") else f"{router}{text}"
    with pytest.raises(UsageError) as error:
        load_declared(Document("interlock.toml", whole, tomllib.loads(whole)), Path())

    assert complaint in str(error.value)
