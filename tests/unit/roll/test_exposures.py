"""Whose a business event is: by what it says itself, by the router's log, or by a share that did not change."""

from __future__ import annotations

import pytest

from interlock.roll.exposures import Came, Exposure, Exposures, Served
from interlock.roll.shares import UNCERTAIN, Shares, within
from interlock.roll.sources import BusinessEvent

USER = 4711


def came(at_s: float, *, exposed_s: float | None = None, lag_s: float = 60.0) -> Came:
    return Came(BusinessEvent(name="orders", user=USER, exposed_s=exposed_s, lag_s=lag_s), at_s - 0.25, at_s)


def of(told: Exposures, came: Came) -> Exposure | None:
    """As `listening` asks, of an event that does not say it itself."""
    return told.under_way(came) or told.before(came) or told.told(came)


def exposures(*since: tuple[float, int]) -> Exposures:
    return Exposures(Shares(list(since)), 20.0)


def test_what_an_order_says_of_its_exposure_holds() -> None:
    told = exposures((0.0, 0), (100.0, 100), (500.0, 1000))

    assert told.told(came(551.0, exposed_s=499.0)) == Exposure(499.0, 100)
    assert told.told(came(551.0, exposed_s=-1.0)) is None


def test_an_order_belongs_to_the_request_that_it_came_of_and_not_to_the_page_that_was_shown_after_it() -> None:
    told = exposures((0.0, 100))
    for begun_s, ended_s in ((90.0, 90.1), (98.0, 100.1), (100.1, 100.3)):  # A look round, a slow checkout, and its receipt.
        told.note(USER, Served(begun_s, ended_s, 100))

    assert of(told, came(100.2)) == Exposure(98.0, 100)


def test_an_order_that_comes_after_its_request_belongs_to_the_latest_before_it() -> None:
    told = exposures((0.0, 100))
    for begun_s in (90.0, 95.0, 105.0):
        told.note(USER, Served(begun_s, begun_s + 0.1, 100))

    assert of(told, came(100.0)) == Exposure(95.0, 100)


def test_the_share_is_that_of_the_request_also_if_a_step_has_begun_meanwhile() -> None:
    told = exposures((0.0, 100), (99.0, 1000))
    told.note(USER, Served(98.0, 100.1, 100))

    assert of(told, came(100.0)) == Exposure(98.0, 100)


def test_without_a_line_in_the_log_it_counts_if_the_share_did_not_change_for_so_long() -> None:
    told = exposures((0.0, 100), (70.0, 1000))

    assert of(told, came(69.0)) == Exposure(69.0, 100)
    assert of(told, came(100.0)) is None
    assert of(told, came(131.0)) == Exposure(131.0, 1000)
    assert of(told, came(100.0, lag_s=20.0)) == Exposure(100.0, 1000)


def test_requests_are_forgotten_after_a_while_and_a_robots_are_not_all_kept() -> None:
    told = exposures((0.0, 100))
    told.note(USER, Served(10.0, 10.0, 100))
    for number in range(1000):
        told.note(1, Served(30.0, 30.0 + number / 1000, 100))
    assert of(told, came(60.0)) == Exposure(10.0, 100)
    told.note(1, Served(60.0, 60.0, 100))

    assert of(told, came(60.0)) == Exposure(60.0, 100)
    assert len(str(vars(told))) < 2000


def test_what_was_before_the_first_share_is_not_guessed() -> None:
    shares = Shares([(100.0, 0)])
    assert shares.between(50.0, 120.0) is None
    assert shares.between(100.0, 120.0) == 0
    shares.note(110.0, 100)
    assert shares.between(100.0, 120.0) is None
    assert shares.between(100.0, 109.0) == 0


def test_a_share_was_in_force_until_the_next_one() -> None:
    shares = Shares([(0.0, 0), (10.0, 100), (20.0, UNCERTAIN), (30.0, 100), (40.0, 1000)])

    assert [shares.during(limit) for limit in (0, 100, 1000, 17)] == [(0.0, 10.0), (30.0, 40.0), (40.0, float("inf")), None]


@pytest.mark.parametrize(("at_s", "expected"), [(5.0, 10.0), (15.0, 15.0), (20.0, pytest.approx(20.0))])
def test_a_time_is_moved_to_the_nearest_at_which_the_share_was_that_one(at_s: float, expected: float) -> None:
    assert within(at_s, (10.0, 20.0)) == expected
    assert within(at_s, (10.0, 20.0)) < 20.0
