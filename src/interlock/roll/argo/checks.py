"""What Argo's controller refuses after the API server has taken it, and what it takes and should not.

The first are the controller's own checks (a Rollout becomes `InvalidSpec`, an AnalysisRun ends as `Error`); the others are
releases that look like a canary and are none.

Source: argoproj/argo-rollouts at 9f8d111, pkg/apis/rollouts/validation/validation.go and utils/analysis/factory.go.
"""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

from interlock.core.yaml_files import mapping, mappings

if TYPE_CHECKING:
    from collections.abc import Iterator

Objects = dict[tuple[str, str], dict[str, Any]]

_STEP_KINDS: Final = (
    "setWeight",
    "pause",
    "experiment",
    "analysis",
    "setCanaryScale",
    "setHeaderRoute",
    "setMirrorRoute",
    "plugin",
)
_EXCLUSIVE: Final = ("setWeight", "pause", "experiment", "analysis")
_NEEDS_SERVICES: Final = ("alb", "smi", "apisix", "ambassador", "nginx", "appMesh", "traefik", "istio")
_HEADER_ROUTERS: Final = ("istio", "alb", "apisix", "plugins")
_DURATION: Final = re.compile(r"(\d+(\.\d+)?(ns|us|ms|s|m|h))+")
_PLACEHOLDER: Final = re.compile(r"\{\{\s*args\.([^\s}]+)\s*\}\}")
_USUAL_DEADLINE_S: Final = 600


def problems(manifests: list[dict[str, Any]]) -> Iterator[str]:
    """Everything that is wrong with some manifests, as `Kind name: where: what`."""
    objects = {(str(one.get("kind")), str(mapping(one, "metadata").get("name"))): one for one in manifests}
    for (kind, name), one in objects.items():
        found = {"Rollout": _rollout, "AnalysisTemplate": _template, "ClusterAnalysisTemplate": _template}.get(kind)
        if found is not None:
            yield from (f"{kind} {name}: {problem}" for problem in found(one, objects))


def _rollout(rollout: dict[str, Any], objects: Objects) -> Iterator[str]:
    spec = mapping(rollout, "spec")
    strategy = mapping(spec, "strategy")
    yield from _pods(spec)
    if ("canary" in strategy) == ("blueGreen" in strategy):
        yield "spec.strategy: expected canary or blueGreen, one of them"
    if "canary" not in strategy:
        yield "spec.strategy: no canary, so a bad release reaches everybody at once"
        return
    canary = mapping(strategy, "canary")
    yield from _services(canary, objects)
    yield from _scaling(canary)
    steps = mappings(canary, "steps")
    whole = int(mapping(canary, "trafficRouting").get("maxTrafficWeight", 100))
    for number, step in enumerate(steps):
        yield from (f"spec.strategy.canary.steps[{number}]: {problem}" for problem in _step(step, canary, whole))
    yield from _staying(steps)
    yield from _analyses(canary, steps, objects)


def _pods(spec: dict[str, Any]) -> Iterator[str]:
    labels = mapping(mapping(mapping(spec, "template"), "metadata"), "labels")
    if "workloadRef" in spec:
        if mapping(spec, "template"):
            yield "spec.template: must be empty, since workloadRef names the pods"
    elif not mapping(spec, "selector"):
        yield "spec.selector: missing"
    elif not mapping(spec, "selector").keys() & {"matchLabels", "matchExpressions"}:
        yield "spec.selector: empty"
    elif not mapping(mapping(spec, "selector"), "matchLabels").items() <= labels.items():
        yield "spec.selector: does not match the labels of the pod template"
    if int(spec.get("progressDeadlineSeconds", _USUAL_DEADLINE_S)) <= int(spec.get("minReadySeconds", 0)):
        yield "spec.progressDeadlineSeconds: must be greater than minReadySeconds"
    if spec.get("revisionHistoryLimit") == 0:
        yield "spec.revisionHistoryLimit: 0 keeps no version to roll back to"
    for container in mappings(mapping(mapping(spec, "template"), "spec"), "containers"):
        if "@sha256:" not in str(container.get("image")):
            yield f"image {container.get('image')}: not pinned by its digest, so a roll back may bring something else"


def _services(canary: dict[str, Any], objects: Objects) -> Iterator[str]:
    stable, fresh = canary.get("stableService"), canary.get("canaryService")
    routing = mapping(canary, "trafficRouting")
    if stable and stable == fresh:
        yield "spec.strategy.canary: the same service for the stable and the canary side"
    istio = mapping(routing, "istio")
    if any(name in routing for name in _NEEDS_SERVICES) and "pingPong" not in canary and "destinationRule" not in istio:
        for key, service in (("stableService", stable), ("canaryService", fresh)):
            if not service:
                yield f"spec.strategy.canary.{key}: missing, traffic routing needs it"
    for service in (stable, fresh):
        if service and any(kind == "Service" for kind, _ in objects) and ("Service", service) not in objects:
            yield f"spec.strategy.canary: no Service {service} among these manifests"
    ingress = mapping(routing, "nginx").get("stableIngress")
    if ingress and ("Ingress", ingress) not in objects and any(kind == "Ingress" for kind, _ in objects):
        yield f"spec.strategy.canary.trafficRouting.nginx: no Ingress {ingress} among these manifests"


def _scaling(canary: dict[str, Any]) -> Iterator[str]:
    if str(canary.get("maxSurge", "25%")).rstrip("%") == "0" and str(canary.get("maxUnavailable", "25%")).rstrip("%") == "0":
        yield "spec.strategy.canary: maxSurge and maxUnavailable are both zero"
    routing = mapping(canary, "trafficRouting")
    if not routing:
        for key in ("scaleDownDelaySeconds", "dynamicStableScale"):
            if canary.get(key):
                yield f"spec.strategy.canary.{key}: can only be used with traffic routing"
    elif "scaleDownDelaySeconds" in canary and canary.get("dynamicStableScale"):
        yield "spec.strategy.canary.dynamicStableScale: cannot be used with scaleDownDelaySeconds"
    if "maxTrafficWeight" in routing and "nginx" not in routing and not routing.get("plugins"):
        yield "spec.strategy.canary.trafficRouting.maxTrafficWeight: only nginx and plugins know it"


def _step(step: dict[str, Any], canary: dict[str, Any], whole: int) -> Iterator[str]:
    given = [kind for kind in _STEP_KINDS if kind in step]
    routing = mapping(canary, "trafficRouting")
    if not given:
        yield f"expected one of {', '.join(_STEP_KINDS)}"
    for one, other in combinations([kind for kind in given if kind in _EXCLUSIVE], 2):
        yield f"{one} and {other} in one step"
    weight = step.get("setWeight")
    if isinstance(weight, int) and not 0 <= weight <= whole:
        yield f"setWeight is {weight}, expected 0 to {whole}"
    duration = mapping(step, "pause").get("duration")
    if duration is not None and not _is_duration(duration):
        yield f"pause.duration is {duration!r}, expected such as 30s, 5m or 1h"
    if "setCanaryScale" in step and not routing:
        yield "setCanaryScale needs traffic routing"
    if "setHeaderRoute" in step and not routing.keys() & set(_HEADER_ROUTERS):
        yield "setHeaderRoute needs Istio, ALB or Apisix"
    managed = {route.get("name") for route in mappings(routing, "managedRoutes")}
    for kind in ("setHeaderRoute", "setMirrorRoute"):
        name = mapping(step, kind).get("name")
        if kind in step and name not in managed:
            yield f"{kind}: route {name!r} is not among trafficRouting.managedRoutes"


def _is_duration(value: object) -> bool:
    """As Argo reads it: seconds as a number, or a duration of Go."""
    if isinstance(value, int):
        return value >= 0
    return isinstance(value, str) and (value.isdecimal() or _DURATION.fullmatch(value) is not None)


def _staying(steps: list[dict[str, Any]]) -> Iterator[str]:
    """Weights that are over before anybody could have seen anything."""
    weights = [place for place, step in enumerate(steps) if "setWeight" in step]
    if not weights:
        yield "spec.strategy.canary.steps: none sets a weight, so this is a rolling update"
        return
    for place, after in zip(weights, [*weights[1:], len(steps)], strict=True):
        if not any({"pause", "experiment"} & step.keys() for step in steps[place:after]):
            yield f"spec.strategy.canary.steps[{place}]: no pause follows, so the weight does not stay"


def _analyses(canary: dict[str, Any], steps: list[dict[str, Any]], objects: Objects) -> Iterator[str]:
    background = mapping(canary, "analysis")
    analyses = [("analysis", background)] if background else []
    analyses += [
        (f"steps[{place}].analysis", mapping(step, "analysis")) for place, step in enumerate(steps) if "analysis" in step
    ]
    if not analyses:
        yield "spec.strategy.canary: no analysis, so nothing stops it"
    for where, analysis in analyses:
        if not mappings(analysis, "templates"):
            yield f"spec.strategy.canary.{where}: names no template"
        given = {str(arg.get("name")) for arg in mappings(analysis, "args")}
        for reference in mappings(analysis, "templates"):
            kind = "ClusterAnalysisTemplate" if reference.get("clusterScope") else "AnalysisTemplate"
            template = objects.get((kind, str(reference.get("templateName"))))
            if template is None:
                yield f"spec.strategy.canary.{where}: no {kind} {reference.get('templateName')} among these manifests"
                continue
            for arg in mappings(mapping(template, "spec"), "args"):
                if arg.get("name") not in given and "value" not in arg and "valueFrom" not in arg:
                    yield f"spec.strategy.canary.{where}: gives no {arg.get('name')}, which {reference['templateName']} needs"


def _template(template: dict[str, Any], _: Objects) -> Iterator[str]:
    spec = mapping(template, "spec")
    metrics = mappings(spec, "metrics")
    if not metrics and not mappings(spec, "templates"):
        yield "spec.metrics: none"
    names = [str(metric.get("name")) for metric in metrics]
    declared = {str(arg.get("name")) for arg in mappings(spec, "args")}
    for number, metric in enumerate(metrics):
        where = f"spec.metrics[{number}]"
        if names.count(names[number]) > 1:
            yield f"{where}: two are called {names[number]!r}"
        yield from (f"{where}: {problem}" for problem in _metric(metric))
        for name in sorted(set(_PLACEHOLDER.findall(str(metric))) - declared):
            yield f"{where}: uses args.{name}, which spec.args does not declare"


def _metric(metric: dict[str, Any]) -> Iterator[str]:
    yield from _limits(metric)
    for key in ("interval", "initialDelay"):
        if key in metric and not _is_duration(metric[key]):
            yield f"{key} is {metric[key]!r}, expected such as 30s, 5m or 1h"
    if len(mapping(metric, "provider")) != 1:
        yield f"expected one provider, found {len(mapping(metric, 'provider'))}"
    if not metric.get("successCondition") and not metric.get("failureCondition"):
        yield "neither successCondition nor failureCondition: every measurement succeeds"
    web = mapping(mapping(metric, "provider"), "web")
    if web and not str(web.get("url", "")).startswith(("http://", "https://")):
        yield f"provider.web.url is {web.get('url')!r}, expected http:// or https://"


def _limits(metric: dict[str, Any]) -> Iterator[str]:
    count, failures = _number(metric, "count", 0), _number(metric, "failureLimit", 0)
    inconclusive, successes = _number(metric, "inconclusiveLimit", 0), _number(metric, "consecutiveSuccessLimit", 0)
    if successes < 0 or inconclusive < 0 or failures < -1 or _number(metric, "consecutiveErrorLimit", 0) < 0:
        yield "a limit is negative"
    if successes == 0 and failures == -1:
        yield "failureLimit and consecutiveSuccessLimit cannot both be disabled"
    if 0 < count < max(0, failures) + successes:
        yield f"count is {count}, expected at least failureLimit + consecutiveSuccessLimit"
    if 0 < count < inconclusive:
        yield f"count is {count}, expected at least inconclusiveLimit"
    if count > 1 and not metric.get("interval"):
        yield "interval must be given when count > 1"


def _number(metric: dict[str, Any], key: str, usual: int) -> int:
    value = metric.get(key, usual)
    return int(value) if isinstance(value, int) or str(value).lstrip("-").isdecimal() else usual
