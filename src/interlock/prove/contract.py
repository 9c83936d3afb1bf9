"""What a user writes: a function that sets a world up and says what must hold in it, and how much is to be tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.world import World


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract, and what is tried.

    Attributes:
        arrange: The user's function.
        workers: How many workers there are.
        faults: How many faults may strike one schedule: 0 or 1.
    """

    arrange: Callable[[World], None]
    workers: int
    faults: int

    @property
    def name(self) -> str:
        """What the user called it."""
        return self.arrange.__name__


def contract(*, workers: int = 2, faults: int = 1) -> Callable[[Callable[[World], None]], Contract]:
    """Makes a contract of a function that is shown a world.

    Args:
        workers: How many workers there are.
        faults: How many faults may strike one schedule: 0 or 1.

    Raises:
        UsageError: If they are other numbers.
    """
    if workers < 1 or faults not in {0, 1}:
        raise UsageError(
            f"@contract: found workers={workers} and faults={faults}, expected at least one worker, and 0 or 1 faults"
        )
    return lambda arrange: Contract(arrange, workers, faults)
