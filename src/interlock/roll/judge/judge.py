"""The judge of a rollout: told of steps, requests and events, asked for a judgement.

Order of calls: anything before the first `begin_step` teaches what is normal. Then `begin_step(index, at_s)` whenever the
share has really changed, `request` and `see` for what happened, and `tick(at_s)` to have it judged: every 0.25 to 1 s,
because the length of a tick is paid for in harmed users. A source that has counts calls `observe` instead. Times are seconds
on one clock of the caller's choice; only differences count. After a restart, `Judge.from_json(plan, text)` goes on where
`to_json()` was taken.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from interlock.core.errors import UsageError
from interlock.core.verdict import Verdict, worst
from interlock.roll.judge.judgement import Judgement
from interlock.roll.judge.metric import MetricJudge
from interlock.roll.judge.observations import Arm
from interlock.roll.plan import Kind

if TYPE_CHECKING:
    from interlock.roll.judge.judgement import MetricJudgement
    from interlock.roll.judge.mixture import Group
    from interlock.roll.judge.observations import Event, Tick
    from interlock.roll.plan import Metric, Plan

_VERSION: Final = 1


class Judge:
    """Judges one rollout."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        total = sum(metric.weight for metric in plan.metrics)
        self._metrics = {metric.name: MetricJudge(plan, metric, metric.weight / total) for metric in plan.metrics}
        self._shares: list[tuple[float, float]] = []  # (since, share), a few per step.
        self._at_s: float | None = None
        self._pending: dict[str, list[dict[float, list[int]]]] = self._nothing()
        self._requests = [0, 0]
        self._exposed = 0
        self._harmed = 0

    def _nothing(self) -> dict[str, list[dict[float, list[int]]]]:
        return {name: [{} for _ in range(max(1, len(judge.metric.above_ms)))] for name, judge in self._metrics.items()}

    def begin_step(self, index: int, at_s: float, share: float | None = None) -> None:
        """The share is that of this step of the plan from now on; give `share` if it is really another."""
        self._shares.append((at_s, self._plan.steps[index].share if share is None else share))
        if self._at_s is None:
            self._at_s = at_s

    def request(self, at_s: float, arm: Arm, user: str | None = None) -> None:  # noqa: ARG002 - not counted by user yet.
        """Somebody was served by this version."""
        self._requests[arm is Arm.CANARY] += 1

    def see(self, event: Event) -> None:
        """One event; it is judged at the next tick."""
        metric = self._metric(event.metric)
        share = self._share_at(event.at_s if event.exposed_at_s is None else event.exposed_at_s)
        if share is None or share >= 1.0:
            return
        for above, by_share in enumerate(self._pending[event.metric]):
            if _counts(metric, event, above):
                by_share.setdefault(share, [0, 0])[event.arm is Arm.CANARY] += 1

    def observe(self, tick: Tick) -> None:
        """What happened since the tick before, counted by the source."""
        self._requests[0] += tick.baseline_requests
        self._requests[1] += tick.canary_requests
        for name, several in tick.counts.items():
            self._metric(name)
            for counts in several:
                share = self._share_at(tick.at_s) if counts.share is None else counts.share
                if share is not None and share < 1.0:
                    pair = self._pending[name][counts.above].setdefault(share, [0, 0])
                    pair[0] += counts.baseline
                    pair[1] += counts.canary
        self.tick(tick.at_s)

    def tick(self, at_s: float) -> None:
        """Judges what happened since the tick before."""
        elapsed_s = at_s - self._at_s if self._at_s is not None else 0.0
        self._at_s = at_s
        pending, self._pending = self._pending, self._nothing()
        self._exposed += self._requests[1]
        self._requests = [0, 0]
        if not self._shares:
            return
        for name, judge in self._metrics.items():
            groups: list[list[Group]] = [
                [(share, baseline, canary) for share, (baseline, canary) in by_share.items()] for by_share in pending[name]
            ]
            if judge.metric.kind in {Kind.FAILURES, Kind.LATENCY}:
                self._harmed += sum(canary for _, _, canary in groups[-1])
            judge.tick(groups, elapsed_s)

    def judgement(self, now_s: float) -> Judgement:
        """The answer now. `now_s` tells how old the last tick is."""
        metrics = tuple(judge.judgement() for judge in self._metrics.values())
        needed = 1.0 / self._plan.alpha
        evidence = sum(judge.weight * judge.evidence for judge in self._metrics.values())
        silent_s = now_s - self._at_s if self._at_s is not None else 0.0
        hold = f"no news for {silent_s:.0f} s" if silent_s > self._plan.stale_hold_s else ""
        verdict, reason = self._verdict(metrics, evidence, silent_s)
        return Judgement(
            verdict=Verdict.UNKNOWN if hold and verdict is Verdict.PASS else verdict,
            evidence=evidence,
            needed=needed,
            harmed_users=self._harmed,
            exposed_users=self._exposed,
            hold=hold,
            reason=reason,
            metrics=metrics,
        )

    def _verdict(self, metrics: tuple[MetricJudgement, ...], evidence: float, silent_s: float) -> tuple[Verdict, str]:
        if silent_s > self._plan.stale_abort_s:
            return Verdict.FAIL, f"no news for {silent_s:.0f} s: nobody would see the harm"
        blamed = max(metrics, key=lambda metric: metric.evidence / metric.needed)
        if blamed.verdict is Verdict.FAIL or (evidence >= 1.0 / self._plan.alpha and self._harmed >= self._plan.harmed_min):
            return Verdict.FAIL, f"{blamed.name}: {blamed.reason}"
        visible = [metric.verdict for metric in metrics if metric.visible or metric.verdict is Verdict.PASS]
        return worst(visible), "; ".join(f"{metric.name}: {metric.reason}" for metric in metrics)

    def to_json(self) -> str:
        """All that a successor has to know; a few kilobytes, however long the rollout is."""
        state: dict[str, Any] = {
            "version": _VERSION,
            "at_s": self._at_s,
            "shares": self._shares,
            "pending": {name: [list(by.items()) for by in several] for name, several in self._pending.items()},
            "requests": self._requests,
            "exposed": self._exposed,
            "harmed": self._harmed,
            "metrics": {name: judge.state() for name, judge in self._metrics.items()},
        }
        return json.dumps(state)

    @classmethod
    def from_json(cls, plan: Plan, text: str) -> Judge:
        """The judge that `to_json` was taken of. Raises UsageError if it judged by another plan."""
        state = json.loads(text)
        judge = cls(plan)
        if state["version"] != _VERSION or list(state["metrics"]) != list(judge._metrics):
            message = f"the state is of metrics {', '.join(state['metrics'])}; expected {', '.join(judge._metrics)}"
            raise UsageError(message)
        judge._at_s = state["at_s"]
        judge._shares = [(since_s, share) for since_s, share in state["shares"]]
        judge._pending = {name: [{s: list(p) for s, p in by} for by in several] for name, several in state["pending"].items()}
        judge._requests, judge._exposed, judge._harmed = state["requests"], state["exposed"], state["harmed"]
        for name, kept in state["metrics"].items():
            judge._metrics[name].restore(kept)
        return judge

    def _metric(self, name: str) -> Metric:
        if name not in self._metrics:
            message = f"an event of {name!r}; expected one of the plan's metrics: {', '.join(self._metrics)}"
            raise UsageError(message)
        return self._metrics[name].metric

    def _share_at(self, at_s: float) -> float | None:
        """The share at a moment; None before the first step."""
        return next((share for since_s, share in reversed(self._shares) if since_s <= at_s), None)


def _counts(metric: Metric, event: Event, above: int) -> bool:
    """Whether an event counts for a metric, and for which of its thresholds."""
    match metric.kind:
        case Kind.FAILURES:
            return event.bad
        case Kind.LATENCY:
            return bool(metric.above_ms) and event.value > metric.above_ms[above]
        case Kind.BUSINESS | Kind.COUNT:
            return True
