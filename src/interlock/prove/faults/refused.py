"""The server is gone: the connection ends, and nobody can connect, until the workers are done or have tried often enough.

A deployment, a node that is drained, a full table of connections. A module that tries again for ever sees the end of it.
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


@dataclass(frozen=True, slots=True)
class Refused:
    """ECONNRESET instead of the effect, and ECONNREFUSED from then on."""

    name: str = "refused from here on"
    lasts: ClassVar[bool] = True
    refuses: ClassVar[bool] = True

    def strike(self, run: Run, worker: Worker, perform: Callable[[], Any]) -> Any:  # noqa: ARG002 - it is not performed.
        """Raises what a socket raises; the run refuses connections."""
        raise ConnectionResetError(104, "Connection reset by peer")


def faults_at(effect: Effect) -> tuple[Fault, ...]:
    """It may strike whatever goes over a connection."""
    return (Refused(),) if effect.is_remote else ()
