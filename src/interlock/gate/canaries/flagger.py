"""What the first step of a Flagger Canary reaches.

Source: fluxcd/flagger, pkg/controller/scheduler.go, read at 15bd6ad: the weight grows by `stepWeight`, or along `stepWeights`,
once an interval; with `iterations` the canary takes all of the matched traffic at once, or everybody's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from interlock.core.yaml_files import mapping, mappings
from interlock.gate.canaries.exposure import Exposure, Stage, duration_s

if TYPE_CHECKING:
    from collections.abc import Iterator

API: Final = "flagger.app/"
_ALL: Final = 100
_USUAL_INTERVAL: Final = "60s"
_NO_ROUTER: Final = "kubernetes"


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
    watched, unseen = _watched(analysis, templates)
    weights: list[object] = analysis.get("stepWeights") or [analysis.get("stepWeight")]
    if analysis.get("iterations") and not weights[0]:
        share = None if analysis.get("match") else 1.0
        how = "iterations over matched traffic" if analysis.get("match") else "iterations: everybody at once"
        return Exposure(name=name, least=share, most=share, how=how, watched=tuple(watched), unseen=tuple(unseen))
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


def _watched(analysis: dict[str, Any], templates: dict[tuple[str, str], dict[str, Any]]) -> tuple[list[str], list[str]]:
    """The queries by which it is watched, and the templates that are not there. Built-in metrics go by their names."""
    queries, unseen = list[str](), list[str]()
    for metric in mappings(analysis, "metrics"):
        reference = mapping(metric, "templateRef")
        if not reference:
            queries.append(str(metric.get("query", metric.get("name"))))
        elif ("MetricTemplate", str(reference.get("name"))) in templates:
            queries.append(str(mapping(templates["MetricTemplate", str(reference["name"])], "spec").get("query")))
        else:
            unseen.append(f"MetricTemplate {reference.get('name')}")
    return queries, unseen
