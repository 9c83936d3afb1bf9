"""What a judge is told: single events with the side they happened on, or how many of them there were in a tick."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Arm(StrEnum):
    """Which version served."""

    BASELINE = "baseline"
    CANARY = "canary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened to a user, or to a request where there is no user.

    A metric of failures counts events that are bad, latency those whose `value` is above a threshold, business and count all
    of them. Only the first event of a user counts, but for a metric of kind count: one user who tries again and again is one
    harmed user.
    """

    at_s: float
    metric: str
    arm: Arm
    user: str | None = None
    bad: bool = True
    value: float = 0.0  # Latency: milliseconds.
    instance: str = ""  # Which of several served; before the first step it tells how much they differ for no reason.
    exposed_at_s: float | None = None  # When the user was shown the version, for what follows later: an order, a payment.
    counted: bool = False  # An absolute limit has counted it already, when it came.


@dataclass(frozen=True, slots=True)
class Counts:
    """How many events a tick brought on each side, among users who were exposed under one share."""

    baseline: int
    canary: int
    share: float | None = None  # The canary's share when these users were exposed. None: the share of this tick.
    above: int = 0  # Latency: which threshold of the metric, the lowest is 0.


@dataclass(frozen=True, slots=True)
class Tick:
    """What happened since the tick before. Users are already counted once, where the source can do that."""

    at_s: float
    baseline_requests: int
    canary_requests: int
    counts: Mapping[str, tuple[Counts, ...]] = field(default_factory=dict[str, tuple[Counts, ...]])
