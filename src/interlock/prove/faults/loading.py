"""The server has just started and is still reading its data: nothing was done, and the server says so.

A restart, a failover or a resynchronisation, with more than a little data.
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
REPLY = b"-LOADING Redis is loading the dataset in memory\r\n"


@dataclass(frozen=True, slots=True)
class Loading:
    """LOADING instead of the effect."""

    name: str = "loading"
    lasts: ClassVar[bool] = False

    def strike(self, run: Run, worker: Worker, perform: Callable[[], Any]) -> Any:  # noqa: ARG002 - it is not performed.
        """Answers as the server does."""
        return REPLY


def faults_at(effect: Effect) -> tuple[Fault, ...]:
    """It may strike any command."""
    return (Loading(),) if effect.kind == "redis" else ()
