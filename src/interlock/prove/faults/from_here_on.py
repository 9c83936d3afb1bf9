"""What strikes once can also go on: it strikes every later effect on the same server, whoever's, until the workers are done.

An outage, where the others are a moment. The worker that clears up finds a healthy world.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from interlock.prove.faults import bad_gateway, loading, lost_reply, out_of_memory, rate_limited, read_only, reset, server_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.effect import Effect
    from interlock.prove.fault import Fault
    from interlock.prove.scheduler import Run
    from interlock.prove.worker import Worker

ON_REQUEST = True
_CAN_LAST = (reset, lost_reply, read_only, loading, out_of_memory, server_error, bad_gateway, rate_limited)


@dataclass(frozen=True, slots=True)
class FromHereOn:
    """Another fault, and again."""

    fault: Fault
    lasts: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """What it is, and that it goes on."""
        return f"{self.fault.name} from here on"

    def strike(self, run: Run, worker: Worker, perform: Callable[[], Any]) -> Any:
        """Strikes as the other one does."""
        return self.fault.strike(run, worker, perform)


def faults_at(effect: Effect) -> tuple[Fault, ...]:
    """What can strike the effect and last."""
    return tuple(FromHereOn(fault) for kind in _CAN_LAST for fault in kind.faults_at(effect))
