"""Which share was in force when, so that what comes late counts under the share at exposure."""

from __future__ import annotations

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

    def when(self, limit: int) -> float | None:
        """Since when this limit is in force; None if it never was."""
        return next((at_s for at_s, found in reversed(self.since) if found == limit), None)
