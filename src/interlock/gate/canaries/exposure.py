"""How a release begins: which share of the users it reaches first, for how long, and by what it is watched."""

from __future__ import annotations

from dataclasses import dataclass

from interlock.core.verdict import Verdict, worst


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """The first step of one release.

    Attributes:
        name: The object that declares it, `Rollout shop`.
        least: The smallest share of the users that the first step can reach, 0 to 1; none if it cannot be told.
        most: The largest.
        how: How the shares were worked out.
        pauses: Whether it stays there before it goes on; none if it cannot be told.
        watched: The queries by which it is watched there.
        unseen: Templates of such queries that the project does not hold.
    """

    name: str
    least: float | None
    most: float | None
    how: str
    pauses: bool | None = True
    watched: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()

    def judged(self, limit: float, metrics: tuple[str, ...]) -> tuple[Verdict, list[str]]:
        """The verdict on it, and each reason.

        Args:
            limit: The largest share that a first step may reach.
            metrics: The metrics of what is touched; one of them must be watched, if any are known.
        """
        share, said = self._share(limit)
        verdicts, reasons = [share], [said]
        if self.pauses is not True:
            verdicts.append(Verdict.FAIL if self.pauses is False else Verdict.UNKNOWN)
            reasons.append("it does not stay at its first step" if self.pauses is False else "how long it stays is not known")
        watching, seen = self._watching(metrics)
        return worst([*verdicts, watching]), [f"{self.name}: {reason}" for reason in (*reasons, seen)]

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
        if any(metric in query for query in self.watched for metric in metrics):
            return Verdict.PASS, "it is watched by a metric of what it touches"
        if self.unseen:
            return Verdict.UNKNOWN, f"it is watched by {', '.join(self.unseen)}, which the project does not hold"
        if not self.watched:
            return Verdict.FAIL, "nothing watches it: no analysis"
        if not metrics:
            return Verdict.UNKNOWN, "it is watched, but what it touches declares no metrics to be watched by"
        return Verdict.FAIL, f"none of {', '.join(metrics)} is among what watches it"


def _percent(least: float, most: float) -> str:
    return f"{least:.1%}" if least == most else f"{least:.1%} to {most:.1%}"
