"""[roll.argo]: what is released on Kubernetes, who splits its traffic, and how Prometheus counts what the plan's metrics need.

[roll.argo]
name = "shop"
namespace = "shop"
image = "registry.shop.example/shop@sha256:..."
replicas = 10
port = 8080
traffic = "nginx"                      # nginx or istio; without one, whole pods approach the share
host = "shop.example"
prometheus_url = "http://prometheus.monitoring:9090"
requests = 'sum(http_requests_total{rollouts_pod_template_hash="{hash}"})'

[[roll.argo.query]]
metric = "failures"
events = 'sum(http_requests_total{code=~"5..",rollouts_pod_template_hash="{hash}"})'
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from interlock.core.errors import nearest
from interlock.core.settings import strict
from interlock.roll.plan import load_plan

if TYPE_CHECKING:
    from interlock.core.settings import Document
    from interlock.roll.plan import Plan, Step

TRAFFIC: Final = ("nginx", "istio", "")
HASH: Final = "{hash}"  # Stands for the pod template hash of one side.
_WHOLE: Final = 100
_NGINX_WHOLE: Final = 10_000  # nginx can be given weights of any whole; Istio's are of 100.


@dataclass(frozen=True, slots=True)
class Query:
    """How one metric of the plan is counted."""

    metric: str
    events: str  # PromQL: one counter of one side


@dataclass(frozen=True, slots=True)
class _ArgoTable:
    """[roll.argo], as it is written."""

    name: str
    image: str
    prometheus_url: str
    requests: str
    query: list[object]
    namespace: str = "default"
    replicas: int = 4
    port: int = 8080
    traffic: str = ""
    host: str = ""
    interval_s: float = 5.0
    engine_url: str = ""
    engine_image: str = "interlock-judge"
    engine_port: int = 8700


@dataclass(frozen=True, slots=True, kw_only=True)
class Argo:
    """A release on Kubernetes."""

    plan: Plan
    name: str
    namespace: str
    image: str
    replicas: int
    port: int
    traffic: str
    host: str
    prometheus_url: str
    requests: str
    queries: tuple[Query, ...]
    interval_s: float
    engine_url: str
    engine_image: str
    engine_port: int
    settings: str = field(repr=False, default="")  # the file itself, for the judge in the cluster

    @property
    def whole(self) -> int:
        """What weights are parts of."""
        return _NGINX_WHOLE if self.traffic == "nginx" else _WHOLE

    def weight(self, step: Step) -> int:
        """The weight of a step of the plan."""
        return round(step.share * self.whole)


def load_argo(document: Document) -> Argo:
    """What the settings declare.

    Raises UsageError, with the line, for what does not make sense or cannot be done.
    """
    roll: dict[str, Any] = document.tables.get("roll", {})
    if "argo" not in roll:
        raise document.fail(
            "roll", "there is no [roll.argo]; expected one, with name, image, prometheus_url, requests and queries"
        )
    table = strict(document, _ArgoTable, roll["argo"], "[roll.argo]")
    if table.traffic not in TRAFFIC:
        raise document.fail("traffic", f"traffic is {table.traffic!r}; {nearest(table.traffic, TRAFFIC)}")
    queries = tuple(strict(document, Query, item, "[[roll.argo.query]]") for item in table.query)
    engine_url = table.engine_url or f"http://{table.name}-judge.{table.namespace}:{table.engine_port}"
    argo = Argo(
        plan=load_plan(document),
        name=table.name,
        namespace=table.namespace,
        image=table.image,
        replicas=table.replicas,
        port=table.port,
        traffic=table.traffic,
        host=table.host,
        prometheus_url=table.prometheus_url,
        requests=table.requests,
        queries=queries,
        interval_s=table.interval_s,
        engine_url=engine_url.rstrip("/"),
        engine_image=table.engine_image,
        engine_port=table.engine_port,
        settings=document.text,
    )
    _check_queries(document, argo)
    _check_shares(document, argo)
    return argo


def _check_queries(document: Document, argo: Argo) -> None:
    """Raises UsageError unless each metric of the plan, and only those, can be counted on each side."""
    counted = [query.metric for query in argo.queries]
    names = [metric.name for metric in argo.plan.metrics]
    for name in counted:
        if name not in names:
            raise document.fail("metric", f"a query of {name!r}, which is no metric of the plan; {nearest(name, names)}")
    for name in names:
        if counted.count(name) != 1:
            raise document.fail(
                "argo", f"the plan's metric {name!r} has {counted.count(name)} [[roll.argo.query]]; expected one"
            )
    for text in (argo.requests, *(query.events for query in argo.queries)):
        if HASH not in text:
            raise document.fail("query", f"{text!r} has no {HASH}, so the two sides cannot be told apart")
    if argo.traffic == "nginx" and not argo.host:
        raise document.fail("host", "traffic is 'nginx', which needs the host of the ingress")


def _check_shares(document: Document, argo: Argo) -> None:
    """Raises UsageError if a share cannot be had: weights are whole numbers, and without a router so are pods."""
    for step in argo.plan.steps:
        if step.share < 1 and not 1 <= argo.weight(step) < argo.whole:
            raise document.fail(
                "share", f"a share of {step.share:g} is no whole part of {argo.whole}, as {argo.traffic} needs it"
            )
        if not argo.traffic and round(argo.replicas * step.share) < 1:
            pods = f"{argo.replicas} replicas: the least is {1 / argo.replicas:.0%}"
            raise document.fail(
                "share", f"a share of {step.share:g} cannot be had of {pods}; expected traffic = 'nginx' or 'istio'"
            )
