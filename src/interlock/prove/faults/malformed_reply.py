"""The request is carried out, and what comes back is cut off: a body that is no JSON under a status of 200."""

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
_ANSWER = Answer(200, b'{"id": "ch_1", "stat', {"Content-Type": "application/json"})


@dataclass(frozen=True, slots=True)
class MalformedReply:
    """A spoiled answer."""

    name: str = "malformed reply"
    lasts: ClassVar[bool] = False

    def strike(self, run: Run, worker: Worker, perform: Callable[[], Any]) -> Any:  # noqa: ARG002 - nothing else is touched.
        """Carries the request out, and spoils the answer."""
        perform()
        return _ANSWER


def faults_at(effect: Effect) -> tuple[Fault, ...]:
    """It may strike any request."""
    return (MalformedReply(),) if effect.kind == "http" else ()
