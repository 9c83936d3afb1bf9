"""Redis ends and is back at once: connections and loaded scripts are gone, and what was written last may be, too.

With `appendfsync everysec`, the usual setting, a process that is killed loses nothing, since what it wrote is with the
operating system; a machine that fails loses what was written in the last second. What was given to the workers is older.
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
EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Restart:
    """The end of the server instead of the effect."""

    lost_s: float = 0.0
    lasts: ClassVar[bool] = False
    needs_memory: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """What it is, with what is lost."""
        return f"restart, the last {self.lost_s:g} s lost" if self.lost_s else "restart"

    def strike(self, run: Run, worker: Worker, perform: Callable[[], Any]) -> Any:  # noqa: ARG002 - it is not performed.
        """Lets the server forget, and ends the connection."""
        assert run.server is not None  # noqa: S101 - the effect was about to reach it.
        run.server.restart(self.lost_s)
        raise ConnectionResetError(104, "Connection reset by peer")


def faults_at(effect: Effect) -> tuple[Fault, ...]:
    """It may strike any command."""
    return (Restart(), Restart(EVERY_S)) if effect.kind == "redis" else ()
