"""The judge of a rollout: told of steps, requests and events, asked for a judgement.

Order of calls: what comes before the first `begin_step` teaches what is normal (see `learning`). Then `begin_step(index,
at_s)` whenever the share has really changed, `request` and `see` for what happened, and `tick(at_s)` to have it judged:
every 0.25 to 1 s, because the length of a tick is paid for in harmed users. A source that has counts calls `observe`
instead. Times are seconds on one clock of the caller's choice; only differences count. A tick says that the source answered,
so tick also when nothing happened, and do not tick when the source is silent. After a restart, `Judge.from_json(plan, text)`
goes on where `to_json()` was taken.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from interlock.core.errors import UsageError
from interlock.core.verdict import Verdict, worst
from interlock.roll.judge.intake import Intake
from interlock.roll.judge.judgement import Judgement
from interlock.roll.judge.learning import Learner, Normal
from interlock.roll.judge.metric import MetricJudge
from interlock.roll.judge.noise import Noise
from interlock.roll.judge.observations import Arm
from interlock.roll.judge.share_guard import ShareGuard
from interlock.roll.judge.users import Distinct
from interlock.roll.plan import ShareFrom

if TYPE_CHECKING:
    from interlock.roll.judge.judgement import MetricJudgement
    from interlock.roll.judge.observations import Event, Tick
    from interlock.roll.plan import Metric, Plan

_VERSION: Final = 2
_ALONE: Final = "; with one canary instance, a bad node cannot be told from a bad version"


class Judge:
    """Judges one rollout. `normal` is what is known of the baseline; without it, it is learned before the first step."""

    def __init__(self, plan: Plan, normal: Normal | None = None) -> None:
        self._plan = plan
        self._normal = normal
        self._learner = Learner(plan)
        self._metrics: dict[str, MetricJudge] = {}
        self._intake = Intake(plan)
        self._guard = ShareGuard()
        self._at_s: float | None = None
        self._step = 0
        self._exposed = Distinct()
        self._newcomers = Distinct()
        self._exposed_requests = 0

    def begin_step(self, index: int, at_s: float, share: float | None = None) -> None:
        """The share is that of this step of the plan from now on; give `share` if it is really another."""
        if not self._metrics:
            self._start(self._normal or self._learner.normal())
            self._at_s = at_s
        self._step = index
        self._intake.begin_step(at_s, self._plan.steps[index].share if share is None else share)
        self._guard, self._newcomers = ShareGuard(), Distinct()
        for judge in self._metrics.values():
            judge.begin_step(index, at_s)

    def _start(self, normal: Normal) -> None:
        noise = {
            metric.name: normal.noise.get(metric.name, Noise.assumed(self._plan.noise_cv)) for metric in self._plan.metrics
        }
        self._normal = Normal(noise, normal.above_ms)
        total = sum(metric.weight for metric in self._plan.metrics)
        for metric in self._plan.metrics:
            self._metrics[metric.name] = MetricJudge(self._plan, metric, metric.weight / total, self._normal)
        self._intake.start({name: judge.above_ms for name, judge in self._metrics.items()})

    def request(self, at_s: float, arm: Arm, user: str | None = None) -> None:  # noqa: ARG002 - a request is now.
        """Somebody was served by this version."""
        is_canary = arm is Arm.CANARY
        new = self._newcomers.add(user) if user is not None else True
        self._intake.request(is_canary=is_canary, new=new)
        if is_canary and user is not None:
            self._exposed.add(user)
        elif is_canary:
            self._exposed_requests += 1

    def see(self, event: Event) -> None:
        """One event; it is judged at the next tick."""
        metric = self._metric(event.metric)
        if not self._metrics:
            self._learner.see(metric, event)
        else:
            self._intake.see(metric, event)

    def arrived(self, name: str) -> None:
        """An event of the business came, whoever's it is. What is seen of it later, `counted`, says that."""
        self._intake.arrived(self._metric(name))

    def observe(self, tick: Tick) -> None:
        """What happened since the tick before, counted by the source."""
        for name in tick.counts:
            self._metric(name)
        self._exposed_requests += tick.canary_requests
        self._intake.observe(tick)
        self.tick(tick.at_s)

    def tick(self, at_s: float) -> None:
        """Judges what happened since the tick before."""
        elapsed_s = at_s - self._at_s if self._at_s is not None else 0.0
        if elapsed_s < 0:
            message = f"a tick at {at_s:g} s after one at {self._at_s:g} s; expected time to go forward"
            raise UsageError(message)
        self._at_s = at_s
        seen = self._intake.take(at_s)
        if seen.share is None or not self._metrics:
            return
        if self._plan.share_from is ShareFrom.PLAN and seen.share < 1.0:
            self._guard.tick(seen.share, *seen.newcomers)
        for name, judge in self._metrics.items():
            judge.tick(seen.metrics[name], elapsed_s, at_s, sum(seen.requests))

    def resume(self, at_s: float) -> None:
        """Goes on after a time in which nobody listened: that nothing was heard of it says nothing."""
        self._at_s = at_s

    @property
    def is_alarming(self) -> bool:
        """Whether it is worth asking for a judgement between two looks: evidence, or a limit, may be enough to stop."""
        judges = self._metrics.values()
        return sum(judge.weight * judge.evidence for judge in judges) >= 1.0 / self._plan.alpha or any(
            judge.evidence >= judge.needed or judge.broken_limit for judge in judges
        )

    def judgement(self, now_s: float) -> Judgement:
        """The answer now. `now_s` tells how old the last tick is."""
        metrics = tuple(judge.judgement() for judge in self._metrics.values())
        evidence = sum(judge.weight * judge.evidence for judge in self._metrics.values()) if metrics else 1.0
        silent_s = now_s - self._at_s if self._at_s is not None else 0.0
        hold = self._hold(silent_s)
        verdict, reason = self._verdict(metrics, evidence, silent_s)
        return Judgement(
            verdict=Verdict.UNKNOWN if hold and verdict is Verdict.PASS else verdict,
            evidence=evidence,
            needed=1.0 / self._plan.alpha,
            harmed_users=self._intake.harmed_users,
            exposed_users=self._exposed.estimate + self._exposed_requests,
            hold=hold,
            reason=reason if verdict is Verdict.FAIL else hold or reason,
            metrics=metrics,
        )

    def _hold(self, silent_s: float) -> str:
        if silent_s > self._plan.stale_hold_s:
            return f"no news for {silent_s:.0f} s"
        if self._metrics and not self._intake.canary_served:
            return "the canary has served nobody in this step"
        return self._guard.complaint(self._intake.share_now or 0.0)

    def _verdict(self, metrics: tuple[MetricJudgement, ...], evidence: float, silent_s: float) -> tuple[Verdict, str]:
        if silent_s > self._plan.stale_abort_s:
            return Verdict.FAIL, f"no news for {silent_s:.0f} s: nobody would see the harm"
        if not metrics:
            return Verdict.UNKNOWN, "no step has begun"
        failed = [metric for metric in metrics if metric.verdict is Verdict.FAIL]
        blamed = max(failed or metrics, key=lambda metric: metric.evidence / metric.needed)
        together = evidence >= 1.0 / self._plan.alpha and self._metrics[blamed.name].harmed >= self._plan.harmed_min
        if failed or together:
            alone = self._plan.steps[self._step].canary_instances == 1
            return Verdict.FAIL, f"{blamed.name}: {blamed.reason}{_ALONE if alone else ''}"
        visible = [metric.verdict for metric in metrics if metric.visible or metric.verdict is Verdict.PASS]
        return worst(visible), "; ".join(f"{metric.name}: {metric.reason}" for metric in metrics)

    def to_json(self) -> str:
        """All that a successor has to know; what was learned before the first step only once that has begun."""
        state: dict[str, Any] = {
            "version": _VERSION,
            "at_s": self._at_s,
            "step": self._step,
            "normal": asdict(self._normal) if self._normal else None,
            "intake": self._intake.state(),
            "guard": self._guard.state(),
            "exposed": [self._exposed.state(), self._newcomers.state(), self._exposed_requests],
            "metrics": {name: judge.state() for name, judge in self._metrics.items()},
        }
        return json.dumps(state)

    @classmethod
    def from_json(cls, plan: Plan, text: str) -> Judge:
        """The judge that `to_json` was taken of. Raises UsageError if it judged by another plan."""
        state = json.loads(text)
        names = [metric.name for metric in plan.metrics]
        if state["version"] != _VERSION or (state["metrics"] and list(state["metrics"]) != names):
            found = f"version {state['version']} and metrics {', '.join(state['metrics'])}"
            message = f"the state is of {found}; expected version {_VERSION} and metrics {', '.join(names)}"
            raise UsageError(message)
        judge = cls(plan, _normal(state["normal"]) if state["normal"] else None)
        judge._restore(state)
        return judge

    def _restore(self, state: dict[str, Any]) -> None:
        if state["metrics"] and self._normal:
            self._start(self._normal)
        self._at_s, self._step = state["at_s"], state["step"]
        self._intake.restore(state["intake"])
        self._guard.restore(state["guard"])
        self._exposed.restore(state["exposed"][0])
        self._newcomers.restore(state["exposed"][1])
        self._exposed_requests = state["exposed"][2]
        for name, kept in state["metrics"].items():
            self._metrics[name].restore(kept)

    def _metric(self, name: str) -> Metric:
        known = {metric.name: metric for metric in self._plan.metrics}
        if name not in known:
            message = f"an event of {name!r}; expected one of the plan's metrics: {', '.join(known)}"
            raise UsageError(message)
        return known[name]


def _normal(state: dict[str, Any]) -> Normal:
    return Normal(
        noise={name: Noise(**noise) for name, noise in state["noise"].items()},
        above_ms={name: tuple(values) for name, values in state["above_ms"].items()},
    )
