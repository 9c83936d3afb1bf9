"""The server is held up by a slow script: nothing was done, and the server says so.

Somebody's script has run for longer than `busy-reply-threshold`.
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
REPLY = b"-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n"


@dataclass(frozen=True, slots=True)
class Busy:
    """BUSY instead of the effect."""

    name: str = "busy"
    lasts: ClassVar[bool] = False

    def strike(self, run: Run, worker: Worker, perform: Callable[[], Any]) -> Any:  # noqa: ARG002 - it is not performed.
        """Answers as the server does."""
        return REPLY


def faults_at(effect: Effect) -> tuple[Fault, ...]:
    """It may strike any command."""
    return (Busy(),) if effect.kind == "redis" else ()
