"""HAProxy's own counters (`show stat`): requests and 5xx of each side. There are no users in them, only requests.

Of use where the log cannot be had. One user who tries again and again counts each time; see the limits in docs/roll.md.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from interlock.core.errors import WorldError
from interlock.roll.judge import Arm
from interlock.roll.sources import Count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interlock.roll.routers.haproxy import Haproxy


class HaproxyCounters:
    """The counters of two backends."""

    name = "the HAProxy counters"

    def __init__(self, haproxy: Haproxy, *, baseline: str = "baseline", canary: str = "canary") -> None:
        self._haproxy = haproxy
        self._names = {baseline: Arm.BASELINE, canary: Arm.CANARY}
        self._before: dict[Arm, tuple[int, int]] | None = None

    def poll(self) -> Sequence[Count]:
        """What was counted since the last time; nothing at first, and nothing when HAProxy began to count anew."""
        limit = self._haproxy.read().limit
        now = totals_of(self._haproxy, self._names)
        before, self._before = self._before, now
        if before is None or any(now[side] < before[side] for side in Arm):
            return []
        return [
            Count(
                name="requests",
                arm=side,
                limit=limit,
                total=now[side][0] - before[side][0],
                failed=now[side][1] - before[side][1],
            )
            for side in Arm
        ]

    def idle(self) -> bool:
        """It has answered; what it counted is told the next time."""
        return True

    def close(self) -> None:
        """There is nothing to give back."""


def totals_of(haproxy: Haproxy, names: Mapping[str, Arm]) -> dict[Arm, tuple[int, int]]:
    """Requests and 5xx of each backend. Raises WorldError if there is no such backend."""
    table = csv.DictReader(haproxy.ask("show stat -1 2 -1").removeprefix("# ").splitlines())
    found = {
        names[row["pxname"]]: (int(row["req_tot"] or 0), int(row["hrsp_5xx"] or 0)) for row in table if row["pxname"] in names
    }
    if missing := [name for name, arm in names.items() if arm not in found]:
        message = f"HAProxy has no backend {missing[0]!r} in `show stat`"
        raise WorldError(message)
    return found
