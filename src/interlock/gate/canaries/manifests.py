"""Which objects of a project release it, and how each begins.

[canary]
manifests = ["deploy/**/*.yaml"]
releases = ["shop", "shop-worker"]      # of the objects in them, those that ship this project
first_step_max = 0.05
first_step_min_s = 60
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from interlock.core.settings import strict
from interlock.core.yaml_files import mapping, objects_in
from interlock.gate.canaries import argo, flagger
from interlock.gate.canaries.exposure import Exposure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interlock.core.settings import Document

_TEMPLATES: Final = ("AnalysisTemplate", "ClusterAnalysisTemplate", "MetricTemplate")


@dataclass(frozen=True, slots=True)
class CanarySettings:
    """Where the manifests are, which objects in them count, and how a first step must be."""

    manifests: tuple[str, ...]  # globs
    releases: tuple[str, ...] = ()  # names; none: every Rollout and Canary, and Deployments where there is neither
    first_step_max: float = 0.05
    first_step_min_s: float = 60.0  # The shortest that is usual: Flagger's interval.

    @classmethod
    def of(cls, document: Document) -> Self | None:
        """What the settings say; None if they say nothing."""
        return strict(document, cls, document.tables["canary"], "canary") if "canary" in document.tables else None


def exposures(files: dict[str, bytes], names: Sequence[str] = ()) -> tuple[list[Exposure], list[str]]:
    """How each release begins that the manifests declare, and what cannot be told of them.

    A Deployment that nothing shifts traffic for is everybody at once. Where others are shifted, and nobody says which objects
    ship the project, it may as well be a database of somebody else's, so that is asked.

    Args:
        files: The manifests.
        names: Of the objects that ship the project.

    Raises:
        UsageError: If a file is not YAML.
    """
    objects = [found for name, content in files.items() for found in objects_in(name, content)]
    templates = {(str(found["kind"]), _name(found)): found for found in objects if found.get("kind") in _TEMPLATES}
    own = [found for found in objects if not names or _name(found) in names]
    shifted = [
        *(argo.exposure(found, templates, _scaler(found, objects)) for found in own if _is(found, "Rollout", argo.API)),
        *(flagger.exposure(found, templates) for found in own if _is(found, "Canary", flagger.API)),
    ]
    targets = {_target(found) for found in objects if found.get("kind") in {"Rollout", "Canary"}}
    plain = [_name(found) for found in own if _is(found, "Deployment", "apps/") and _name(found) not in targets]
    if names:
        told = {_name(found) for found in own if found.get("kind") in {"Rollout", "Canary", "Deployment"}}
        missing = [f"{name}: no Rollout, Canary or Deployment is called so" for name in names if name not in told]
        return [*shifted, *map(_everybody, plain)], missing
    if shifted:
        asked = "reaches everybody at once, and whether it ships this project is not known: name what does as [canary] releases"
        return shifted, [f"Deployment {name} {asked}" for name in plain]
    return [_everybody(name) for name in plain], []


def _scaler(rollout: dict[str, Any], objects: list[dict[str, Any]]) -> str:
    """What sets the replicas of a Rollout while it runs; empty if nothing among the manifests does."""
    ours = {_name(rollout), _target(rollout)} - {""}
    aimed = (one for one in objects if str(mapping(mapping(one, "spec"), "scaleTargetRef").get("name", "")) in ours)
    return next((f"{one.get('kind')} {_name(one)}" for one in aimed), "")


def _everybody(name: str) -> Exposure:
    how = "a rolling update of a Deployment reaches everybody"
    return Exposure(name=f"Deployment {name}", least=1.0, most=1.0, how=how, stays_s=0.0)


def _is(found: dict[str, Any], kind: str, api: str) -> bool:
    return found.get("kind") == kind and str(found.get("apiVersion", "")).startswith(api)


def _name(found: dict[str, Any]) -> str:
    return str(mapping(found, "metadata").get("name", ""))


def _target(found: dict[str, Any]) -> str:
    """The Deployment that a Rollout or a Canary moves."""
    spec = mapping(found, "spec")
    reference = mapping(spec, "workloadRef") or mapping(spec, "targetRef")
    return str(reference.get("name", ""))
