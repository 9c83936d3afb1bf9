"""What the first step of a Flagger Canary reaches.

Source: fluxcd/flagger, pkg/controller/scheduler.go, read at 15bd6ad: the weight grows by `stepWeight`, or along `stepWeights`,
once an interval; with `iterations` the canary takes all of the matched traffic at once, or everybody's. And
pkg/controller/scheduler_metrics.go: while a metric is outside of its threshold the weight does not grow, however many such
checks the analysis allows before it goes back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from interlock.core.yaml_files import mapping, mappings
from interlock.gate.canaries import promql
from interlock.gate.canaries.exposure import Exposure, Stage, duration_s

if TYPE_CHECKING:
    from collections.abc import Iterator

API: Final = "flagger.app/"
_ALL: Final = 100
_USUAL_INTERVAL: Final = "60s"
_NO_ROUTER: Final = "kubernetes"
_SUCCESS_RATE: Final = "request-success-rate"
_BUILT_IN: Final = (_SUCCESS_RATE, "request-duration")


def exposure(canary: dict[str, Any], templates: dict[tuple[str, str], dict[str, Any]]) -> Exposure:
    """How a Canary begins.

    Args:
        canary: The object.
        templates: The metric templates of the project, by kind and name.
    """
    name = f"Canary {mapping(canary, 'metadata').get('name', '?')}"
    spec = mapping(canary, "spec")
    analysis = mapping(spec, "analysis") or mapping(spec, "canaryAnalysis")
    if spec.get("skipAnalysis"):
        return Exposure(name=name, least=1.0, most=1.0, how="skipAnalysis: everybody at once", stays_s=0.0)
    if spec.get("provider") == _NO_ROUTER:
        how = "the provider kubernetes shifts no traffic: everybody at once"
        return Exposure(name=name, least=1.0, most=1.0, how=how, stays_s=0.0)
    watched, unseen, idle = _watched(analysis, templates)
    weights: list[object] = analysis.get("stepWeights") or [analysis.get("stepWeight")]
    if analysis.get("iterations") and not weights[0]:
        share = None if analysis.get("match") else 1.0
        how = "iterations over matched traffic" if analysis.get("match") else "iterations: everybody at once"
        return Exposure(
            name=name, least=share, most=share, how=how, watched=tuple(watched), unseen=tuple(unseen), idle=tuple(idle)
        )
    weight = weights[0]
    if not isinstance(weight, int) or isinstance(weight, bool) or not 0 < weight <= _ALL:
        return Exposure(name=name, least=None, most=None, how=f"stepWeight is {weight!r}", watched=tuple(watched))
    share, interval = weight / _ALL, analysis.get("interval", _USUAL_INTERVAL)
    how, stays_s = f"stepWeight: {weight}, each {interval}", duration_s(interval)
    return Exposure(
        name=name,
        least=share,
        most=share,
        how=how,
        stays_s=stays_s,
        watched=tuple(watched),
        unseen=tuple(unseen),
        idle=tuple(idle),
        stages=tuple(_stages(analysis, weights, stays_s)),
    )


def _stages(analysis: dict[str, Any], weights: list[object], stays_s: float | None) -> Iterator[Stage]:
    """Every weight until the greatest, and at the end everybody."""
    step, greatest = weights[0], analysis.get("maxWeight", _ALL)
    if not analysis.get("stepWeights") and isinstance(step, int) and isinstance(greatest, int):
        weights = list(range(step, min(greatest, _ALL) + 1, step))
    for weight in weights:
        if isinstance(weight, int) and 0 < weight < _ALL:
            yield Stage(least=weight / _ALL, most=weight / _ALL, stays_s=stays_s)
    yield Stage(least=1.0, most=1.0, stays_s=0.0)


def _watched(
    analysis: dict[str, Any], templates: dict[tuple[str, str], dict[str, Any]]
) -> tuple[list[str], list[str], list[str]]:
    """The queries by which it is watched, the templates that are not there, and the metrics that could not stop it.

    Built-in metrics go by their names.
    """
    queries, unseen, idle = list[str](), list[str](), list[str]()
    for metric in mappings(analysis, "metrics"):
        reference = mapping(metric, "templateRef")
        if not _can_fail(metric):
            idle.append(f"{metric.get('name', '?')} has a threshold that nothing it measures can miss")
        elif not reference:
            queries.append(promql.measured(str(metric.get("query", metric.get("name")))))
        elif ("MetricTemplate", str(reference.get("name"))) in templates:
            queries.append(_query(mapping(templates["MetricTemplate", str(reference["name"])], "spec")))
        else:
            unseen.append(f"MetricTemplate {reference.get('name')}")
    return queries, unseen, idle


def _query(template: dict[str, Any]) -> str:
    query = str(template.get("query"))
    return promql.measured(query) if mapping(template, "provider").get("type") == "prometheus" else query


def _can_fail(metric: dict[str, Any]) -> bool:
    """Whether a value could be outside of a metric's threshold: a rate of success is a percentage, no duration is below 0."""
    is_built_in = not metric.get("query") and not metric.get("templateRef")
    name = str(metric.get("name")) if is_built_in else ""
    if metric.get("thresholdRange") is None:  # A single one is the least for a rate of success, and the most for all else.
        return name != _SUCCESS_RATE or not _is_number(metric.get("threshold", 0)) or metric.get("threshold", 0) > 0
    least, most = (mapping(metric, "thresholdRange").get(bound) for bound in ("min", "max"))
    can_be_less = least is not None and not (name in _BUILT_IN and _is_number(least) and least <= 0)
    can_be_more = most is not None and not (name == _SUCCESS_RATE and _is_number(most) and most >= _ALL)
    return can_be_less or can_be_more


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
