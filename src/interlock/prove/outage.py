"""A fault that lasts: it goes on striking whatever is done on the same server, by whomever."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from interlock.prove.effect import Effect
    from interlock.prove.fault import Fault

# A server that is gone for good would keep a module that tries again for ever from ever coming to an end.
STRIKES_MAX = 40


class Server(Protocol):
    """A server that can end, and come back with what it still knows."""

    def remember(self) -> None:
        """Nothing is lost of what is there now."""
        ...

    def restart(self, lost_s: float) -> None:
        """Comes back without what was written in the last seconds."""
        ...

    def fail_over(self, behind: int) -> None:
        """Comes back without the last writes."""
        ...


@dataclass(slots=True)
class Outage:
    """What goes on.

    Attributes:
        fault: What it is.
        effect: The effect that it struck first.
        strikes: How often it has struck since.
    """

    fault: Fault
    effect: Effect
    strikes: int = 0

    def strikes_too(self, effect: Effect) -> bool:
        """Whether it strikes this effect, which is then counted."""
        if not self.effect.is_on_server_of(effect):
            return False
        self.strikes += 1
        return self.strikes < STRIKES_MAX

    def refuses(self, effect: Effect) -> bool:
        """Whether the server that is to be connected to is gone."""
        return bool(getattr(self.fault, "refuses", False)) and self.strikes_too(effect)
