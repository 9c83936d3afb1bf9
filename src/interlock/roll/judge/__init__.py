"""Judges a canary from labelled events: on which side did each bad thing happen?

A judge is a pure function of what it is told: it has no clock and touches nothing. All it knows is in `to_json`, whose size
does not grow with the rollout. It may be asked at any moment, as often as one likes: that is what its statistics are made for.

    judge = Judge(plan)
    judge.request(at_s=-60.0, arm=Arm.BASELINE)                          # before the first step: learns what is normal
    judge.begin_step(0, at_s=0.0)
    judge.request(at_s=0.2, arm=Arm.CANARY, user="u1")
    judge.see(Event(at_s=0.2, metric="failures", arm=Arm.CANARY, user="u1", bad=True))
    judge.tick(at_s=1.0)                                                 # everything since the last tick is judged now
    judge.judgement(now_s=1.0).verdict
"""

from interlock.roll.judge.judge import Judge
from interlock.roll.judge.judgement import Judgement, MetricJudgement
from interlock.roll.judge.learning import Normal
from interlock.roll.judge.noise import Noise
from interlock.roll.judge.observations import Arm, Counts, Event, Tick

__all__ = ["Arm", "Counts", "Event", "Judge", "Judgement", "MetricJudgement", "Noise", "Normal", "Tick"]
