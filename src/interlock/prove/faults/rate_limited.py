"""The provider answers 429: there were too many requests, and this one was not carried out."""

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

ON_REQUEST = True
_ANSWER = Answer(429, {"error": {"type": "rate_limit_error"}}, {"Retry-After": "1"})


@dataclass(frozen=True, slots=True)
class RateLimited:
    """429 instead of the request."""

    name: str = "429"
    lasts: ClassVar[bool] = False

    def strike(self, run: Run, worker: Worker, perform: Callable[[], Any]) -> Any:  # noqa: ARG002 - it is not performed.
        """Answers for the provider."""
        return _ANSWER


def faults_at(effect: Effect) -> tuple[Fault, ...]:
    """It may strike any request."""
    return (RateLimited(),) if effect.kind == "http" else ()
