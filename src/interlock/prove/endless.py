"""When workers that must come to an end have gone on for ever: once nothing has changed for a long time, and not sooner.

How much there is to do is the module's business. But who has done a thousand things that changed nothing will do the next
thousand as well; and of who goes on changing something nobody can tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.prove.scheduler import Stuck
from interlock.prove.vacuity import reach_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.scheduler import Run

IN_VAIN_MAX = 1_000
LONGEST = 4_000
_LOOKED_AT_EVERY = 200


@dataclass(slots=True)
class Patience:
    """How much more workers may do.

    Args:
        run: The schedule.
        changes: How many changes the servers have seen.
    """

    run: Run
    changes: Callable[[], int]
    _limit: int = 0
    _begun: int = 0
    _seen: int = 0
    _looked_at: int = 0
    _changed_at: int = 0

    def more(self) -> int:
        """How many effects are allowed beyond the run's limit.

        Raises:
            Stuck: If they go on for ever.
            Uncontrolled: If nobody can tell.
        """
        now, seen = len(self.run.steps), self.changes()
        if self.run.limit != self._limit:  # Something else has begun, with a limit of its own.
            self._begun = self._looked_at = now
        if self._begun == now or seen != self._seen or reach_out(self.run.steps[self._looked_at :]):
            self._seen, self._changed_at = seen, now
        self._looked_at = now
        if now - self._changed_at >= IN_VAIN_MAX:
            raise Stuck(f"no end: {IN_VAIN_MAX:,} effects in a row have changed nothing")
        if now - self._begun >= LONGEST:
            raise self.run.uncontrolled(f"no end within {LONGEST:,} effects, and nobody can tell whether there is one")
        self._limit = self.run.limit + _LOOKED_AT_EVERY
        return _LOOKED_AT_EVERY
