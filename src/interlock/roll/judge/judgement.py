"""What a judge answers, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlock.core.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricJudgement:
    """One metric. Fail: harm is certain enough. Pass: harm beyond the tolerance is excluded. Unknown: neither."""

    name: str
    verdict: Verdict
    evidence: float  # E-value against "the version changes nothing": fair money after betting 1 that it does. 1 is none.
    needed: float  # The evidence that stops the rollout if this metric were alone.
    canary: int  # Events on the canary: bad ones, or orders.
    expected: float  # How many there would be, by the baseline, if the version changed nothing.
    visible: bool  # Whether there were events enough to tell the tolerance from no change.
    reason: str

    @property
    def ratio(self) -> float | None:
        """The canary's rate over the baseline's, as far as it was seen; None before the first event is to be expected."""
        return self.canary / self.expected if self.expected else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The whole rollout, now.

    Fail: abort. Pass: every metric that could be seen is good, and what comes in can be trusted. Unknown: go on looking;
    when the bake time is over it does not become pass (see `interlock.roll.decision`).
    """

    verdict: Verdict
    evidence: float  # Weighted mean of the metrics' e-values; at 1/alpha or more the rollout fails.
    needed: float
    harmed_users: int  # Of the canary: users (requests, where there is no user) with a failed or slow answer.
    exposed_users: int  # Of the canary: estimated within 2 %, if there are users; else requests.
    hold: str  # Why nothing may go on now: stale data, a wrong share. Empty: nothing holds.
    reason: str
    metrics: tuple[MetricJudgement, ...]
