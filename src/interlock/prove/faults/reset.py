"""The connection is reset before the effect reaches the server: nothing was done, and the worker is told so, or guesses."""

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
class Reset:
    """ECONNRESET instead of the effect."""

    name: str = "reset"
    lasts: ClassVar[bool] = False

    def strike(self, run: Run, worker: Worker, perform: Callable[[], Any]) -> Any:  # noqa: ARG002 - it is not performed.
        """Raises what a socket raises."""
        raise ConnectionResetError(104, "Connection reset by peer")


def faults_at(effect: Effect) -> tuple[Fault, ...]:
    """It may strike whatever goes over a connection."""
    return (Reset(),) if effect.is_remote else ()
