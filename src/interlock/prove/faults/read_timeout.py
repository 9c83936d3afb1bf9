"""The request arrives, and no answer comes before the client's own time limit is over, in virtual time.

A client without a limit waits for ever, and so does the proof: its answer is then unknown, and says so.
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

ON_REQUEST = True
_ANSWER = Answer(hangs=True)


@dataclass(frozen=True, slots=True)
class ReadTimeout:
    """Read timeout, before or after the request was carried out."""

    is_carried_out: bool
    lasts: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """What it is, and whether the request was carried out."""
        return "read timeout, carried out" if self.is_carried_out else "read timeout"

    def strike(self, run: Run, worker: Worker, perform: Callable[[], Any]) -> Any:  # noqa: ARG002 - nothing else is touched.
        """Carries the request out, if it is to be, and answers with something else."""
        if self.is_carried_out:
            perform()
        return _ANSWER


def faults_at(effect: Effect) -> tuple[Fault, ...]:
    """It may strike any request."""
    return (ReadTimeout(is_carried_out=False), ReadTimeout(is_carried_out=True)) if effect.kind == "http" else ()
