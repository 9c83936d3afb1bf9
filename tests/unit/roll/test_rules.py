"""The rules of the other engines do what those engines do, and the simulator tells them and ours apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from interlock.core.verdict import Verdict
from interlock.roll.simulator.calibration import at_least, verdict_of
from interlock.roll.simulator.experiments import EXPERIMENTS
from interlock.roll.simulator.play import Result, Stop, play_many
from interlock.roll.simulator.report import cell
from interlock.roll.simulator.rules import Argo, Flagger
from interlock.roll.simulator.rules.kayenta import is_high
from interlock.roll.simulator.world import STAGED, Moment, Scenario

BAD = {scenario.name: scenario for scenario in EXPERIMENTS[0].scenarios}
ORDERS = {scenario.name: scenario for scenario in EXPERIMENTS[2].scenarios}


def minute(number: int, requests: int, bad: int) -> Moment:
    return Moment(60.0 * number, 0, 400, requests, ((0.01, 8, bad),))


def test_argo_aborts_on_more_failures_than_the_limit_and_a_minute_without_traffic_is_one() -> None:
    strict, lenient = Argo(0), Argo(1)
    told = [(strict.stops(moment), lenient.stops(moment)) for moment in (minute(1, 100, 5), minute(2, 0, 0), minute(3, 100, 6))]

    assert told == [(False, False), (True, False), (True, True)]


def test_flagger_counts_failures_that_a_success_never_takes_back_and_acts_a_tick_later() -> None:
    flagger = Flagger(0.95, threshold=2)
    told = [flagger.stops(minute(number, 100, bad)) for number, bad in enumerate((6, 0, 6, 0, 0), start=1)]

    assert told == [False, False, False, True, True]


def test_kayenta_passes_equal_series_and_small_shifts_and_fails_large_ones() -> None:
    series = [0.02 + 0.001 * (number % 5) for number in range(30)]

    assert not is_high(series, series)
    assert not is_high(series, [1.01 * one for one in series])
    assert is_high(series, [2.0 * one for one in series])
    assert not is_high([2.0 * one for one in series], series)


@pytest.mark.parametrize(
    ("name", "users"),
    [("success falls to 12%", 6), ("success falls to 41%", 6), ("success falls to 63%", 6), ("success falls to 90%", 10)],
)
def test_the_incident_harms_few_users(name: str, users: int) -> None:
    (result,) = play_many(BAD[name], ["interlock"], 41, seed=1, jobs=1)

    assert result.part == 1.0
    assert result.harmed is not None
    assert result.harmed <= users


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario(name="nothing", shares=((0.1, 300.0),)),
        Scenario(name="shared incident", shares=((0.1, 300.0),), incident=(60.0, 240.0, 5.0)),
        Scenario(name="ramp and drift", shares=((0.01, 150.0), (0.1, 150.0), (0.5, 100.0)), drift=18.0),
        Scenario(name="pods", shares=((0.1, 300.0),), noise_cv=0.3),
        Scenario(name="pods each minute", shares=((0.1, 300.0),), noise_cv=0.3, noise_block_s=60.0),
        Scenario(name="retries", shares=((0.1, 300.0),), requests_s=42.0, retries_mean=4.0),
        Scenario(name="low", shares=((0.1, 600.0),), requests_s=2.0),
        Scenario(name="cold", shares=((0.1, 300.0),), cold_factor=3.0, warm_up_s=60.0),
        replace(ORDERS["orders come 2 min late"], shares=tuple((share, seconds / 6) for share, seconds in STAGED)),
        ORDERS["lagging orders with short steps"],
    ],
    ids=lambda scenario: scenario.name,
)
def test_good_releases_are_left_alone(scenario: Scenario) -> None:
    """12 short rollouts of each kind: 2 stops among them have a probability below 1 % at the promised 1 %."""
    (result,) = play_many(scenario, ["interlock"], 12, seed=1, jobs=1)

    assert result.is_good
    assert result.stopped <= 1


def test_late_orders_booked_now_would_stop_every_good_release() -> None:
    trap = replace(ORDERS["late orders booked under the share now (the trap)"], shares=((0.01, 300.0), (0.1, 200.0)))
    (result,) = play_many(trap, ["interlock"], 5, seed=1, jobs=1)

    assert result.part == 1.0


def test_orders_that_are_not_waited_for_would_stop_most_good_releases_with_short_steps() -> None:
    (result,) = play_many(ORDERS["the same, not waited for (the trap)"], ["interlock"], 6, seed=1, jobs=1)

    assert result.part > 0.5


def test_waiting_for_orders_costs_no_more_than_the_wait() -> None:
    """Nothing stands still, so that both see the same; and 20 % are lost."""
    waited = replace(ORDERS["20 % fewer orders, lagging, with short steps"], stalls_every_s=0.0)
    delays = []
    for scenario in (waited, replace(waited, settles_s=0.0)):
        (result,) = play_many(scenario, ["interlock"], 12, seed=1, jobs=1)
        assert result.part == 1.0
        delays.append(result.delay_s() or 0.0)

    assert delays[0] - delays[1] <= waited.settles_s + 2 * waited.tick_s


def test_the_same_seed_gives_the_same_rollouts_in_any_number_of_processes() -> None:
    scenario = BAD["success falls to 63%"]
    alone, several = (play_many(scenario, ["interlock", "Argo Rollouts, limit 0"], 6, seed=3, jobs=jobs) for jobs in (1, 2))

    assert alone == several
    assert alone != play_many(scenario, ["interlock", "Argo Rollouts, limit 0"], 6, seed=4, jobs=1)


def result_of(stopped: int, of: int) -> Result:
    stops = tuple(Stop(1.0 if number < stopped else None, 0) for number in range(of))
    return Result("s", "interlock", 0.0, is_good=True, stops=stops)


def test_a_judge_that_breaks_its_promise_fails_the_calibration() -> None:
    assert verdict_of([result_of(2, 300)])[0] is Verdict.PASS
    assert verdict_of([result_of(15, 300)])[0] is Verdict.FAIL
    assert verdict_of([result_of(0, 10)])[0] is Verdict.UNKNOWN
    assert verdict_of([])[0] is Verdict.UNKNOWN
    assert at_least(1, 100, 0.01) == pytest.approx(1 - 0.99**100)


def test_a_cell_says_never_where_too_few_were_stopped() -> None:
    bad = replace(result_of(9, 10), is_good=False)

    assert cell(result_of(1, 10)) == "10.0%"
    assert cell(bad) == "0 · 1 s, 95 %: never (90% stopped)"
    assert cell(replace(bad, stops=bad.stops[9:])) == "0% stopped"
