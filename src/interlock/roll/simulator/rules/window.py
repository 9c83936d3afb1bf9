"""What the engines that ask a metrics store see: sums over the last minute, without the delay of a scrape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from interlock.roll.simulator.world import Moment

INTERVAL_S: Final = 60.0


class Window:
    """Adds up until a minute is over."""

    def __init__(self) -> None:
        self._next_s = INTERVAL_S
        self._sums = [0, 0, 0, 0]

    def add(self, moment: Moment) -> tuple[int, int, int, int] | None:
        """At the end of a minute: requests and failures of the baseline, requests and failures of the canary; else None."""
        seen = (moment.baseline_requests, moment.baseline, moment.canary_requests, moment.canary)
        self._sums = [sum_ + one for sum_, one in zip(self._sums, seen, strict=True)]
        if moment.at_s < self._next_s - 1e-9:
            return None
        self._next_s += INTERVAL_S
        baseline, baseline_bad, canary, canary_bad = self._sums
        self._sums = [0, 0, 0, 0]
        return baseline, baseline_bad, canary, canary_bad
