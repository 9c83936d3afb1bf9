"""The worker is held up before the effect for longer than something of its own lasts, and then goes on with its old view.

A collection of garbage, a machine that is moved, a network that stalls. The lengths are those of the leases,
expiries and pauses that were seen in the run, and a second more: by then somebody else has taken over, and may be done.
Whoever only looks now and then takes over later, by a pause of theirs at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.effect import Effect
    from interlock.prove.fault import Fault
    from interlock.prove.scheduler import Run
    from interlock.prove.worker import Worker

# Longer than that, and whoever runs the worker has ended it: systemd's and Kubernetes' patience is a few minutes by default.
LONGEST_S = 3_600.0
MARGIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Delay:
    """A pause before the effect."""

    seconds: float
    lasts: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """What it is, with its length."""
        return f"delay {self.seconds:g} s"

    def strike(self, run: Run, worker: Worker, perform: Callable[[], Any]) -> Any:  # noqa: ARG002 - the run knows who.
        """Waits, and carries the effect out."""
        run.stall(self.seconds)
        return perform()


def faults_at(effect: Effect) -> tuple[Fault, ...]:
    """After something was granted: past the shortest, the longest, and both of what ends by itself."""
    lengths = [length for length in effect.lengths_s if 1 <= length <= LONGEST_S]
    if not lengths or not effect.is_late:  # To be late before that is only another order.
        return ()
    shortest, longest = min(lengths), max(lengths)
    both = {shortest + longest} if shortest < longest else set[float]()
    return tuple(Delay(length + MARGIN_S) for length in sorted({shortest, longest} | both))
