"""A proxy answers 502, in HTML: the provider behind it has ended, before it charged or after that."""

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
_ANSWER = Answer(502, b"<html><head><title>502 Bad Gateway</title></head></html>", {"Content-Type": "text/html"})


@dataclass(frozen=True, slots=True)
class BadGateway:
    """502, before or after the request was carried out."""

    is_carried_out: bool
    lasts: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """What it is, and whether the request was carried out."""
        return "502, carried out" if self.is_carried_out else "502"

    def strike(self, run: Run, worker: Worker, perform: Callable[[], Any]) -> Any:  # noqa: ARG002 - nothing else is touched.
        """Carries the request out, if it is to be, and answers with something else."""
        if self.is_carried_out:
            perform()
        return _ANSWER


def faults_at(effect: Effect) -> tuple[Fault, ...]:
    """It may strike any request."""
    return (BadGateway(is_carried_out=False), BadGateway(is_carried_out=True)) if effect.kind == "http" else ()
