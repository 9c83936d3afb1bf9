"""The world that a simulated rollout meets: traffic, failures, shared trouble, and instances that differ.

Counts, not single requests, are drawn: per tick and side, good and bad ones from Poisson laws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from interlock.roll.simulator.chance import noise, poisson

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

INCIDENT_REQUESTS_S: Final = 420.0
BEFORE_S: Final = 600.0  # How long the baseline's own instances are watched before the rollout.


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One kind of rollout, good or bad."""

    name: str
    canary_success: float = 0.98  # The incident's service had 98 % before, 41 and 12 % at its worst.
    baseline_success: float = 0.98
    requests_s: float = INCIDENT_REQUESTS_S
    shares: tuple[tuple[float, float], ...] = ((0.01, 6300.0),)  # Share, and for how many seconds.
    onset_s: float = 0.0  # When the canary becomes worse.
    tick_s: float = 1.0
    noise_cv: float = 0.0  # How much instances differ.
    noise_block_s: float = 0.0  # How often that is drawn anew; 0: once.
    instances: int = 20  # Of the baseline, before the rollout.
    canary_instances: int = 1
    incident: tuple[float, float, float] = (0.0, 0.0, 1.0)  # From, until, and by which factor both sides fail more.
    drift: float = 0.0  # By which part of themselves failures grow in an hour, on both sides.
    cold_factor: float = 1.0  # How many times more a canary fails in the first 60 s of each step.
    sent_share: float = 0.0  # What the router really sends, where that is not the share.

    @property
    def duration_s(self) -> float:
        """How long the rollout is."""
        return sum(seconds for _, seconds in self.shares)

    @property
    def is_good(self) -> bool:
        """Whether stopping it would be a false alarm."""
        return self.canary_success >= self.baseline_success


STAGED: Final = ((0.01, 1800.0), (0.10, 1800.0), (0.50, 900.0))
_COLD_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Moment:
    """A tick of the world."""

    at_s: float
    step: int
    share: float
    baseline_good: int
    baseline_bad: int
    canary_good: int
    canary_bad: int


def moments(scenario: Scenario, random: Random) -> Iterator[Moment]:
    """The ticks of one rollout."""
    at_s = 0.0
    for step, (share, seconds) in enumerate(scenario.shares):
        began_s, canary, baseline, redrawn_s = at_s, 1.0, 1.0, -1.0
        sent = scenario.sent_share or share
        while at_s < began_s + seconds - 1e-9:
            if redrawn_s < 0 or (scenario.noise_block_s and at_s - redrawn_s >= scenario.noise_block_s):
                redrawn_s = at_s
                canary = _mean_noise(random, scenario.noise_cv, scenario.canary_instances)
                baseline = _mean_noise(random, scenario.noise_cv, scenario.instances)
            shared = _shared(scenario, at_s)
            cold = scenario.cold_factor if at_s - began_s < _COLD_S else 1.0
            success = scenario.canary_success if at_s >= scenario.onset_s else scenario.baseline_success
            baseline_p = min(1.0, (1.0 - scenario.baseline_success) * shared * baseline)
            canary_p = min(1.0, (1.0 - success) * shared * canary * cold)
            requests = scenario.requests_s * scenario.tick_s
            at_s += scenario.tick_s
            yield Moment(
                at_s,
                step,
                share,
                poisson(random, requests * (1.0 - sent) * (1.0 - baseline_p)),
                poisson(random, requests * (1.0 - sent) * baseline_p),
                poisson(random, requests * sent * (1.0 - canary_p)),
                poisson(random, requests * sent * canary_p),
            )


def minutes_before(scenario: Scenario, random: Random) -> list[list[int]]:
    """The failures of each of the baseline's instances in each minute before the rollout."""
    mean = scenario.requests_s * (1.0 - scenario.baseline_success) * 60.0 / scenario.instances
    factors: list[float] = []
    rows: list[list[int]] = []
    for minute in range(int(BEFORE_S / 60.0)):
        if not factors or (scenario.noise_block_s and minute * 60.0 % scenario.noise_block_s == 0):
            factors = [noise(random, scenario.noise_cv) for _ in range(scenario.instances)]
        rows.append([poisson(random, mean * factor) for factor in factors])
    return rows


def _mean_noise(random: Random, cv: float, instances: int) -> float:
    return sum(noise(random, cv) for _ in range(instances)) / instances if cv else 1.0


def _shared(scenario: Scenario, at_s: float) -> float:
    """What both sides suffer alike."""
    since_s, until_s, factor = scenario.incident
    incident = factor if since_s <= at_s < until_s else 1.0
    return incident * (1.0 + scenario.drift * at_s / 3600.0)
