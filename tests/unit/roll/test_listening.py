"""What is heard of gauges that have a limit."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from interlock.roll.judge import Arm, Judge
from interlock.roll.listening import Ear, Listening
from interlock.roll.plan import Metric, Plan, Step
from interlock.roll.shares import Shares
from interlock.roll.sources import Reading

PLAN = Plan(steps=(Step(share=0.5, bake_s=60.0),), metrics=(Metric(name="failures"),))
POOL = "connections_in_use"
AT_MOST = 8.0


@dataclass(slots=True)
class Gauge:
    """One instance of the canary."""

    value: float
    name: str = "a gauge"

    def poll(self) -> list[Reading]:
        return [Reading(name=POOL, arm=Arm.CANARY, value=self.value)]

    def idle(self) -> bool:
        return False

    def close(self) -> None:
        """There is nothing to give back."""


def listening_to(*gauges: Gauge) -> Listening:
    ears = [Ear(source=gauge, silent_s=5.0, at_most={POOL: AT_MOST}) for gauge in gauges]
    return Listening(PLAN, Judge(PLAN), Shares([]), ears)


@pytest.mark.parametrize("others", [[], [1.0], [1.0, 2.0]])
def test_a_pool_that_stays_full_is_told_whatever_the_other_instances_have(others: list[float]) -> None:
    listening = listening_to(Gauge(9.0), *map(Gauge, others))
    for at_s in (0.0, 0.5):
        listening.hear(at_s)
        assert not listening.exceeded

    listening.hear(1.0)

    assert listening.exceeded == f"{POOL} is 9 on the canary, at most 8 was allowed"


def test_a_pool_that_is_full_for_a_moment_is_no_leak() -> None:
    gauge = Gauge(9.0)
    listening = listening_to(gauge)
    for at_s, value in enumerate((9.0, 8.0, 9.0, 8.0)):
        gauge.value = value
        listening.hear(at_s * 0.6)

    assert not listening.exceeded
