"""The server has no memory left for a write: nothing was done, and the server says so.

`maxmemory` is reached, and the policy is not to evict.
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

ON_REQUEST = True
REPLY = b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """OOM instead of the effect."""

    name: str = "out of memory"
    lasts: ClassVar[bool] = False

    def strike(self, run: Run, worker: Worker, perform: Callable[[], Any]) -> Any:  # noqa: ARG002 - it is not performed.
        """Answers as the server does."""
        return REPLY


def faults_at(effect: Effect) -> tuple[Fault, ...]:
    """It may strike whatever writes."""
    return (OutOfMemory(),) if effect.kind == "redis" and effect.writes else ()
