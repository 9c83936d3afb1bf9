"""What gets traffic beside the objects that ship a project, so that what these let through first is not all of it.

A Service leads to all pods that have its labels, whoever started them. A Rollout that lets 1 % through means little where the
Service of its pods leads to those of a Deployment as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from interlock.core.yaml_files import mapping

if TYPE_CHECKING:
    from collections.abc import Iterator

_RUNS_PODS: Final = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Rollout", "Pod")


def beside(own: list[dict[str, Any]], objects: list[dict[str, Any]]) -> Iterator[str]:
    """What else the Services lead to that lead to the pods of a project, a line each.

    Args:
        own: The objects that ship the project.
        objects: Everything in its manifests.
    """
    ours = {*map(_key, own), *(target(found) for found in own)}
    running = [found for found in objects if found.get("kind") in _RUNS_PODS]
    for service in objects:
        reached = [found for found in running if _leads_to(service, found)]
        others = [found for found in reached if _key(found) not in ours]
        if len(others) < len(reached):
            for found in others:
                name = f"{found['kind']} {name_of(found)}"
                yield f"Service {name_of(service)} leads to {name} as well, which is none of [canary] releases"


def _leads_to(service: dict[str, Any], found: dict[str, Any]) -> bool:
    selector = mapping(mapping(service, "spec"), "selector")
    is_near = _namespace(service) == _namespace(found)
    return service.get("kind") == "Service" and bool(selector) and is_near and selector.items() <= _labels(found).items()


def _labels(found: dict[str, Any]) -> dict[str, Any]:
    """Those of the pods that an object runs."""
    pod = found if found.get("kind") == "Pod" else mapping(mapping(found, "spec"), "template")
    return mapping(mapping(pod, "metadata"), "labels")


def _namespace(found: dict[str, Any]) -> str:
    return str(mapping(found, "metadata").get("namespace") or "default")


def _key(found: dict[str, Any]) -> tuple[str, str]:
    return str(found.get("kind")), name_of(found)


def name_of(found: dict[str, Any]) -> str:
    """What an object is called."""
    return str(mapping(found, "metadata").get("name", ""))


def target(found: dict[str, Any]) -> tuple[str, str]:
    """The kind and the name of what a Rollout or a Canary moves."""
    spec = mapping(found, "spec")
    reference = mapping(spec, "workloadRef") or mapping(spec, "targetRef")
    return str(reference.get("kind", "Deployment")), str(reference.get("name", ""))
