"""What the first step of an Argo Rollout reaches.

`setWeight: 5` is 5 % only where a router splits the traffic (`trafficRouting`). Without one, the weight is approached by whole
pods, and a weight between 1 and 99 is never given less than one: on four replicas 5 % is one pod beside four, 20 to 25 %.

Source: argoproj/argo-rollouts, utils/replicaset/canary.go (`CalculateReplicaCountsForBasicCanary`), read at 9f8d111.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil, inf
from typing import TYPE_CHECKING, Any, Final

from interlock.core.yaml_files import mapping, mappings
from interlock.gate.canaries.analysis import Watch, waits_s
from interlock.gate.canaries.exposure import Exposure, Stage, duration_s

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.gate.canaries.analysis import Templates

API: Final = "argoproj.io/"
_ALL: Final = 100
_USUAL_SURGE: Final = "25%"
_USUAL_REPLICAS: Final = 1
_NO_ROUTER: Final = {"managedRoutes", "maxTrafficWeight"}  # What `trafficRouting` may hold beside routers.


def exposure(rollout: dict[str, Any], templates: Templates, scaler: str = "") -> Exposure:
    """How a Rollout begins.

    Args:
        rollout: The object.
        templates: The analysis templates of the project, by kind and name.
        scaler: What sets its replicas while it runs; empty if nothing does.
    """
    found = _as_written(rollout, templates)
    canary = mapping(mapping(mapping(rollout, "spec"), "strategy"), "canary")
    if not scaler or canary.get("trafficRouting") or found.least == 1.0:
        return found
    how = f"{found.how}; without traffic routing it hangs on how many pods there are, which {scaler} decides"
    unknown = tuple(stage if stage.least == 1.0 else replace(stage, least=None, most=None) for stage in found.stages)
    return replace(found, least=None, most=None, how=how, stages=unknown)


def _as_written(rollout: dict[str, Any], templates: Templates) -> Exposure:
    name = f"Rollout {mapping(rollout, 'metadata').get('name', '?')}"
    spec = mapping(rollout, "spec")
    strategy = mapping(spec, "strategy")
    if "canary" not in strategy:
        return Exposure(name=name, least=1.0, most=1.0, how="its strategy is no canary: everybody at once", stays_s=0.0)
    canary = mapping(strategy, "canary")
    steps = mappings(canary, "steps")
    first = next((place for place, step in enumerate(steps) if _reaches(step)), None)
    if first is None:
        how = "no step sets a weight above 0: a rolling update"
        return Exposure(name=name, least=1.0, most=1.0, how=how, stays_s=0.0)
    last = next((place for place in range(first + 1, len(steps)) if "setWeight" in steps[place]), len(steps))
    least, most, how = _shares(spec, canary, steps[first]["setWeight"])
    watch = _watched(canary, steps, first, last, templates)
    return Exposure(
        name=name,
        least=least,
        most=most,
        how=how,
        stays_s=_stays_s(steps[first:last], templates),
        watched=tuple(watch.queries),
        unseen=tuple(watch.missing),
        unsure=tuple(watch.unsure),
        idle=tuple(watch.idle),
        stages=tuple(_stages(spec, canary, steps, templates)),
    )


def _stages(spec: dict[str, Any], canary: dict[str, Any], steps: list[dict[str, Any]], templates: Templates) -> Iterator[Stage]:
    """Every weight above 0, and at the end everybody."""
    places = [place for place, step in enumerate(steps) if "setWeight" in step]
    everybody = mapping(canary, "trafficRouting").get("maxTrafficWeight", _ALL)
    for place, end in zip(places, [*places[1:], len(steps)], strict=True):
        weight = steps[place]["setWeight"]
        if weight == everybody:
            break
        if _reaches(steps[place]):
            least, most, _ = _shares(spec, canary, weight)
            yield Stage(least=least, most=most, stays_s=_stays_s(steps[place:end], templates))
    yield Stage(least=1.0, most=1.0, stays_s=0.0)


def _reaches(step: dict[str, Any]) -> bool:
    """Whether users are on the canary from this step on. A weight of 0 puts it there with nobody on it."""
    return "setWeight" in step and step["setWeight"] != 0


def _shares(spec: dict[str, Any], canary: dict[str, Any], weight: object) -> tuple[float | None, float | None, str]:
    if not isinstance(weight, int) or isinstance(weight, bool) or not 0 < weight <= _ALL:
        return None, None, f"setWeight is {weight!r}"
    if canary.get("trafficRouting"):
        return _routed(mapping(canary, "trafficRouting"), weight)
    replicas = spec.get("replicas", None if "workloadRef" in spec else _USUAL_REPLICAS)
    if not isinstance(replicas, int) or replicas < 1:
        return None, None, f"setWeight: {weight} without traffic routing, and replicas is {replicas!r}"
    pods = max(1, (2 * replicas * weight + _ALL) // (2 * _ALL))  # A half is rounded up, which `round` would not do.
    surge = _surge(canary.get("maxSurge", _USUAL_SURGE), replicas)
    how = f"setWeight: {weight} without traffic routing: {pods} of {replicas} pods, or of {replicas + surge} while it surges"
    return min(1.0, pods / (replicas + surge)), min(1.0, pods / replicas), how


def _routed(routing: dict[str, Any], weight: int) -> tuple[float | None, float | None, str]:
    scale: object = routing.get("maxTrafficWeight", _ALL)
    if not routing.keys() - _NO_ROUTER:
        return None, None, f"setWeight: {weight}, and trafficRouting names no router"
    if not isinstance(scale, int) or isinstance(scale, bool) or scale < weight:
        return None, None, f"setWeight: {weight}, and maxTrafficWeight is {scale!r}"
    return weight / scale, weight / scale, f"setWeight: {weight}, split by a router"


def _surge(value: object, replicas: int) -> int:
    """How many pods there may be beyond the replicas; a part of them is rounded up, as Kubernetes does."""
    if isinstance(value, str) and value.endswith("%"):
        return ceil(replicas * float(value[:-1]) / 100)
    return int(value) if isinstance(value, int) else 0


def _stays_s(steps: list[dict[str, Any]], templates: Templates) -> float | None:
    """How long it is held at a weight: by pauses, and for as long as an analysis, an experiment or a person takes."""
    lasting = [_step_s(step, templates) for step in steps]
    return None if None in lasting else sum(time_s for time_s in lasting if time_s is not None)


def _step_s(step: dict[str, Any], templates: Templates) -> float | None:
    if "pause" in step:
        return duration_s(mapping(step, "pause")["duration"]) if "duration" in mapping(step, "pause") else inf
    if "experiment" in step:
        return duration_s(mapping(step, "experiment")["duration"]) if "duration" in mapping(step, "experiment") else inf
    return waits_s(mapping(step, "analysis"), templates) if "analysis" in step else 0.0


def _watched(canary: dict[str, Any], steps: list[dict[str, Any]], first: int, last: int, templates: Templates) -> Watch:
    """What watches the first weight.

    Args:
        canary: The strategy.
        steps: All its steps.
        first: The place of the one that sets the first weight.
        last: The place of the one that ends it; an analysis that starts there watches the next one.
        templates: The analysis templates of the project.
    """
    watch, background = Watch(), mapping(canary, "analysis")
    for step in steps[first:last]:
        if "analysis" in step:
            watch.add(mapping(step, "analysis"), templates, inf, is_awaited=True)
    if background and (starts := int(background.get("startingStep", 0))) < last:
        watch.add(background, templates, _stays_s(steps[starts:last], templates), is_awaited=False)
    return watch
