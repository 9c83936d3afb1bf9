"""The numbers of a queue: refused together where they would break a promise; and the waits that follow from them."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retryqueue import InvalidPolicy, Policy
from retryqueue.policy import DAY_MS, LONGEST_MS


def test_the_usual_numbers_keep_a_key_longer_than_every_horizon() -> None:
    policy = Policy()

    assert policy.attempts == 5
    assert policy.retry_horizon_ms == DAY_MS + (1_000 + 2_000 + 4_000 + 8_000) + 5 * 30_000
    assert policy.key_lives_ms == policy.retry_horizon_ms + policy.paid_horizon_ms


def test_a_key_lives_a_day_at_least() -> None:
    assert Policy(longest_delay_ms=0, attempts=1, lease_ms=10).key_lives_ms >= DAY_MS


def test_a_longer_life_is_taken_as_it_is() -> None:
    assert Policy(key_life_ms=LONGEST_MS).key_lives_ms == LONGEST_MS


@pytest.mark.parametrize("key_life_ms", [0, 1, DAY_MS - 1, DAY_MS, 2 * DAY_MS])
def test_a_life_shorter_than_the_horizons_is_refused(key_life_ms: int) -> None:
    with pytest.raises(InvalidPolicy, match="key_life_ms must be at least 86400000"):
        Policy(key_life_ms=key_life_ms)


def test_a_life_below_a_day_is_refused() -> None:
    with pytest.raises(InvalidPolicy, match="24 h"):
        Policy(longest_delay_ms=0, key_life_ms=DAY_MS - 1)


def test_a_success_is_remembered_for_a_day_at_least() -> None:
    with pytest.raises(InvalidPolicy, match=f"paid_horizon_ms must be a whole number from {DAY_MS}"):
        Policy(paid_horizon_ms=DAY_MS - 1)


horizons = st.fixed_dictionaries(
    {
        "attempts": st.integers(1, 20),
        "lease_ms": st.integers(10, 10**7),
        "backoff_base_ms": st.integers(1, 10**7),
        "backoff_cap_ms": st.integers(0, 10**8),
        "longest_delay_ms": st.integers(0, 10**9),
        "paid_horizon_ms": st.integers(DAY_MS, 10**9),
    }
)


@given(horizons)
def test_no_policy_forgets_a_key_while_its_payment_may_still_be_tried_or_asked_for(numbers: dict[str, int]) -> None:
    policy = Policy(**numbers)
    assert policy.key_lives_ms >= max(DAY_MS, policy.retry_horizon_ms + policy.paid_horizon_ms)
    with pytest.raises(InvalidPolicy):
        Policy(**numbers, key_life_ms=policy.key_lives_ms - 1)


FIELDS = (
    "attempts", "lease_ms", "backoff_base_ms", "backoff_cap_ms", "longest_delay_ms", "paid_horizon_ms",
    "key_life_ms", "provider_window_ms",
)  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("bad", [-1, 1.0, True, "5", float("nan"), float("inf"), LONGEST_MS + 1, [5]])
def test_every_number_is_a_whole_one_of_bounded_size(name: str, bad: Any) -> None:
    with pytest.raises(InvalidPolicy, match=name):
        Policy(**{name: bad})


@pytest.mark.parametrize("name", ["attempts", "lease_ms", "backoff_base_ms", "provider_window_ms"])
def test_some_numbers_are_not_zero(name: str) -> None:
    with pytest.raises(InvalidPolicy, match=name):
        Policy(**{name: 0})


def test_all_bad_numbers_are_named_at_once() -> None:
    bad: dict[str, Any] = dict.fromkeys(FIELDS, -1)
    with pytest.raises(InvalidPolicy) as caught:
        Policy(**bad)
    assert all(name in str(caught.value) for name in FIELDS)


def test_all_broken_promises_are_named_at_once() -> None:
    with pytest.raises(
        InvalidPolicy, match=r"key_life_ms must be at least.*; lease_ms must be shorter than provider_window_ms"
    ):
        Policy(key_life_ms=1, lease_ms=DAY_MS)


def test_so_many_attempts_are_a_mistake() -> None:
    assert Policy(attempts=1000).key_lives_ms > DAY_MS
    with pytest.raises(InvalidPolicy, match="attempts must be at most 1000"):
        Policy(attempts=1001)


def test_the_limit_of_the_wait_doubles_up_to_the_cap() -> None:
    policy = Policy(backoff_base_ms=1_000, backoff_cap_ms=10_000)
    assert [policy.backoff_limit_ms(attempt) for attempt in range(1, 7)] == [1_000, 2_000, 4_000, 8_000, 10_000, 10_000]
    assert policy.backoff_limit_ms(1000) == 10_000


@given(st.integers(1, 1000), st.randoms(use_true_random=False))
def test_every_wait_is_within_its_limit(attempt: int, chance: random.Random) -> None:
    policy = Policy()
    assert 0 <= policy.backoff_ms(attempt, chance) <= policy.backoff_limit_ms(attempt)


def test_waits_are_spread_over_the_whole_of_it() -> None:
    policy, chance = Policy(), random.Random(7)
    waits = [policy.backoff_ms(4, chance) for _ in range(8_000)]
    tenths = [sum(tenth * 800 <= wait < (tenth + 1) * 800 for wait in waits) for tenth in range(10)]
    assert all(650 < count < 950 for count in tenths)


def test_the_same_seed_gives_the_same_waits() -> None:
    first, second = ([Policy().backoff_ms(3, chance) for _ in range(20)] for chance in (random.Random(1), random.Random(1)))
    assert first == second
