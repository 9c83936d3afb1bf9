"""The bets are fair: what they become on average, while nothing is wrong, is never more than what was put down."""

from __future__ import annotations

from math import comb, exp, lgamma, log
from random import Random

import pytest

from interlock.roll.judge.labels import Labels, on_canary
from interlock.roll.judge.mixture import FEWER, WORSE, Mixture, Stake
from interlock.roll.judge.noise import FLOOR_CV, Noise
from interlock.roll.judge.safety import Safety
from interlock.roll.judge.urn import Urn
from interlock.roll.judge.users import Distinct, Seen
from interlock.roll.simulator.chance import noise, poisson

RATIOS = [ratio for ratio, _ in (*WORSE, *FEWER)]
SHARES = (0.0001, 0.01, 0.1, 0.5, 0.9)


@pytest.mark.parametrize("share", SHARES)
def test_independent_labels_are_priced_fairly_for_every_ratio(share: float) -> None:
    theta = on_canary(1.0, share)
    becomes = [0.0] * len(RATIOS)
    for canary in range(13):
        probability = comb(12, canary) * theta**canary * (1 - theta) ** (12 - canary)
        factors = Labels(RATIOS).price([(share, 12 - canary, canary)])
        becomes = [sum_ + probability * exp(factor) for sum_, factor in zip(becomes, factors, strict=True)]

    assert becomes == pytest.approx([1.0] * len(RATIOS))


@pytest.mark.parametrize("share", SHARES)
def test_a_canary_that_is_better_than_the_edge_makes_the_bet_that_it_is_worse_unfair_for_the_gambler(share: float) -> None:
    labels = Labels([3.0], null=1.5)
    becomes = [
        sum(
            comb(8, canary)
            * on_canary(ratio, share) ** canary
            * (1 - on_canary(ratio, share)) ** (8 - canary)
            * exp(labels.price([(share, 8 - canary, canary)])[0])
            for canary in range(9)
        )
        for ratio in (0.5, 1.0, 1.5)
    ]

    assert becomes[0] <= becomes[1] <= becomes[2] == pytest.approx(1.0)


@pytest.mark.parametrize("cv", [0.03, 0.3, 1.0])
@pytest.mark.parametrize("share", SHARES)
def test_labels_of_an_urn_are_priced_fairly_across_a_block(share: float, cv: float) -> None:
    theta = on_canary(1.0, share)
    size = max(1.0 / (theta * (1.0 - theta) * cv**2) - 1.0, 0.5)
    becomes = [0.0] * len(RATIOS)
    for canary in range(10):
        drawn = _beta_binomial(canary, 9, theta * size, (1.0 - theta) * size)
        urn = Urn(RATIOS, cv)
        first = urn.price([(share, 9 - canary, 0)])  # In two ticks, because it may be looked at in the middle.
        second = urn.price([(share, 0, canary)])
        becomes = [sum_ + drawn * exp(one + two) for sum_, one, two in zip(becomes, first, second, strict=True)]

    assert becomes == pytest.approx([1.0] * len(RATIOS))


def _beta_binomial(count: int, of: int, a: float, b: float) -> float:
    def log_beta(x: float, y: float) -> float:
        return lgamma(x) + lgamma(y) - lgamma(x + y)

    return comb(of, count) * exp(log_beta(a + count, b + of - count) - log_beta(a, b))


def test_the_stakes_are_never_more_than_one() -> None:
    stake = Stake(planned_s=100.0)
    put_down = [stake.put_down(1.0) for _ in range(300)]

    assert sum(put_down) == pytest.approx(1.0)
    assert put_down[0] > 0.5
    assert put_down[-1] == 0.0


def test_a_tick_that_brings_thousands_of_events_overflows_nothing() -> None:
    mixture = Mixture([1.0] * len(RATIOS))
    for _ in range(5):
        mixture.add(1.0, Labels(RATIOS).price([(0.01, 0, 100_000)]))
        mixture.add(0.0, Urn(RATIOS, 0.3).price([(0.01, 100_000, 100_000)]))

    assert 0.0 <= mixture.won < float("inf")


def test_noise_of_instances_is_measured_beyond_what_chance_makes() -> None:
    random = Random(1)
    factors = [noise(random, 0.3) for _ in range(40)]
    alike = [[poisson(random, 50.0) for _ in range(40)] for _ in range(10)]
    unlike = [[poisson(random, 50.0 * factor) for factor in factors] for _ in range(10)]
    moving = [[poisson(random, 50.0 * noise(random, 0.3)) for _ in factors] for _ in range(10)]

    assert Noise.of_instances(alike).whole_cv <= 0.05
    assert 0.2 < Noise.of_instances(unlike).whole_cv < 0.4
    assert 0.25 < Noise.of_instances(moving).minute_cv < 0.4
    assert Noise.of_instances(moving).whole_cv < 0.15


def test_what_a_longer_block_explains_is_priced_once() -> None:
    assert [length_s for length_s, _ in Noise.assumed(FLOOR_CV).scales()] == [0.0]
    assert [length_s for length_s, _ in Noise(0.3, 0.13, 0.03, freedom=19).scales()] == [60.0, 300.0, 0.0]


def test_traffic_that_instances_share_unequally_is_no_noise() -> None:
    random = Random(2)
    counts = [[poisson(random, 300.0), poisson(random, 100.0)] for _ in range(30)]

    assert Noise.of_instances(counts, [3.0, 1.0]).whole_cv < 0.1
    assert Noise.of_instances(counts).whole_cv > 0.3


def test_few_measured_instances_are_trusted_less_than_many() -> None:
    few, many = Noise(0.3, 0.3, 0.3, freedom=4), Noise(0.3, 0.3, 0.3, freedom=100)

    assert few.largest(1.0, 0.01) > many.largest(1.0, 0.01) > Noise.assumed(0.3).largest(1.0, 0.01)


def test_a_canary_at_the_edge_of_the_tolerance_is_rarely_called_good() -> None:
    """P <= beta whenever one looks; here after each of 300 ticks, with 5 % allowed."""
    called = 0
    for seed in range(100):
        random = Random(seed)
        safety = Safety(0.5, worse=True)
        safety.begin_step(Noise.assumed(FLOOR_CV), 1.0)
        for _ in range(300):
            safety.add([(0.1, poisson(random, 9.0), poisson(random, 1.5))])
            if safety.value >= 20.0:
                called += 1
                break

    assert called <= 100 * 0.05 + 3 * (100 * 0.05 * 0.95) ** 0.5


def test_a_user_counts_once_until_16384_others_did() -> None:
    seen = Seen()
    first = sum(seen.is_first(f"user {number}") for number in range(10_000))

    assert first >= 9_950  # 0.24 % at most are taken for somebody else.
    assert not any(seen.is_first(f"user {number}") for number in range(10_000))
    for number in range(33_000):
        seen.is_first(f"other {number}")
    assert seen.is_first("user 1")


def test_distinct_users_are_counted_within_a_few_percent_in_constant_memory() -> None:
    distinct = Distinct()
    for number in range(100_000):
        distinct.add(f"user {number % 50_000}")

    assert abs(distinct.estimate / 50_000 - 1.0) < 0.1
    assert len(str(distinct.state())) < 50_000


def test_drawn_counts_have_the_mean_and_the_variance_of_a_poisson_law() -> None:
    random = Random(3)
    for mean in (0.5, 8.0, 40.0, 4000.0):
        drawn = [poisson(random, mean) for _ in range(4000)]
        average = sum(drawn) / len(drawn)
        variance = sum((one - average) ** 2 for one in drawn) / len(drawn)
        assert average == pytest.approx(mean, abs=5 * (mean / 4000) ** 0.5)
        assert log(variance / mean) == pytest.approx(0.0, abs=0.15)
