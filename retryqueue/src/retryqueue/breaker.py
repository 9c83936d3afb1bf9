"""A circuit breaker: while the provider does not answer, payments wait in the queue instead of using up their attempts.

Closed, it lets everything through. After so many unanswered attempts in a row it opens, and nothing is claimed; when it has
cooled down it lets one attempt through, and that one's answer closes it or opens it again. A decline is an answer.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(slots=True)
class Breaker:
    """The breaker of one worker.

    Attributes:
        after: How many attempts in a row may go unanswered.
        cool_down_s: How long it stays open.
        clock: Seconds that never go back.
    """

    after: int = 20
    cool_down_s: float = 5.0
    clock: Callable[[], float] = time.monotonic
    _unanswered: int = field(default=0, init=False)
    _opened_at: float | None = field(default=None, init=False)

    @property
    def is_open(self) -> bool:
        """Whether it is not closed."""
        return self._opened_at is not None

    @property
    def rest_s(self) -> float:
        """How long nothing may be tried; 0 if something may."""
        return 0.0 if self._opened_at is None else max(0.0, self._opened_at + self.cool_down_s - self.clock())

    def allowed(self, running: int) -> float:
        """How many more attempts may be begun while so many are running."""
        if self._opened_at is None:
            return float("inf")
        return 1 if running == 0 and self.rest_s == 0 else 0

    def heard(self, *, answered: bool) -> bool:
        """Takes in how an attempt went; tells whether that opened or closed the breaker."""
        before = self.is_open
        self._unanswered = 0 if answered else self._unanswered + 1
        if answered:
            self._opened_at = None
        elif before or self._unanswered >= self.after:
            self._opened_at = self.clock()
        return self.is_open != before
