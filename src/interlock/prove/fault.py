"""What a schedule asks of something that goes wrong; the kinds of it are in `faults`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.scheduler import Run
    from interlock.prove.worker import Worker


class Fault(Protocol):
    """What goes wrong at one effect; see `faults`.

    Attributes:
        lasts: Whether it strikes every later effect on the same server too, whoever's, until the workers are done.
    """

    lasts: ClassVar[bool]

    @property
    def name(self) -> str:
        """What people call it, its figures included: `delay 31 s`."""
        ...

    def strike(self, run: Run, worker: Worker, perform: Callable[[], Any]) -> Any:
        """Carries the effect out in the faulty way."""
        ...
