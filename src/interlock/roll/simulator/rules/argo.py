"""Argo Rollouts: `successCondition: result[0] >= 0.95` each minute; aborted when more measurements failed than `failureLimit`.

As its controller does it (analysis/analysis.go, utils/evaluate/evaluate.go of argo-rollouts 1.8): failures add up and need
not follow each other, the limit is 0 unless it is set, and no traffic makes 0/0, which is not at least 0.95 and so has failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from interlock.roll.simulator.rules.window import Window

if TYPE_CHECKING:
    from interlock.roll.simulator.world import Moment

_LEAST: Final = 0.95


class Argo:
    """One metric with one condition."""

    def __init__(self, failure_limit: int) -> None:
        self._limit = failure_limit
        self._failed = 0
        self._window = Window()

    def stops(self, moment: Moment) -> bool:
        """Whether the rollout is aborted now."""
        sums = self._window.add(moment)
        if sums is not None:
            _, _, requests, bad = sums
            self._failed += not requests or 1.0 - bad / requests < _LEAST
        return self._failed > self._limit
