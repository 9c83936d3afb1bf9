"""Where a rollout hears what happens to users. One file a source; each is asked four times a second what is new.

A source that cannot tell raises WorldError, and one that has nothing to tell gives nothing. Neither means that all is well. A
source is silent if it gives nothing and is not certain that there was nothing: the rollout holds, and aborts when that lasts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interlock.roll.judge import Arm


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One request, and what became of it."""

    arm: Arm
    limit: int  # how many buckets went to the canary when this user was sent to a side
    user: int | None = None  # the user's hash; None if nobody can tell users apart
    failed: bool = False
    duration_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BusinessEvent:
    """Something that somebody did after having been served, such as an order. `exposures` finds out on which side."""

    name: str
    user: int  # the user's hash
    failed: bool = False
    exposed_s: float | None = None  # when the user was sent to a side; None if whoever tells of it does not know
    lag_s: float = 60.0  # how long before it came that was at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How often something happened on one side since the source was asked last."""

    name: str
    arm: Arm
    limit: int
    total: int
    failed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A figure of one side as it is now, such as the connections in use."""

    name: str
    arm: Arm
    value: float


Heard = Event | BusinessEvent | Count | Reading


class Source(Protocol):
    """Something that hears."""

    @property
    def name(self) -> str:
        """What it is called when it falls silent."""
        ...

    def poll(self) -> Sequence[Heard]:
        """What is new since the last time. Raises WorldError if it cannot tell."""
        ...

    def idle(self) -> bool:
        """After a poll that gave nothing: whether it is certain that there was nothing to tell."""
        ...

    def close(self) -> None:
        """Gives back what it holds."""
        ...
