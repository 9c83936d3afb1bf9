"""Which objects of a project release it, and how each begins.

[canary]
manifests = ["deploy/**/*.yaml"]
first_step_max = 0.05
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from interlock.core.settings import strict
from interlock.core.yaml_files import documents, mapping
from interlock.gate.canaries import argo, flagger
from interlock.gate.canaries.exposure import Exposure

if TYPE_CHECKING:
    from interlock.core.settings import Document

_TEMPLATES: Final = ("AnalysisTemplate", "ClusterAnalysisTemplate", "MetricTemplate")


@dataclass(frozen=True, slots=True)
class CanarySettings:
    """Where the manifests are, and how much a first step may reach."""

    manifests: tuple[str, ...]  # globs
    first_step_max: float = 0.05

    @classmethod
    def of(cls, document: Document) -> Self | None:
        """What the settings say; None if they say nothing."""
        return strict(document, cls, document.tables["canary"], "canary") if "canary" in document.tables else None


def exposures(files: dict[str, bytes]) -> list[Exposure]:
    """How each release that the manifests declare begins. A Deployment that nothing shifts traffic for is everybody at once.

    Raises:
        UsageError: If a file is not YAML.
    """
    objects = [found for name, content in files.items() for found in documents(name, content)]
    templates = {(str(found["kind"]), _name(found)): found for found in objects if found.get("kind") in _TEMPLATES}
    released = [
        *(argo.exposure(found, templates) for found in objects if _is(found, "Rollout", argo.API)),
        *(flagger.exposure(found, templates) for found in objects if _is(found, "Canary", flagger.API)),
    ]
    shifted = {_target(found) for found in objects if found.get("kind") in {"Rollout", "Canary"}}
    for found in objects:
        if _is(found, "Deployment", "apps/") and _name(found) not in shifted:
            how = "a rolling update of a Deployment reaches everybody"
            released.append(Exposure(name=f"Deployment {_name(found)}", least=1.0, most=1.0, how=how, pauses=False))
    return released


def _is(found: dict[str, Any], kind: str, api: str) -> bool:
    return found.get("kind") == kind and str(found.get("apiVersion", "")).startswith(api)


def _name(found: dict[str, Any]) -> str:
    return str(mapping(found, "metadata").get("name", ""))


def _target(found: dict[str, Any]) -> str:
    """The Deployment that a Rollout or a Canary moves."""
    spec = mapping(found, "spec")
    reference = mapping(spec, "workloadRef") or mapping(spec, "targetRef")
    return str(reference.get("name", ""))
