"""The experiments: what a rule is put through before it may be trusted with a release."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from interlock.roll.plan import Kind
from interlock.roll.simulator.play import RULES
from interlock.roll.simulator.world import STAGED, Scenario

if TYPE_CHECKING:
    from collections.abc import Iterable

ALL: Final = tuple(RULES)
OURS: Final = ("interlock",)
_TEN: Final = ((0.10, 6300.0),)


@dataclass(frozen=True, slots=True)
class Experiment:
    """Scenarios that answer one question."""

    name: str
    question: str
    rules: tuple[str, ...]
    scenarios: tuple[Scenario, ...]


_ONE: Final = ((0.01, 6300.0),)


def _success(rates: Iterable[float], shares: tuple[tuple[float, float], ...] = _ONE) -> tuple[Scenario, ...]:
    return tuple(Scenario(name=f"success falls to {rate:.0%}", canary_rate=1.0 - rate, shares=shares) for rate in rates)


_BUSINESS: Final = Scenario(
    name="orders come 2 min late", kind=Kind.BUSINESS, baseline_rate=0.05, canary_rate=0.05, shares=STAGED, lag_s=120.0
)
_SHORT: Final = Scenario(
    name="lagging orders with short steps",
    kind=Kind.BUSINESS,
    baseline_rate=0.7,
    canary_rate=0.7,
    shares=((0.01, 20.0), (0.10, 20.0), (0.50, 20.0)),  # 10 s, and 10 s more until what they saw has settled.
    tick_s=0.25,
    lag_s=0.5,
    one_by_one=True,
    settles_s=10.0,
    stalls_every_s=20.0,
)
_RETRIES: Final = Scenario(name="users try again", requests_s=42.0, shares=_TEN, retries_mean=4.0)
_PODS: Final = Scenario(name="pods differ by 30 %, for good", shares=_TEN, noise_cv=0.3)
_LOW: Final = Scenario(name="2 requests/s, 10 %", requests_s=2.0, shares=_TEN)

EXPERIMENTS: Final = (
    Experiment(
        "incident",
        "How many users does a bad release fail before it is stopped, with 420 requests a second and a canary of 1 %?",
        ALL,
        _success((0.12, 0.41, 0.63, 0.90, 0.96, 0.97)),
    ),
    Experiment(
        "good",
        "How often is a good release stopped?",
        ALL,
        (
            Scenario(name="nothing happens, 1 %"),
            Scenario(name="nothing happens, 1/10/50 %", shares=STAGED),
            Scenario(name="everybody fails x5 for 3 min", shares=_TEN, incident=(1200.0, 1380.0, 5.0)),
            Scenario(name="failures x3 in the ramp", shares=STAGED, drift=1.6),
            replace(_PODS, name="pods differ by 30 % each minute", noise_block_s=60.0),
            replace(_PODS, name="pods differ by 30 % each 5 min", noise_block_s=300.0),
            _PODS,
            _RETRIES,
            _LOW,
            replace(_LOW, name="2 requests/s, 1 %", shares=_ONE),
            Scenario(name="cold for 60 s: x3, skipped", shares=STAGED, cold_factor=3.0, warm_up_s=60.0),
        ),
    ),
    Experiment(
        "orders",
        "Is a drop of orders seen, with every answer 200, and are late orders no drop?",
        OURS,
        (
            _BUSINESS,
            replace(_BUSINESS, name="20 % fewer orders", canary_rate=0.04),
            replace(_BUSINESS, name="50 % fewer orders", canary_rate=0.025),
            replace(_BUSINESS, name="late orders booked under the share now (the trap)", at_exposure=False),
            _SHORT,
            replace(_SHORT, name="the same, not waited for (the trap)", settles_s=0.0),
            replace(_SHORT, name="20 % fewer orders, lagging, with short steps", canary_rate=0.56),
            replace(_SHORT, name="no orders, lagging, with short steps", canary_rate=0.0),
        ),
    ),
    Experiment(
        "noise",
        "Is a bad release told from a slow pod?",
        OURS,
        (
            replace(_PODS, name="x2, no noise", noise_cv=0.0, canary_rate=0.04),
            replace(_PODS, name="x2, each minute", noise_block_s=60.0, canary_rate=0.04),
            replace(_PODS, name="x2, each 5 min", noise_block_s=300.0, canary_rate=0.04),
            replace(_PODS, name="x2, for good, 1 pod", canary_rate=0.04),
            replace(_PODS, name="x2, for good, 2 pods", canary_rate=0.04, canary_instances=2),
            replace(_PODS, name="x2, for good, 1/10/50 %", canary_rate=0.04, canary_instances=0, shares=STAGED),
            replace(_PODS, name="x5, for good, 1 pod", canary_rate=0.10),
            replace(_PODS, name="pods differ by 10 %, x2", noise_cv=0.1, canary_rate=0.04),
        ),
    ),
    Experiment(
        "late",
        "How long does a fault go unseen that begins 20 minutes into the step, with a canary of 10 %?",
        ALL,
        tuple(replace(scenario, onset_s=1200.0) for scenario in _success((0.63, 0.90, 0.96), shares=_TEN)),
    ),
    Experiment(
        "low",
        "And with 2 requests a second?",
        ALL,
        tuple(
            replace(_LOW, name=f"success falls to {rate:.0%}", canary_rate=1.0 - rate, tick_s=1.0)
            for rate in (0.12, 0.63, 0.90)
        ),
    ),
)
