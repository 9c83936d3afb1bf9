"""Who sends users to one side or the other. One file a router; each keeps a setting, and says back what it really is.

A setting ends by itself. If nobody renews it, because whoever ran the rollout was killed or its machine hangs, the router
stops to send users to the canary at that second, without any help.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Protocol

from interlock.roll.buckets import BUCKETS

FOREVER_S: Final = 4_102_444_800  # The year 2100.


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a router is told, and tells."""

    limit: int  # how many of the 10,000 buckets go to the canary
    salt: str
    until_s: int  # the second, since 1970, in which this ends and all users are sent to the baseline

    @property
    def share(self) -> float:
        """The share of the users, 0 to 1."""
        return self.limit / BUCKETS

    def closed(self) -> Setting:
        """The same with nobody on the canary."""
        return replace(self, limit=0, until_s=0)


class Router(Protocol):
    """A router with two sides."""

    def read(self) -> Setting:
        """What the router does now. Raises WorldError if it does not say."""
        ...

    def write(self, setting: Setting) -> None:
        """Sets this, and returns when the router has said it back. Raises WorldError if it has not."""
        ...
