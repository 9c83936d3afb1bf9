"""How a release begins: which share of the users it reaches first, for how long, and by what it is watched."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from interlock.core.verdict import Verdict, worst
from interlock.gate.canaries import promql

_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of a release, as it really is: which share of the users it reaches, 0 to 1, and for how long."""

    least: float | None  # None where that cannot be told
    most: float | None
    stays_s: float | None  # `inf` if a person or an analysis decides

    def as_facts(self) -> dict[str, float | str | None]:
        """As JSON has it, which knows no infinity."""
        stays_s = "until it is decided" if self.stays_s == inf else self.stays_s
        return {"least": self.least, "most": self.most, "stays_s": stays_s}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """The first step of one release.

    Attributes:
        name: The object that declares it, `Rollout shop`.
        least: The smallest share of the users that the first step can reach, 0 to 1; none if it cannot be told.
        most: The largest.
        how: How the shares were worked out.
        stays_s: How long it stays there before it goes on; `inf` if a person or an analysis decides, none if it cannot be told.
        watched: The queries by which it is watched there, each of which could end it.
        unseen: Templates of such queries that the project does not hold.
        unsure: What looks at it there, and may or may not be able to end it, with the reason.
        idle: What looks at it there and could not end it, with the reason.
        stages: All its steps, the first among them; none where everybody is reached at once.
    """

    name: str
    least: float | None
    most: float | None
    how: str
    stays_s: float | None = inf
    watched: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    stages: tuple[Stage, ...] = ()

    def as_facts(self) -> dict[str, Any]:
        """For programs, and to be drawn."""
        stages = self.stages or (Stage(least=self.least, most=self.most, stays_s=self.stays_s),)
        return {"name": self.name, "how": self.how, "stages": [stage.as_facts() for stage in stages]}

    def judged(self, limit: float, least_s: float, metrics: tuple[str, ...]) -> tuple[Verdict, list[str]]:
        """The verdict on it, and each reason.

        Args:
            limit: The largest share that a first step may reach.
            least_s: How long it must stay there at least.
            metrics: The metrics of what is touched; one of them must be watched, if any are known.
        """
        told = (self._share(limit), self._staying(least_s), self._watching(metrics))
        return worst(verdict for verdict, _ in told), [f"{self.name}: {reason}" for _, reason in told if reason]

    def _staying(self, least_s: float) -> tuple[Verdict, str]:
        if self.stays_s is None:
            return Verdict.UNKNOWN, "how long it stays at its first step is not known"
        if not self.stays_s:
            return Verdict.FAIL, "it does not stay at its first step"
        if self.stays_s < least_s:
            return Verdict.FAIL, f"it stays at its first step for {self.stays_s:g} s, less than {least_s:g} s"
        return Verdict.PASS, ""

    def _share(self, limit: float) -> tuple[Verdict, str]:
        if self.least is None or self.most is None:
            return Verdict.UNKNOWN, f"how many users its first step reaches is not known: {self.how}"
        told = f"its first step reaches {_percent(self.least, self.most)} of the users ({self.how})"
        if self.most <= limit:
            return Verdict.PASS, told
        if self.least > limit:
            return Verdict.FAIL, f"{told}, more than {limit:.0%}"
        return Verdict.UNKNOWN, f"{told}: not within {limit:.0%} for certain"

    def _watching(self, metrics: tuple[str, ...]) -> tuple[Verdict, str]:
        if any(promql.names(query, metric) for query in self.watched for metric in metrics):
            return Verdict.PASS, "it is watched by a metric of what it touches"
        if self.unseen:
            return Verdict.UNKNOWN, f"it is watched by {', '.join(self.unseen)}, which the project does not hold"
        if self.unsure:
            return Verdict.UNKNOWN, f"what watches it may not be able to end it: {'; '.join(self.unsure)}"
        if not self.watched:
            return Verdict.FAIL, f"nothing watches it: {'; '.join(self.idle) or 'no analysis'}"
        if not metrics:
            return Verdict.UNKNOWN, "it is watched, but what it touches declares no metrics to be watched by"
        idle = f" ({'; '.join(self.idle)})" if self.idle else ""
        return Verdict.FAIL, f"none of {', '.join(metrics)} is among what watches it{idle}"


def duration_s(value: object) -> float | None:
    """A duration as manifests write it: seconds, or `1h30m`; none if it is something else."""
    text = str(value)
    if text.isdecimal():
        return float(text)
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def _percent(least: float, most: float) -> str:
    return f"{least:.1%}" if least == most else f"{least:.1%} to {most:.1%}"
