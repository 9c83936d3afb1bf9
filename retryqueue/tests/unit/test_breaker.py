"""The circuit breaker, by a clock that is moved by hand."""

from __future__ import annotations

from math import inf

import pytest

from retryqueue import Breaker


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(after=3, cool_down_s=5.0, clock=clock)


def open_it(breaker: Breaker) -> None:
    for _ in range(3):
        breaker.heard(answered=False)
    assert breaker.is_open


def test_closed_it_lets_everything_through(breaker: Breaker) -> None:
    assert (breaker.is_open, breaker.rest_s, breaker.allowed(0), breaker.allowed(1000)) == (False, 0.0, inf, inf)


def test_it_opens_after_so_many_unanswered_attempts_in_a_row(breaker: Breaker) -> None:
    assert [breaker.heard(answered=False) for _ in range(3)] == [False, False, True]
    assert breaker.is_open
    assert breaker.rest_s == 5.0
    assert breaker.allowed(0) == 0


def test_an_answer_in_between_begins_the_count_anew(breaker: Breaker) -> None:
    moved = [breaker.heard(answered=answered) for answered in (False, False, True, False, False)]
    assert not any(moved)
    assert not breaker.is_open


def test_cooled_down_it_lets_one_attempt_through(breaker: Breaker, clock: Clock) -> None:
    open_it(breaker)
    clock.now_s += 4.9
    assert breaker.allowed(0) == 0
    assert breaker.rest_s == pytest.approx(0.1)
    clock.now_s += 0.2
    assert (breaker.allowed(0), breaker.allowed(1), breaker.rest_s) == (1, 0, 0.0)


def test_the_one_attempts_answer_closes_it(breaker: Breaker, clock: Clock) -> None:
    open_it(breaker)
    clock.now_s += 6
    assert breaker.heard(answered=True)
    assert (breaker.is_open, breaker.allowed(50)) == (False, inf)
    assert not breaker.heard(answered=False), "It counts from the beginning."


def test_no_answer_to_the_one_attempt_keeps_it_open_for_another_cooling_down(breaker: Breaker, clock: Clock) -> None:
    open_it(breaker)
    clock.now_s += 6
    assert not breaker.heard(answered=False), "Nothing has changed: it was open."
    assert (breaker.is_open, breaker.rest_s, breaker.allowed(0)) == (True, 5.0, 0)


def test_an_answer_to_an_attempt_that_began_before_it_opened_closes_it(breaker: Breaker) -> None:
    open_it(breaker)
    assert breaker.heard(answered=True)
    assert not breaker.is_open


def test_the_usual_breaker_runs_by_a_clock_that_never_goes_back() -> None:
    breaker = Breaker(after=1, cool_down_s=60)
    breaker.heard(answered=False)
    assert 0 < breaker.rest_s <= 60
