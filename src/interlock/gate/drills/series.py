"""An incident as the team's own metrics would have shown it, in the notation of `promtool test rules`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Final

from interlock.core.errors import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.core.settings import Document
    from interlock.gate.drills.incident import Incident

STEP_S: Final = 15  # Prometheus's usual scrape interval.
KINDS: Final = ("all", "good", "bad", "harm", "success", "constant")


@dataclass(frozen=True, slots=True)
class Series:
    """One series of the team's, and what of the incident it shows."""

    series: str  # as in a rule: shop_orders_completed_total{job="shop"}
    of: str  # all, good, bad, harm: counters; success: a gauge from 0 to 1; constant: always `scale`
    scale: float = 1.0
    born_with_first: bool = True  # a counter that is not exported before it counts something, as client libraries do it

    def check(self, document: Document) -> None:
        """Raises UsageError if it shows nothing that there is."""
        if self.of not in KINDS:
            raise document.fail("of", f"of in series is {self.of!r}; {nearest(self.of, KINDS)}")

    def values(self, incident: Incident) -> str:
        """All its values from the beginning of the history, one each 15 s."""
        moments = _moments(incident)
        match self.of:
            case "success":
                return _compact([incident.success(at_s) * self.scale for at_s in moments])
            case "constant":
                return f"{self.scale:g}x{len(moments) - 1}"
            case _:
                return self._counted([self._per_s(incident, at_s) for at_s in moments])

    def _per_s(self, incident: Incident, at_s: float) -> float:
        match self.of:
            case "good":
                rate = incident.per_s * incident.success(at_s)
            case "bad":
                rate = incident.per_s * (1 - incident.success(at_s))
            case "harm":
                rate = incident.harm(at_s)
            case _:
                rate = incident.per_s
        return rate * self.scale

    def _counted(self, rates: list[float]) -> str:
        """A counter: whole events only. Before its first event it is not there, unless it is exported from the start."""
        exact, counts = 0.0, list[float]()
        for rate in rates:
            exact += rate * STEP_S
            counts.append(float(int(exact)))
        absent = next((number for number, count in enumerate(counts) if count), len(counts)) if self.born_with_first else 0
        return " ".join(part for part in (f"_x{absent}" if absent else "", _compact(counts[absent:])) if part)


def _moments(incident: Incident) -> list[float]:
    """When there are values, counted from the beginning of the incident."""
    first = -int(incident.history_s // STEP_S)
    return [float(number * STEP_S) for number in range(first, int(incident.lasts_s // STEP_S) + 1)]


def _compact(values: list[float]) -> str:
    """`a+bxn` for each run of equal steps: a day of values fits into a line."""
    if not values:
        return ""
    steps = [round(after - before, 9) for before, after in pairwise(values)]
    return " ".join([f"{values[0]:.12g}", *_runs(values, steps)])


def _runs(values: list[float], steps: list[float]) -> Iterator[str]:
    place = 1
    for step, run in groupby(steps):
        length = len(list(run))
        yield f"{values[place]:.12g}{step:+.12g}x{length - 1}"
        place += length
