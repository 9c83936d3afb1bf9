"""What happens, for whoever counts it: a hook is called with each event, in the order in which they happen.

A hook is one callable. It runs on the path of payments, so it should count and return; what it raises is logged, and does
not touch the payment.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

logger = logging.getLogger("retryqueue")


@dataclass(frozen=True, slots=True)
class Enqueued:
    """A payment was offered to the queue, which said `new`, `duplicate` or `conflict`."""

    answer: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """A worker was given so many payments."""

    payments: int


@dataclass(frozen=True, slots=True)
class Attempted:
    """One attempt has ended.

    Attributes:
        outcome: What the charge function said.
        attempt: Its number, 1-based.
        duration_ms: How long the charge function took.
    """

    outcome: Literal["succeeded", "declined", "ambiguous"]
    attempt: int
    duration_ms: float


@dataclass(frozen=True, slots=True)
class Told:
    """The server has taken a verdict: `ok`, `again` (told before) or `lost` (another worker holds the payment)."""

    transition: str
    answer: str


@dataclass(frozen=True, slots=True)
class LeasesLost:
    """So many leases ran out while their worker was still charging."""

    leases: int


@dataclass(frozen=True, slots=True)
class BreakerMoved:
    """The circuit breaker opened, or closed."""

    is_open: bool


Event = Enqueued | Claimed | Attempted | Told | LeasesLost | BreakerMoved
Hook = Callable[[Event], None]


def tell(hook: Hook | None, event: Event) -> None:
    """Tells a hook of an event."""
    if hook is None:
        return
    try:
        hook(event)
    except Exception:
        logger.exception("the hook failed on %r", event)
