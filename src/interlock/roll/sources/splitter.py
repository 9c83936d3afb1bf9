"""The requests of an ASGI splitter, asked for through its control socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from interlock.core.errors import WorldError
from interlock.roll.judge import Arm
from interlock.roll.sources import Event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interlock.roll.routers.asgi import SplitterControl

_SERVER_ERROR: Final = 500


class SplitterRequests:
    """What happened since the last time."""

    name = "the splitter"

    def __init__(self, control: SplitterControl) -> None:
        self._control = control
        self._after = -1

    def poll(self) -> Sequence[Event]:
        """One event for each request that has ended. Raises WorldError if some were forgotten before they were told."""
        answer = self._control.ask({"do": "events", "after": self._after})
        self._after = answer["logged"]
        if answer["lost"]:
            message = f"the splitter forgot {answer['lost']} requests before they were asked for"
            raise WorldError(message)
        return [
            Event(
                arm=Arm(side),
                limit=limit,
                user=user,
                failed=status >= _SERVER_ERROR,
                duration_ms=duration_ms,
            )
            for side, limit, user, status, duration_ms in answer["events"]
        ]

    def idle(self) -> bool:
        """It has answered, so there was nothing."""
        return True

    def close(self) -> None:
        """There is nothing to give back."""
