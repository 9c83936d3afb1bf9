"""What a rollout asks of its router: a share for a while, which ends by itself unless it is asked for again.

So nobody is on the canary when nobody watches, and whoever goes on after a kill sees whether somebody else has been there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.core.errors import WorldError
from interlock.roll.buckets import BUCKETS
from interlock.roll.routers import FOREVER_S, Setting
from interlock.roll.shares import UNCERTAIN

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from interlock.roll.routers import Router
    from interlock.roll.shares import Shares


@dataclass(slots=True, kw_only=True)
class Lease:
    """The share of one rollout."""

    router: Router
    shares: Shares  # is told when the share changes
    clock: Callable[[], float]  # of the rollout, which does not go back
    salt: str
    lease_s: float  # how long the router keeps to what it was told
    _asked_s: float = 0.0

    def take(self, limit: int) -> float:
        """Asks for this share, and says since when it is in force. Raises WorldError if the router does not say it back."""
        self._ask(limit)
        now_s = self.clock()
        self.shares.note(now_s, limit)
        return now_s

    def keep(self, limit: int) -> str:
        """Asks again in time, and says what somebody else has made of it meanwhile. A router that does not answer is silent."""
        found = self._found()
        if found is None:
            return ""
        if (found.limit, found.salt) != (limit, self.salt):
            return f"the router was changed by somebody else: {_told(found)}, asked were {limit / BUCKETS:.2%}"
        now_s = self.clock()
        lapsed_s = time.time() - found.until_s  # By the router's clock, which may have been set back meanwhile.
        if lapsed_s >= 0:
            self.shares.note(now_s - lapsed_s, UNCERTAIN)
            self.shares.note(now_s, limit)
        if now_s - self._asked_s > self.lease_s / 3:
            self.renew(limit)
        return ""

    def resume(self, limit: int, before: AbstractSet[int] = frozenset()) -> str:
        """Goes on with a predecessor's share, if the router still has it or one from before; says what it does otherwise."""
        found = self._found()
        if found is None or found.salt != self.salt or found.limit not in {limit, *before}:
            return f"the router was changed while nobody watched: {_told(found)}"
        if found.limit == limit:
            self.renew(limit)
            self.shares.note(self.clock(), limit)
        return ""

    def renew(self, limit: int) -> bool:
        """Asks for the same share once more."""
        return self._does(lambda: self._ask(limit))

    def close(self) -> bool:
        """Nobody on the canary. False if the router does not say so."""
        return self._does(lambda: self.router.write(self._setting(0)))

    def settle(self, limit: int) -> None:
        """The last share of a rollout: nobody, or everybody for good. Raises WorldError if the router does not say it back."""
        until_s = FOREVER_S if limit else 0
        self.router.write(Setting(limit=limit, salt=self.salt, until_s=until_s))

    @property
    def ended_by_s(self) -> float:
        """When the router sends nobody to the canary any more, whatever became of all that it was told."""
        return (self._asked_s or self.clock()) + self.lease_s + 1

    def _ask(self, limit: int) -> None:
        self._asked_s = self.clock()  # Before: a router may do what it was told though its answer is lost.
        self.router.write(self._setting(limit))

    def _setting(self, limit: int) -> Setting:
        return Setting(limit=limit, salt=self.salt, until_s=int(time.time() + self.lease_s) + 1 if limit else 0)

    def _found(self) -> Setting | None:
        try:
            return self.router.read()
        except WorldError:
            return None

    @staticmethod
    def _does(act: Callable[[], None]) -> bool:
        try:
            act()
        except WorldError:
            return False
        return True


def _told(found: Setting | None) -> str:
    return "it does not answer" if found is None else f"it sends {found.share:.2%} to the canary"
