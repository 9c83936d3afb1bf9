"""Figures from Prometheus, by its HTTP API: one query a side, told as counts (of counters) or as readings (of gauges).

Prometheus knows what was so at its last scrape. With a scrape every 15 s that costs 1 to 16 times as many failed users as the
router's own log; use it for what only it knows, such as the connections in use.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from interlock.core.errors import WorldError
from interlock.roll.fetching import check_address, fetched
from interlock.roll.judge import Arm
from interlock.roll.sources import Count, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from interlock.roll.shares import Shares

_DEADLINE_S: Final = 2.0
# All queries of a look ask for the same moment: with a scrape between two of them, one side's events would come without the
# other's. It lies a little back, because what is being scraped now belongs to a moment before, and is not there yet.
_COMMITTED_S: Final = 2.0


Queries = dict[tuple[str, Arm], str]


@dataclass(slots=True, kw_only=True)
class Prometheus:
    """Both sides' figures, each by its name and side."""

    url: str
    gauges: Queries
    counters: Queries
    shares: Shares
    stale_s: float = 30.0  # Older samples are not told; longer than two scrapes.
    name: str = field(default="Prometheus", init=False)
    _at_s: float = field(default=0.0, init=False)
    _before: dict[tuple[str, Arm], float] = field(default_factory=dict[tuple[str, Arm], float], init=False)

    def __post_init__(self) -> None:
        """Raises UsageError if the address is none."""
        check_address("Prometheus is", self.url)

    def poll(self) -> Sequence[Count | Reading]:
        """What Prometheus knows. A query without an answer gives nothing: no data is not zero."""
        self._at_s = time.time() - _COMMITTED_S
        readings = [
            Reading(name=name, arm=side, value=value)
            for (name, side), query in self.gauges.items()
            if (value := self._value(query)) is not None
        ]
        return [*readings, *self._counts()]

    def _counts(self) -> Iterator[Count]:
        """What was counted since the last time, of each name whose both sides are known."""
        now_s = time.time()
        limit = self.shares.between(now_s - self.stale_s, now_s)
        now = {key: value for key, query in self.counters.items() if (value := self._value(query)) is not None}
        added = {key: now[key] - self._before[key] for key in now if key in self._before}
        self._before = now
        if limit is None:
            return
        for name in {name for name, _ in added}:
            sides = [added.get((name, side), -1.0) for side in Arm]
            if min(sides) >= 0:  # A counter that fell began anew, and what it counted before is not known.
                yield from (
                    Count(name=name, arm=side, limit=limit, total=round(value)) for side, value in zip(Arm, sides, strict=True)
                )

    def idle(self) -> bool:
        """Nobody can tell silence from a break here."""
        return False

    def close(self) -> None:
        """There is nothing to give back."""

    def _value(self, query: str) -> float | None:
        """The one value of a query, if it is fresh."""
        results = self._asked(query)
        if len(results) > 1:
            message = f"Prometheus gives {len(results)} series for `{query}`; expected one (sum them)"
            raise WorldError(message)  # A second series may come in the midst of a rollout, which must be stopped then.
        aged = self._asked(f"timestamp({query})") if results else []
        if not aged or time.time() - aged[0] > self.stale_s:
            return None
        return None if math.isnan(results[0]) else results[0]

    def _asked(self, query: str) -> list[float]:
        """The values of a query at the time of this look, one a series."""
        asked = urlencode({"query": query, "time": f"{self._at_s:.3f}"})
        _, body = fetched(f"{self.url.rstrip('/')}/api/v1/query?{asked}", _DEADLINE_S)
        try:
            data: dict[str, Any] = json.loads(body)["data"]
            if data["resultType"] != "vector":
                message = f"Prometheus gives a {data['resultType']} for `{query}`; expected an instant vector"
                raise WorldError(message)
            return [float(series["value"][1]) for series in data["result"]]
        except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
            message = f"Prometheus at {self.url} answers `{query}` in a form that it does not document: {error!r}"
            raise WorldError(message) from error
