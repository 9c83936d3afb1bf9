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
from interlock.gate.canaries.beside import beside, name_of, target
from interlock.gate.canaries.exposure import Exposure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interlock.core.settings import Document

_TEMPLATES: Final = ("AnalysisTemplate", "ClusterAnalysisTemplate", "MetricTemplate")
_PLAIN: Final = ("Deployment", "StatefulSet", "DaemonSet")


@dataclass(frozen=True, slots=True)
class CanarySettings:
    """Where the manifests are, which objects in them count, and how a first step must be."""

    manifests: tuple[str, ...]  # globs
    releases: tuple[str, ...] = ()  # names; none: every Rollout and Canary, and what nothing shifts where there is neither
    first_step_max: float = 0.05
    first_step_min_s: float = 60.0  # The shortest that is usual: Flagger's interval.

    @classmethod
    def of(cls, document: Document) -> Self | None:
        """What the settings say; None if they say nothing."""
        return strict(document, cls, document.tables["canary"], "canary") if "canary" in document.tables else None


def exposures(files: dict[str, bytes], names: Sequence[str] = ()) -> tuple[list[Exposure], list[str]]:
    """How each release begins that the manifests declare, and what cannot be told of them.

    A Deployment that nothing shifts traffic for is everybody at once, and so is a StatefulSet or a DaemonSet. Where others are
    shifted, and nobody says which objects ship the project, it may as well be a database of somebody else's, so that is asked.

    Args:
        files: The manifests.
        names: Of the objects that ship the project.

    Raises:
        UsageError: If a file is not YAML.
    """
    objects = [found for name, content in files.items() for found in objects_in(name, content)]
    templates = {(str(found["kind"]), name_of(found)): found for found in objects if found.get("kind") in _TEMPLATES}
    own = [found for found in objects if not names or name_of(found) in names or (_shifts(found) and target(found)[1] in names)]
    shifted = [
        *(argo.exposure(found, templates, _scaler(found, objects)) for found in own if _is(found, "Rollout", argo.API)),
        *(flagger.exposure(found, templates) for found in own if _is(found, "Canary", flagger.API)),
    ]
    targets = {target(found) for found in objects if _shifts(found)}
    plain = [found for found in own if _is_plain(found) and (str(found["kind"]), name_of(found)) not in targets]
    if names:
        told = {name_of(found) for found in own if _shifts(found) or _is_plain(found)}
        missing = [
            f"{name}: no Rollout, Canary, Deployment, StatefulSet or DaemonSet is called so"
            for name in names
            if name not in told
        ]
        return [*shifted, *map(_everybody, plain)], [*missing, *beside(own, objects)]
    if shifted:
        asked = "reaches everybody at once, and whether it ships this project is not known: name what does as [canary] releases"
        return shifted, [f"{found['kind']} {name_of(found)} {asked}" for found in plain]
    return [_everybody(found) for found in plain], []


def _shifts(found: dict[str, Any]) -> bool:
    """Whether an object shifts the traffic of a workload, or of its own pods."""
    return _is(found, "Rollout", argo.API) or _is(found, "Canary", flagger.API)


def _is_plain(found: dict[str, Any]) -> bool:
    return any(_is(found, kind, "apps/") for kind in _PLAIN)


def _scaler(rollout: dict[str, Any], objects: list[dict[str, Any]]) -> str:
    """What sets the replicas of a Rollout while it runs; empty if nothing among the manifests does."""
    ours = {name_of(rollout), target(rollout)[1]} - {""}
    aimed = (one for one in objects if str(mapping(mapping(one, "spec"), "scaleTargetRef").get("name", "")) in ours)
    return next((f"{one.get('kind')} {name_of(one)}" for one in aimed), "")


def _everybody(found: dict[str, Any]) -> Exposure:
    """A workload that nothing shifts traffic for. Where its own strategy holds pods back, that is for a person to look at."""
    name, spec = f"{found['kind']} {name_of(found)}", mapping(found, "spec")
    update = mapping(spec, "updateStrategy")
    if update.get("type") == "OnDelete" or mapping(update, "rollingUpdate").get("partition"):
        how = "its updateStrategy leaves pods as they are"
        return Exposure(name=name, least=None, most=None, how=how, stays_s=None)
    how = f"a rolling update of a {found['kind']} reaches everybody"
    return Exposure(name=name, least=1.0, most=1.0, how=how, stays_s=0.0)


def _is(found: dict[str, Any], kind: str, api: str) -> bool:
    return found.get("kind") == kind and str(found.get("apiVersion", "")).startswith(api)
