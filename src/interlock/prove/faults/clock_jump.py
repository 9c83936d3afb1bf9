"""The worker's wall clock is set while it works: it jumps, ahead or back, by more than what ends by itself lasts.

A machine whose time is corrected in one step, or that wakes up from being suspended. Its monotonic clock goes on as before,
and so do the clocks of the others and of the servers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from interlock.prove.faults.delay import LONGEST_S, MARGIN_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.effect import Effect
    from interlock.prove.fault import Fault
    from interlock.prove.scheduler import Run
    from interlock.prove.worker import Worker

ON_REQUEST = True


@dataclass(frozen=True, slots=True)
class ClockJump:
    """A wall clock that is set before the effect."""

    seconds: float
    lasts: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """What it is, with how far."""
        return f"clock jumps {abs(self.seconds):g} s {'ahead' if self.seconds > 0 else 'back'}"

    def strike(self, run: Run, worker: Worker, perform: Callable[[], Any]) -> Any:
        """Sets the clock, and carries the effect out."""
        for one in run.everyone():
            if one.process == worker.process:
                one.ahead_s += self.seconds
        return perform()


def faults_at(effect: Effect) -> tuple[Fault, ...]:
    """By more than the longest of what ends by itself, ahead and back."""
    lengths = [length for length in effect.lengths_s if 1 <= length <= LONGEST_S]
    return (ClockJump(max(lengths) + MARGIN_S), ClockJump(-max(lengths) - MARGIN_S)) if lengths else ()
