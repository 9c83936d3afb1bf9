"""What judging costs: one update of a metric in microseconds, and the memory of a judge as a rollout goes on.

    python benchmarks/judge.py

Times are of the processor, not of the clock, the least of many batches: other programs can only make it slower. An update
is one tick of one metric with events on both sides. Fails if one takes 50 microseconds or more, or if the memory grows after
the first minutes.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from itertools import count
from typing import TYPE_CHECKING

from interlock.roll.judge import Arm, Counts, Event, Judge, Noise, Normal, Tick
from interlock.roll.plan import DEFAULT_STEPS, Kind, Metric, Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT_US = 50.0
_BATCH, _BATCHES = 400, 25
_FAILURES = Plan(steps=DEFAULT_STEPS, metrics=(Metric(name="m"),))
_LATENCY = Plan(steps=DEFAULT_STEPS, metrics=(Metric(name="m", kind=Kind.LATENCY, above_ms=(80.0, 170.0, 320.0, 510.0)),))


def main() -> int:
    """Measures, prints, and fails if it is too dear."""
    costs = {
        "failures, no noise measured": _update_us(_FAILURES, Noise.assumed(0.03), 1),
        "failures, three scales of noise": _update_us(_FAILURES, Noise(0.3, 0.13, 0.06, freedom=19), 1),
        "latency, one of four thresholds": _update_us(_LATENCY, Noise.assumed(0.03), 4) / 4,
        "latency, three scales of noise, one of four": _update_us(_LATENCY, Noise(0.3, 0.13, 0.06, freedom=19), 4) / 4,
    }
    for name, cost_us in costs.items():
        print(f"{name:45} {cost_us:6.1f} us an update")
    print(f"{'a failed answer with its user':45} {_event_us():6.1f} us an event")
    early, late, state = (size / 1024 for size in _memory())
    name = "memory after 5 and after 105 minutes"
    print(f"{name:45} {early:6.0f} kB, {late:.0f} kB (state: {state:.0f} kB)")
    dear = max(costs.values()) >= LIMIT_US
    return int(dear or late > 1.1 * early)


def _begun(plan: Plan, noise: Noise) -> Judge:
    judge = Judge(plan, Normal(noise={"m": noise}))
    judge.begin_step(1, 0.0)
    return judge


def _update_us(plan: Plan, noise: Noise, thresholds: int) -> float:
    judge, seconds = _begun(plan, noise), count(1)
    counts = {"m": tuple(Counts(9, 1, above=above) for above in range(thresholds))}
    return _least_us(lambda: judge.observe(Tick(float(next(seconds)), 378, 42, counts)))


def _event_us() -> float:
    judge, numbers = _begun(_FAILURES, Noise.assumed(0.03)), count()
    return _least_us(lambda: judge.see(Event(at_s=0.5, metric="m", arm=Arm.CANARY, user=f"u{next(numbers)}")))


def _least_us(once: Callable[[], None]) -> float:
    return min(_batches(once)) * 1e6 / _BATCH


def _batches(once: Callable[[], None]) -> Iterator[float]:
    for _ in range(_BATCHES):
        began_s = time.process_time()
        for _ in range(_BATCH):
            once()
        yield time.process_time() - began_s


def _memory() -> tuple[int, int, int]:
    """What a judge holds after 5 and after 105 minutes of 10 failing users a second, and its state at the end."""
    tracemalloc.start()
    judge = _begun(_FAILURES, Noise(0.3, 0.13, 0.06, freedom=19))
    early = 0
    for second in range(6300):
        for number in range(10):
            judge.see(Event(at_s=float(second), metric="m", arm=Arm.BASELINE, user=f"{second} {number}"))
        judge.observe(Tick(second + 1.0, 378, 42))
        if second == 300:  # noqa: PLR2004 - five minutes.
            early = tracemalloc.get_traced_memory()[0]
    late = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return early, late, len(judge.to_json())


if __name__ == "__main__":
    sys.exit(main())
