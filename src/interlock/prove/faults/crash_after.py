"""The worker is killed after the effect: it was done, and nobody knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.effect import Effect
    from interlock.prove.fault import Fault
    from interlock.prove.scheduler import Run
    from interlock.prove.worker import Worker


@dataclass(frozen=True, slots=True)
class CrashAfter:
    """SIGKILL after the effect."""

    name: str = "crash after"
    lasts: ClassVar[bool] = False

    def strike(self, run: Run, worker: Worker, perform: Callable[[], Any]) -> Any:
        """Carries the effect out, and ends the worker."""
        perform()
        run.crash(worker)


def faults_at(_: Effect) -> tuple[Fault, ...]:
    """It may strike any effect."""
    return (CrashAfter(),)
