"""A write reaches a server that has become a replica: nothing was done, and the server says so.

A failover has happened, and the client is still connected to the old primary.
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
REPLY = b"-READONLY You can't write against a read only replica.\r\n"


@dataclass(frozen=True, slots=True)
class ReadOnly:
    """READONLY instead of the effect."""

    name: str = "read only"
    lasts: ClassVar[bool] = False

    def strike(self, run: Run, worker: Worker, perform: Callable[[], Any]) -> Any:  # noqa: ARG002 - it is not performed.
        """Answers as the server does."""
        return REPLY


def faults_at(effect: Effect) -> tuple[Fault, ...]:
    """It may strike whatever writes."""
    return (ReadOnly(),) if effect.kind == "redis" and effect.writes else ()
