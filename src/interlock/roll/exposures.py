"""When the user of a business event was served, and under which share.

An order says who ordered. When its user was shown the version is in the order itself, or it is what the router's log says:
each request tells its user, when it began and when it ended, and the share that it was sent under. An order belongs to

    the first of the user's requests that were under way when it came; else the latest one that had begun before

The first of them, because a page that is shown after the order is not what the order came of. The line of a request is written
when it ends, so an order waits for it a little, before it is taken for one of an earlier request. Where neither the order nor
the log says anything, it counts only if the share was the same all the time from `lag_s` before it came, and belongs to no side
otherwise, whatever its user's is: leaving out both sides alike changes nothing between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from interlock.roll.shares import Shares
    from interlock.roll.sources import BusinessEvent

_USERS_MAX: Final = 200_000  # In each of the two generations. Whoever comes beyond them is not remembered, on either side.
_REQUESTS_MAX: Final = 4  # Of one user.


class Served(NamedTuple):
    """A request of somebody."""

    begun_s: float
    ended_s: float
    limit: int


@dataclass(frozen=True, slots=True)
class Came:
    """A business event, and between which two looks it came."""

    event: BusinessEvent
    after_s: float
    at_s: float


class Exposure(NamedTuple):
    """When somebody was shown a version, and how many buckets went to the canary then."""

    at_s: float
    limit: int


class Exposures:
    """The requests of the last `remembered_s` seconds at least, and of twice that at most."""

    def __init__(self, shares: Shares, remembered_s: float) -> None:
        self._shares = shares
        self._remembered_s = remembered_s
        self._new: dict[int, list[Served]] = {}
        self._old: dict[int, list[Served]] = {}
        self._turned_s = 0.0

    def note(self, user: int, served: Served) -> None:
        """A request of this user has ended."""
        if served.ended_s - self._turned_s > self._remembered_s:
            self._old, self._new, self._turned_s = self._new, {}, served.ended_s
        if user in self._new or len(self._new) < _USERS_MAX:
            self._new[user] = [*self._new.get(user, [])[1 - _REQUESTS_MAX :], served]

    def under_way(self, came: Came) -> Exposure | None:
        """The request that was under way when an event came; None while no line of the log tells of it."""
        return min((_exposure(one) for one in self._begun(came) if one.ended_s >= came.after_s), default=None)

    def before(self, came: Came) -> Exposure | None:
        """The latest request before an event came; None if there was none lately."""
        return max((_exposure(one) for one in self._begun(came)), default=None)

    def told(self, came: Came) -> Exposure | None:
        """What an event itself says; None if it is not certain enough which share that was under."""
        event, at_s = came.event, came.at_s
        first_s, last_s = (at_s - event.lag_s, at_s) if event.exposed_s is None else (event.exposed_s, event.exposed_s)
        limit = self._shares.between(first_s, last_s)
        return None if limit is None else Exposure(last_s, limit)

    def _begun(self, came: Came) -> list[Served]:
        user = came.event.user
        return [one for one in (*self._old.get(user, []), *self._new.get(user, [])) if one.begun_s <= came.at_s]


def _exposure(served: Served) -> Exposure:
    return Exposure(served.begun_s, served.limit)
