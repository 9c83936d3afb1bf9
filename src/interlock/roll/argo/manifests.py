"""The objects of a release: the Rollout, its services and router, the analyses that ask the judge, and the judge itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from interlock.roll.argo.answers import FAILURE, JSON_PATH, SUCCESS, Ask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.roll.argo.declared import Argo
    from interlock.roll.plan import Step

Manifest = dict[str, Any]

_API: Final = "argoproj.io/v1alpha1"
_ERRORS_ALLOWED: Final = 4  # Argo's own default. After so many in a row it aborts: no judge, no release.
_PROMOTE_EVERY_S: Final = 15
_SETTINGS: Final = "interlock.toml"


def manifests(argo: Argo) -> list[Manifest]:
    """All of them, in the order in which they are to be applied."""
    return [*_judge(argo), *(_template(argo, ask) for ask in Ask), *_services(argo), *_routes(argo), _rollout(argo)]


def _rollout(argo: Argo) -> Manifest:
    labels = {"app": argo.name}
    container = {"name": argo.name, "image": argo.image, "ports": [{"containerPort": argo.port}]}
    canary: dict[str, Any] = {
        "stableService": f"{argo.name}-stable",
        "canaryService": f"{argo.name}-canary",
        "analysis": {"templates": [{"templateName": _called(argo, Ask.WATCH)}], "startingStep": 1, "args": _args()},
        "steps": [part for number, step in enumerate(argo.plan.steps) if step.share < 1 for part in _step(argo, number, step)],
    }
    if argo.traffic:
        canary["trafficRouting"] = _routing(argo)
    spec = {
        "replicas": argo.replicas,
        "revisionHistoryLimit": 5,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        "strategy": {"canary": canary},
    }
    return _object(argo, _API, "Rollout", argo.name, spec=spec)


def _step(argo: Argo, number: int, step: Step) -> Iterator[dict[str, Any]]:
    """A share, the word that it is in force, the time that it stays, and the question whether it may grow."""
    yield {"setWeight": argo.weight(step)}
    yield _asking(argo, Ask.BEGIN, number)
    yield {"pause": {"duration": f"{round(step.bake_s)}s"}}
    yield _asking(argo, Ask.PROMOTE, number)


def _asking(argo: Argo, ask: Ask, number: int) -> dict[str, Any]:
    args = [*_args(), {"name": "step", "value": str(number)}]
    return {"analysis": {"templates": [{"templateName": _called(argo, ask)}], "args": args}}


def _args() -> list[dict[str, Any]]:
    """Which pods are the canary's and which are not, in Argo's own words."""
    return [
        {"name": "canary-hash", "valueFrom": {"podTemplateHashValue": "Latest"}},
        {"name": "stable-hash", "valueFrom": {"podTemplateHashValue": "Stable"}},
    ]


def _template(argo: Argo, ask: Ask) -> Manifest:
    names = ["canary-hash", "stable-hash", *([] if ask is Ask.WATCH else ["step"])]
    asked = "&".join(f"{name.removesuffix('-hash')}={{{{args.{name}}}}}" for name in names)
    metric: dict[str, Any] = {
        "name": f"judge-{ask}",
        "successCondition": SUCCESS[ask],
        "failureCondition": FAILURE,
        "failureLimit": 0,
        "consecutiveErrorLimit": _ERRORS_ALLOWED,
        "provider": {
            "web": {
                "url": f"{argo.engine_url}/v1/rollouts/{argo.name}/{ask}?{asked}",
                "timeoutSeconds": 5,
                "jsonPath": JSON_PATH,
            }
        },
        **_pace(argo, ask),
    }
    return _object(
        argo,
        _API,
        "AnalysisTemplate",
        _called(argo, ask),
        spec={"args": [{"name": name} for name in names], "metrics": [metric]},
    )


def _pace(argo: Argo, ask: Ask) -> dict[str, Any]:
    """How often it is asked. What is undecided at a step's end is asked for as long as the longest step, then a person is."""
    match ask:
        case Ask.BEGIN:
            return {"count": 1}
        case Ask.WATCH:
            return {"interval": f"{argo.interval_s:g}s"}
        case Ask.PROMOTE:
            longest_s = max(step.bake_s for step in argo.plan.steps)
            limit = max(1, round(longest_s / _PROMOTE_EVERY_S))
            return {"interval": f"{_PROMOTE_EVERY_S}s", "consecutiveSuccessLimit": 1, "inconclusiveLimit": limit}


def _services(argo: Argo) -> list[Manifest]:
    spec = {"selector": {"app": argo.name}, "ports": [{"port": 80, "targetPort": argo.port}]}
    return [_object(argo, "v1", "Service", f"{argo.name}-{side}", spec=spec) for side in ("stable", "canary")]


def _routes(argo: Argo) -> list[Manifest]:
    """What Argo changes the weights of."""
    match argo.traffic:
        case "nginx":
            backend = {"service": {"name": f"{argo.name}-stable", "port": {"number": 80}}}
            rule = {"host": argo.host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
            return [
                _object(argo, "networking.k8s.io/v1", "Ingress", argo.name, spec={"ingressClassName": "nginx", "rules": [rule]})
            ]
        case "istio":
            route = [
                {"destination": {"host": f"{argo.name}-{side}"}, "weight": weight}
                for side, weight in (("stable", 100), ("canary", 0))
            ]
            spec = {"hosts": [argo.host or argo.name], "http": [{"name": "primary", "route": route}]}
            return [_object(argo, "networking.istio.io/v1", "VirtualService", argo.name, spec=spec)]
        case _:
            return []


def _routing(argo: Argo) -> dict[str, Any]:
    if argo.traffic == "nginx":
        return {"maxTrafficWeight": argo.whole, "nginx": {"stableIngress": argo.name}}
    return {"istio": {"virtualService": {"name": argo.name, "routes": ["primary"]}}}


def _judge(argo: Argo) -> list[Manifest]:
    """The judge: one at a time, with a disk of its own, so that a restart forgets nothing."""
    name = f"{argo.name}-judge"
    labels = {"app": name}
    container = {
        "name": "judge",
        "image": argo.engine_image,
        "args": ["roll", "argo", "serve", "--port", str(argo.engine_port), "--state", "/state"],
        "workingDir": "/settings",
        "ports": [{"containerPort": argo.engine_port}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": argo.engine_port}},
        "volumeMounts": [{"name": "settings", "mountPath": "/settings"}, {"name": "state", "mountPath": "/state"}],
    }
    volumes = [
        {"name": "settings", "configMap": {"name": name}},
        {"name": "state", "persistentVolumeClaim": {"claimName": name}},
    ]
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], "volumes": volumes}}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "100Mi"}}}
    deployment = {"replicas": 1, "strategy": {"type": "Recreate"}, "selector": {"matchLabels": labels}, "template": template}
    service = {"selector": labels, "ports": [{"port": argo.engine_port}]}
    return [
        _object(argo, "v1", "ConfigMap", name, data={_SETTINGS: argo.settings}),
        _object(argo, "v1", "PersistentVolumeClaim", name, spec=claim),
        _object(argo, "apps/v1", "Deployment", name, spec=deployment),
        _object(argo, "v1", "Service", name, spec=service),
    ]


def _called(argo: Argo, ask: Ask) -> str:
    return f"{argo.name}-{ask}"


def _object(argo: Argo, api: str, kind: str, name: str, **body: Any) -> Manifest:  # noqa: ANN401 - whatever a kind holds.
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": argo.namespace}, **body}
