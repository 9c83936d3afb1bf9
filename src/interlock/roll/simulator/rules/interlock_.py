"""Ours: the judge as it is shipped, fed tick by tick."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from interlock.core.verdict import Verdict
from interlock.roll.judge import Counts, Judge, Noise, Normal, Tick
from interlock.roll.plan import Direction, Kind, Metric, Plan, Step
from interlock.roll.simulator.world import METRIC, minutes_before

if TYPE_CHECKING:
    from random import Random

    from interlock.roll.simulator.world import Moment, Scenario

ALPHA: Final = 0.01


class Interlock:
    """A judge of one metric, whose noise was measured on the baseline's instances where instances differ."""

    def __init__(self, scenario: Scenario, random: Random) -> None:
        noise = {METRIC: Noise.of_instances(minutes_before(scenario, random))} if scenario.noise_cv else {}
        self._judge = Judge(plan_of(scenario), Normal(noise=noise))
        self._step = -1
        self._tick_s = scenario.tick_s

    def stops(self, moment: Moment) -> bool:
        """Whether the rollout is aborted now."""
        if moment.step != self._step:
            self._step = moment.step
            self._judge.begin_step(moment.step, moment.at_s - self._tick_s)
        if moment.events:
            for event in moment.events:
                self._judge.see(event)
        counts = tuple(Counts(baseline, canary, share) for share, baseline, canary in moment.groups)
        self._judge.observe(Tick(moment.at_s, moment.baseline_requests, moment.canary_requests, {METRIC: counts}))
        return self._judge.is_alarming and self._judge.judgement(moment.at_s).verdict is Verdict.FAIL


def plan_of(scenario: Scenario) -> Plan:
    """What a team would have planned for this scenario."""
    is_business = scenario.kind is Kind.BUSINESS
    metric = Metric(
        name=METRIC,
        kind=scenario.kind,
        direction=Direction.DOWN if is_business else Direction.UP,
        tolerance=0.2 if is_business else 0.5,
        warm_up_s=scenario.warm_up_s,
        settles_s=scenario.settles_s,
    )
    steps = tuple(
        Step(
            share=share,
            bake_s=seconds - scenario.settles_s,
            canary_instances=scenario.canary_instances_at(share),
            baseline_instances=scenario.instances,
        )
        for share, seconds in scenario.shares
    )
    return Plan(steps=steps, metrics=(metric,), alpha=ALPHA)
