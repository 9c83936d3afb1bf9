"""Flagger: `request-success-rate` with a `min`, each minute; rolled back at the tick after the fifth failed check.

As its controller does it (pkg/controller/scheduler.go, scheduler_metrics.go): a check that finds no values has failed, a
success never takes a failure back, and the count is looked at before the checks of the next tick. A threshold of 5 is what
its pages use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.roll.simulator.rules.window import Window

if TYPE_CHECKING:
    from interlock.roll.simulator.world import Moment


class Flagger:
    """One metric with one range."""

    def __init__(self, least: float, threshold: int = 5) -> None:
        self._least, self._threshold = least, threshold
        self._failed = 0
        self._window = Window()

    def stops(self, moment: Moment) -> bool:
        """Whether the rollout is rolled back now."""
        sums = self._window.add(moment)
        if sums is None:
            return False
        if self._failed >= self._threshold:
            return True
        _, _, requests, bad = sums
        self._failed += not requests or 1.0 - bad / requests < self._least
        return False
