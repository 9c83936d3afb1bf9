"""The primary ends, and a replica takes its place that has not heard of the last write.

Replication is asynchronous: a write is acknowledged before any replica has it. Connections are reset, and whoever connects
again reaches the new primary, which has none of the loaded scripts.
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
class Failover:
    """The end of the primary instead of the effect."""

    behind: int = 1
    lasts: ClassVar[bool] = False
    needs_memory: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """What it is, with how far the replica lags."""
        return f"failover, {self.behind} write{'' if self.behind == 1 else 's'} behind"

    def strike(self, run: Run, worker: Worker, perform: Callable[[], Any]) -> Any:  # noqa: ARG002 - it is not performed.
        """Lets the replica take over, and ends the connection."""
        assert run.server is not None  # noqa: S101 - the effect was about to reach it.
        run.server.fail_over(self.behind)
        raise ConnectionResetError(104, "Connection reset by peer")


def faults_at(effect: Effect) -> tuple[Fault, ...]:
    """It may strike any command."""
    return (Failover(),) if effect.kind == "redis" else ()
