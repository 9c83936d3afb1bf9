"""The effect is carried out, and the connection ends before the reply: the worker cannot tell whether it was."""

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
class LostReply:
    """ECONNRESET after the effect."""

    name: str = "lost reply"
    lasts: ClassVar[bool] = False

    def strike(self, run: Run, worker: Worker, perform: Callable[[], Any]) -> Any:  # noqa: ARG002 - nothing else is touched.
        """Carries the effect out, and raises what a socket raises."""
        perform()
        raise ConnectionResetError(104, "Connection reset by peer")


def faults_at(effect: Effect) -> tuple[Fault, ...]:
    """It may strike whatever goes over a connection."""
    return (LostReply(),) if effect.is_remote else ()
