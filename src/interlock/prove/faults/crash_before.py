"""The worker is killed before the effect: nothing was done, and nobody cleans up."""

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
class CrashBefore:
    """SIGKILL before the effect."""

    name: str = "crash before"
    lasts: ClassVar[bool] = False

    def strike(self, run: Run, worker: Worker, perform: Callable[[], Any]) -> Any:  # noqa: ARG002 - it is not performed.
        """Ends the worker."""
        run.crash(worker)


def faults_at(_: Effect) -> tuple[Fault, ...]:
    """It may strike any effect."""
    return (CrashBefore(),)
