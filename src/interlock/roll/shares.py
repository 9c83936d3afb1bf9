"""Which share was in force when, so that what comes late counts under the share at exposure."""

from __future__ import annotations

from math import inf, nextafter
from typing import Final

UNCERTAIN: Final = -1  # In place of a limit: nobody knows what the router did.


class Shares:
    """The limits of a rollout, each with the time since when it was in force."""

    def __init__(self, since: list[tuple[float, int]]) -> None:
        self.since = since

    def note(self, at_s: float, limit: int) -> None:
        """From now on the share is another one."""
        self.since.append((at_s, limit))

    def between(self, from_s: float, to_s: float) -> int | None:
        """The limit, if it was one and the same all that time; None if it changed, or is not known for so long ago."""
        begun = [(at_s, limit) for at_s, limit in self.since if at_s <= to_s]
        earlier = sum(at_s <= from_s for at_s, _ in begun)
        if not earlier or earlier != len(begun) or begun[-1][1] == UNCERTAIN:
            return None
        return begun[-1][1]

    def during(self, limit: int) -> tuple[float, float] | None:
        """Since when, and until when, this limit was in force the last time; None if it never was."""
        until_s = inf
        for at_s, found in reversed(self.since):
            if found == limit:
                return at_s, until_s
            until_s = at_s
        return None


def within(at_s: float, during: tuple[float, float]) -> float:
    """The time, or the nearest to it at which the share was that one."""
    since_s, until_s = during
    return max(since_s, min(at_s, nextafter(until_s, since_s)))
