"""What could end an Argo Rollout while it is at a weight, and what merely looks on.

A metric ends a rollout once it has failed more often than `failureLimit`. One that is never measured so often, whose condition
does not look at what was measured, or that runs dry, is there and ends nothing.

Source: argoproj/argo-rollouts, analysis/analysis.go (`assessMetricStatus`), utils/evaluate/evaluate.go and
utils/analysis/helpers.go (`GetDryRunMetrics`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, Final

from interlock.core.yaml_files import mapping, mappings
from interlock.gate.canaries import promql
from interlock.gate.canaries.exposure import duration_s

if TYPE_CHECKING:
    from collections.abc import Iterator

    Templates = dict[tuple[str, str], dict[str, Any]]

_JUDGE: Final = {"job", "kayenta", "plugin"}  # Providers that say themselves whether all is well.
_QUOTED: Final = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`[^`]*`|//[^\n]*|/\*.*?\*/""", re.DOTALL)
_RESULT: Final = re.compile(r"\bresult\b")
_NEVER: Final = -1  # As a `failureLimit`: however often it fails.


@dataclass(frozen=True, slots=True)
class Watch:
    """What looks at a weight.

    Attributes:
        queries: What is asked by those that could end it, as one text each.
        idle: Those that could not, and why.
        unsure: Those of which that cannot be told, and why.
        missing: The templates that the project does not hold.
    """

    queries: list[str] = field(default_factory=list[str])
    idle: list[str] = field(default_factory=list[str])
    unsure: list[str] = field(default_factory=list[str])
    missing: list[str] = field(default_factory=list[str])

    def add(self, analysis: dict[str, Any], templates: Templates, lasts_s: float | None, *, is_awaited: bool) -> None:
        """Takes in one analysis.

        Args:
            analysis: As a Rollout names it.
            templates: The analysis templates of the project, by kind and name.
            lasts_s: How long it may run before the next weight; None if that is not known.
            is_awaited: Whether the next weight waits for its end.
        """
        found, missing = _of(analysis, templates)
        self.missing.extend(missing)
        for name, template in found.items():
            dry = [str(one.get("metricName")) for around in (analysis, template) for one in mappings(around, "dryRun")]
            for metric in mappings(template, "metrics"):
                can_end, why = _ends(metric, dry, lasts_s, is_awaited=is_awaited)
                if can_end:
                    self.queries.append(_query(mapping(metric, "provider")))
                else:
                    (self.unsure if can_end is None else self.idle).append(f"{name}: {metric.get('name', '?')} {why}")


def waits_s(analysis: dict[str, Any], templates: Templates) -> float | None:
    """How long a step waits for an analysis in which nothing fails; `inf` if its end cannot be told from how it is written."""
    found, missing = _of(analysis, templates)
    metrics = [metric for template in found.values() for metric in mappings(template, "metrics")]
    return inf if missing or not metrics else _longest([_measured_s(metric) for metric in metrics])


def _longest(times_s: list[float | None]) -> float | None:
    return None if None in times_s else max(time_s for time_s in times_s if time_s is not None)


def _of(analysis: dict[str, Any], templates: Templates) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The templates of an analysis and those that they name themselves, as `Kind name`; and what is not there."""
    found, missing, asked = dict[str, dict[str, Any]](), list[str](), list(_references(analysis))
    for kind, name in asked:  # It grows while it is gone through.
        told = f"{kind} {name}"
        if (kind, name) not in templates:
            missing.append(told)
        elif told not in found:
            found[told] = mapping(templates[kind, name], "spec")
            asked += _references(found[told])
    return found, missing


def _references(around: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for reference in mappings(around, "templates"):
        kind = "ClusterAnalysisTemplate" if reference.get("clusterScope") else "AnalysisTemplate"
        yield kind, str(reference.get("templateName"))


def _ends(metric: dict[str, Any], dry: list[str], lasts_s: float | None, *, is_awaited: bool) -> tuple[bool | None, str]:
    """Whether a metric could end a rollout in this time, None if that cannot be told, and why."""
    if any(_is_named(pattern, str(metric.get("name"))) for pattern in dry):
        return False, "only looks on (dryRun)"
    allowed, why = _allowed(metric)
    times = _times(metric, lasts_s)
    if allowed is None or times is None:
        return None, why or "is measured nobody knows how often"
    if allowed == inf:
        needs_success = is_awaited and bool(_number(metric, "consecutiveSuccessLimit"))
        return needs_success, why
    if not times:
        return False, "is not measured before it goes on"
    if times <= allowed:
        return False, f"may fail {allowed:g} times, and is measured {times:g} times at most before it goes on"
    return True, ""


def _query(provider: dict[str, Any]) -> str:
    """What a provider is asked: the query, where it is Prometheus, else all that is written there."""
    query = mapping(provider, "prometheus").get("query")
    return promql.measured(query) if isinstance(query, str) else str(provider)


def _is_named(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern, name) is not None
    except re.error:  # What no reading of it says, is not relied upon.
        return True


def _allowed(metric: dict[str, Any]) -> tuple[float | None, str]:
    """How often a metric may go wrong without an end; `inf` if it never ends anything, None if that cannot be told; and why."""
    success, failure = (str(metric.get(name) or "") for name in ("successCondition", "failureCondition"))
    limits = list[float | None]()
    if mapping(metric, "provider").keys() & _JUDGE or _looks(failure or success):
        limits.append(_number(metric, "failureLimit"))
    if success and failure and _looks(success):  # What is neither is inconclusive, and pauses the rollout.
        limits.append(_number(metric, "inconclusiveLimit"))
    if not limits:
        return inf, "has no condition that looks at its result"
    if None in limits:
        return None, "goes by a limit that is filled in later"
    least = min((limit for limit in limits if limit is not None and limit > _NEVER), default=inf)
    return least, "may fail as often as it likes (failureLimit: -1)" if least == inf else ""


def _looks(condition: str) -> bool:
    """Whether what was measured has a part in a condition. What is filled in later may well be one that does."""
    return bool(_RESULT.search(_QUOTED.sub("", condition))) or condition.lstrip().startswith("{{")


def _number(metric: dict[str, Any], name: str, usual: float = 0) -> float | None:
    """A whole number, which may stand there as a text, as the controller reads it; None if it is filled in later."""
    value: object = metric.get(name, usual)
    if isinstance(value, str):
        return None if "{{" in value else int(value) if value.removeprefix("-").isdecimal() else 0
    return value if isinstance(value, (int, float)) else usual


def _times(metric: dict[str, Any], lasts_s: float | None) -> float | None:
    """How often it is measured at most; None if that cannot be told."""
    count = _count(metric)
    delay_s, every_s = _delay_s(metric), _every_s(metric)
    if count is None or delay_s is None or every_s is None or lasts_s is None:
        return None
    if lasts_s == inf:
        return count
    if lasts_s < delay_s:
        return 0
    return min(count, (lasts_s - delay_s) // every_s + 1) if every_s else count


def _measured_s(metric: dict[str, Any]) -> float | None:
    """How long it takes to be measured as often as it has to be, if nothing fails; None if that cannot be told."""
    if mapping(metric, "provider").keys() & _JUDGE:
        return inf
    count, enough = _count(metric), _number(metric, "consecutiveSuccessLimit")
    delay_s, every_s = _delay_s(metric), _every_s(metric)
    if count is None or enough is None or delay_s is None or every_s is None:
        return None
    times = min(count, enough) if enough > 0 else count
    return delay_s + (times - 1) * every_s if every_s else delay_s


def _count(metric: dict[str, Any]) -> float | None:
    """How often it is to be measured: once, unless it says otherwise; for ever, if it only says how often in a time."""
    count = _number(metric, "count")
    return count if count != 0 else inf if metric.get("interval") else 1


def _delay_s(metric: dict[str, Any]) -> float | None:
    return duration_s(metric.get("initialDelay") or 0)


def _every_s(metric: dict[str, Any]) -> float | None:
    return duration_s(metric.get("interval") or 0)
