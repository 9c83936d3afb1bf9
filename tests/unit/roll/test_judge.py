"""The judge stops harm, leaves a good release alone, and survives a restart."""

from __future__ import annotations

from interlock.core.settings import Document
from interlock.core.verdict import Verdict
from interlock.roll.decision import Action, decide
from interlock.roll.judge import Arm, Counts, Event, Judge, Tick
from interlock.roll.plan import Plan, load_plan


def default_plan() -> Plan:
    return load_plan(Document("interlock.toml", "", {}))


def test_a_canary_that_fails_alone_is_stopped() -> None:
    judge = Judge(default_plan())
    judge.begin_step(0, at_s=0.0)
    for number in range(4):
        judge.see(Event(at_s=0.5, metric="failures", arm=Arm.CANARY, user=f"u{number}"))
    judge.tick(at_s=1.0)

    assert judge.judgement(now_s=1.0).verdict is Verdict.FAIL


def test_what_everybody_suffers_is_not_the_canarys_fault() -> None:
    judge = Judge(default_plan())
    judge.begin_step(0, at_s=0.0)
    for second in range(1, 200):
        judge.observe(Tick(second, 415, 4, {"failures": (Counts(396, 4),)}))

    judgement = judge.judgement(now_s=200.0)
    assert judgement.verdict is Verdict.PASS
    assert decide(default_plan(), 0, 1800.0, judgement).action is Action.PROMOTE


def test_a_judge_goes_on_where_its_predecessor_was_killed() -> None:
    plan = default_plan()
    judge = Judge(plan)
    judge.begin_step(0, at_s=0.0)
    judge.observe(Tick(1.0, 415, 4, {"failures": (Counts(8, 1),)}))
    judge.see(Event(at_s=1.5, metric="failures", arm=Arm.CANARY, user="u"))
    successor = Judge.from_json(plan, judge.to_json())
    for either in (judge, successor):
        either.tick(2.0)

    assert successor.to_json() == judge.to_json()
    assert successor.judgement(2.0) == judge.judgement(2.0)


def test_silence_holds_and_then_aborts() -> None:
    plan = default_plan()
    judge = Judge(plan)
    judge.begin_step(0, at_s=0.0)
    judge.tick(1.0)

    assert decide(plan, 0, 1800.0, judge.judgement(now_s=11.0)).action is Action.HOLD
    assert decide(plan, 0, 1800.0, judge.judgement(now_s=80.0)).action is Action.ABORT
