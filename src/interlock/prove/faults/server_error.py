"""The provider answers 500: it may have charged, or not, and the status does not say.

Stripe, for one: "You should treat the result of a 500 request as indeterminate" (https://docs.stripe.com/error-low-level).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from interlock.prove.wire.http_wire import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.effect import Effect
    from interlock.prove.fault import Fault
    from interlock.prove.scheduler import Run
    from interlock.prove.worker import Worker

_ANSWER = Answer(500, {"error": {"type": "api_error", "message": "An unknown error occurred"}})


@dataclass(frozen=True, slots=True)
class ServerError:
    """500, before or after the request was carried out."""

    is_carried_out: bool
    lasts: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """What it is, and whether the request was carried out."""
        return "500, carried out" if self.is_carried_out else "500"

    def strike(self, run: Run, worker: Worker, perform: Callable[[], Any]) -> Any:  # noqa: ARG002 - nothing else is touched.
        """Carries the request out, if it is to be, and answers with something else."""
        if self.is_carried_out:
            perform()
        return _ANSWER


def faults_at(effect: Effect) -> tuple[Fault, ...]:
    """It may strike any request."""
    return (ServerError(is_carried_out=False), ServerError(is_carried_out=True)) if effect.kind == "http" else ()
