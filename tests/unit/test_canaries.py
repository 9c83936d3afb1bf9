from __future__ import annotations

import json
from typing import Any

import pytest

from interlock.core.errors import UsageError
from interlock.core.verdict import Verdict
from interlock.gate.canaries import kustomize
from interlock.gate.canaries.manifests import exposures

LIMIT, LEAST_S = 0.05, 60.0
ORDERS = ("shop_orders_completed_total",)
PAUSE: dict[str, Any] = {"pause": {"duration": "30m"}}
TEMPLATE: dict[str, Any] = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "AnalysisTemplate",
    "metadata": {"name": "orders"},
    "spec": {
        "metrics": [
            {
                "name": "m",
                "successCondition": "result[0] > 1",
                "provider": {"prometheus": {"query": "rate(shop_orders_completed_total[5m])"}},
            }
        ]
    },
}
ANALYSIS = {"templates": [{"templateName": "orders"}]}


def rollout(*steps: Any, replicas: Any = 20, analysis: Any = ANALYSIS, strategy: Any = None, **canary: Any) -> dict[str, Any]:
    shown = {"steps": list(steps), "analysis": analysis, **canary}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "shop"},
        "spec": {"replicas": replicas, "strategy": strategy or {"canary": shown}},
    }


def flagged(**analysis: Any) -> dict[str, Any]:
    return {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {"name": "shop"},
        "spec": {"targetRef": {"kind": "Deployment", "name": "shop"}, "analysis": analysis},
    }


def judged(*objects: dict[str, Any], metrics: tuple[str, ...] = ORDERS) -> tuple[Verdict, str]:
    """The verdict on the one release among some objects, and its reasons as one text. JSON is YAML."""
    (found,), unclear = exposures(manifests(*objects))
    assert not unclear
    verdict, reasons = found.judged(LIMIT, LEAST_S, metrics)
    return verdict, "; ".join(reasons)


def manifests(*objects: dict[str, Any]) -> dict[str, bytes]:
    return {"deploy.yaml": "\n---\n".join(json.dumps(one) for one in objects).encode()}


ROUTED = {"trafficRouting": {"nginx": {"stableIngress": "shop"}}}


def staged(found: dict[str, Any]) -> list[tuple[float | None, float | None, Any]]:
    """The steps as they really are."""
    (exposure,), _ = exposures(manifests(found))
    return [(stage["least"], stage["most"], stage["stays_s"]) for stage in exposure.as_facts()["stages"]]


def test_every_step_of_a_rollout_is_what_it_reaches() -> None:
    steps: tuple[dict[str, Any], ...] = (
        {"setWeight": 0},
        {"setWeight": 5},
        PAUSE,
        {"setWeight": 50},
        {"pause": {}},
        {"setWeight": 100},
        PAUSE,
    )
    assert staged(rollout(*steps, replicas=4)) == [(0.2, 0.25, 1800.0), (0.4, 0.5, "until it is decided"), (1.0, 1.0, 0.0)]
    assert staged(rollout(*steps, **ROUTED))[0] == (0.05, 0.05, 1800.0)
    assert staged(rollout(PAUSE)) == [(1.0, 1.0, 0.0)]
    assert staged(rollout({"setWeight": "5%"}, PAUSE))[0] == (None, None, 1800.0)


def test_every_step_of_flagger_is_told() -> None:
    grown = [(0.2, 0.2, 60.0), (0.4, 0.4, 60.0), (1.0, 1.0, 0.0)]
    assert staged(flagged(stepWeight=20, maxWeight=50, interval="1m")) == grown
    assert staged(flagged(stepWeights=[20, 40, 100], interval="1m")) == grown


@pytest.mark.parametrize(
    ("declared", "verdict", "reason"),
    [
        (rollout({"setWeight": 5}, PAUSE), Verdict.PASS, "4.0% to 5.0% of the users"),
        (
            rollout({"setWeight": 1}, PAUSE, replicas=4, **ROUTED),
            Verdict.PASS,
            "1.0% of the users (setWeight: 1, split by a router)",
        ),
        (rollout({"setWeight": 5}, PAUSE, replicas=4), Verdict.FAIL, "20.0% to 25.0% of the users"),
        (rollout({"setWeight": 5}, PAUSE, replicas=10), Verdict.FAIL, "1 of 10 pods, or of 13 while it surges"),
        (rollout({"setWeight": 5}, PAUSE, replicas=18), Verdict.UNKNOWN, "not within 5% for certain"),
        (rollout({"setWeight": 5}, PAUSE, replicas=50, maxSurge=0), Verdict.FAIL, "6.0% of the users"),
        (rollout({"setWeight": 5}, PAUSE, trafficRouting={"managedRoutes": []}), Verdict.UNKNOWN, "names no router"),
        (
            rollout({"setWeight": 50}, PAUSE, trafficRouting={"nginx": {}, "maxTrafficWeight": -1000}),
            Verdict.UNKNOWN,
            "maxTrafficWeight is -1000",
        ),
        (rollout({"setWeight": 20}, PAUSE, **ROUTED), Verdict.FAIL, "20.0% of the users"),
        (rollout({"setWeight": 5}, PAUSE, replicas="{{ n }}"), Verdict.UNKNOWN, "replicas is '{{ n }}'"),
        (rollout({"setWeight": 5}, {"setWeight": 50}, PAUSE, **ROUTED), Verdict.FAIL, "does not stay at its first step"),
        (
            rollout({"setWeight": 5}, {"analysis": ANALYSIS}, analysis=None, **ROUTED),
            Verdict.FAIL,
            "does not stay at its first step",
        ),
        (rollout({"setWeight": 5}, PAUSE, {"analysis": ANALYSIS}, analysis=None, **ROUTED), Verdict.PASS, "is watched"),
        (rollout(), Verdict.FAIL, "no step sets a weight"),
        (rollout({"setWeight": 0}, PAUSE, {"setWeight": 100}, **ROUTED), Verdict.FAIL, "100.0% of the users"),
        (rollout({"setWeight": 0}, PAUSE, **ROUTED), Verdict.FAIL, "no step sets a weight above 0"),
        (rollout({"setWeight": 0}, PAUSE, {"setWeight": 5}, PAUSE, **ROUTED), Verdict.PASS, "5.0% of the users"),
        (rollout({"setWeight": True}, PAUSE, **ROUTED), Verdict.UNKNOWN, "setWeight is True"),
        (rollout({"setWeight": 5}, {"pause": {"duration": "1s"}}, **ROUTED), Verdict.FAIL, "for 1 s, less than 60 s"),
        (rollout({"setWeight": 5}, {"pause": {"duration": 0}}, **ROUTED), Verdict.FAIL, "does not stay at its first step"),
        (rollout({"setWeight": 5}, {"pause": {"duration": "{{ t }}"}}, **ROUTED), Verdict.UNKNOWN, "how long it stays"),
        (rollout({"setWeight": 5}, {"pause": {"duration": "1h30m"}}, **ROUTED), Verdict.PASS, "is watched"),
        (rollout({"setWeight": 5}, {"pause": {}}, **ROUTED), Verdict.PASS, "is watched"),
        (rollout(strategy={"blueGreen": {}}), Verdict.FAIL, "everybody at once"),
    ],
)
def test_the_first_step_of_a_rollout_is_what_it_reaches_and_not_what_it_says(
    declared: dict[str, Any], verdict: Verdict, reason: str
) -> None:
    found, reasons = judged(declared, TEMPLATE)

    assert found is verdict, reasons
    assert reason in reasons


def test_a_router_with_another_scale_is_read_on_its_scale() -> None:
    routing: dict[str, Any] = {"trafficRouting": {"maxTrafficWeight": 1000, "plugins": {}}}

    assert "0.5% of the users" in judged(rollout({"setWeight": 5}, PAUSE, **routing), TEMPLATE)[1]


@pytest.mark.parametrize(
    ("analysis", "metrics", "verdict", "reason"),
    [
        (ANALYSIS, ORDERS, Verdict.PASS, "watched by a metric of what it touches"),
        (None, ORDERS, Verdict.FAIL, "nothing watches it"),
        (ANALYSIS, ("shop_sign_ups_total",), Verdict.FAIL, "none of shop_sign_ups_total"),
        (ANALYSIS, (), Verdict.UNKNOWN, "declares no metrics"),
        ({**ANALYSIS, "startingStep": 5}, ORDERS, Verdict.FAIL, "nothing watches it"),
        ({"templates": [{"templateName": "elsewhere"}]}, ORDERS, Verdict.UNKNOWN, "AnalysisTemplate elsewhere"),
    ],
)
def test_it_must_be_watched_at_its_first_step_by_what_it_can_break(
    analysis: Any, metrics: tuple[str, ...], verdict: Verdict, reason: str
) -> None:
    found, reasons = judged(rollout({"setWeight": 5}, PAUSE, analysis=analysis, **ROUTED), TEMPLATE, metrics=metrics)

    assert found is verdict, reasons
    assert reason in reasons


def test_an_analysis_that_starts_with_the_second_weight_does_not_watch_the_first() -> None:
    steps = ({"setWeight": 5}, PAUSE, {"setWeight": 50}, PAUSE)

    assert "nothing watches it" in judged(rollout(*steps, analysis={**ANALYSIS, "startingStep": 2}, **ROUTED), TEMPLATE)[1]
    assert judged(rollout(*steps, analysis={**ANALYSIS, "startingStep": 1}, **ROUTED), TEMPLATE)[0] is Verdict.PASS


def measured(**metric: Any) -> dict[str, Any]:
    """The template with its metric asked in another way."""
    return {**TEMPLATE, "spec": {"metrics": [{**TEMPLATE["spec"]["metrics"][0], **metric}]}}


@pytest.mark.parametrize(
    ("metric", "verdict", "reason"),
    [
        ({"successCondition": ""}, Verdict.FAIL, "m has no condition that looks at its result"),
        ({"successCondition": "true"}, Verdict.FAIL, "m has no condition that looks at its result"),
        ({"successCondition": "'result' != `result` // result"}, Verdict.FAIL, "no condition that looks at its result"),
        ({"successCondition": "", "provider": {"job": {"spec": "shop_orders_completed_total"}}}, Verdict.PASS, ""),
        ({"successCondition": "{{args.condition}}"}, Verdict.PASS, ""),
        ({"successCondition": "", "failureCondition": "result[0] < 1"}, Verdict.PASS, ""),
        ({"successCondition": "true", "failureCondition": "result[0] < 1"}, Verdict.PASS, ""),
        ({"failureCondition": "false"}, Verdict.PASS, ""),  # What is no success is inconclusive, and pauses.
        (
            {"failureCondition": "false", "inconclusiveLimit": 1},
            Verdict.FAIL,
            "may fail 1 times, and is measured 1 times at most",
        ),
        ({"failureLimit": 1}, Verdict.FAIL, "may fail 1 times, and is measured 1 times at most before it goes on"),
        ({"failureLimit": "5", "count": 5, "interval": "1m"}, Verdict.FAIL, "may fail 5 times, and is measured 5 times"),
        ({"failureLimit": 4, "count": 5, "interval": "1m"}, Verdict.PASS, ""),
        ({"failureLimit": 3, "interval": "10m"}, Verdict.PASS, ""),
        ({"failureLimit": 3, "interval": "15m"}, Verdict.FAIL, "may fail 3 times, and is measured 3 times at most"),
        ({"interval": "1m", "failureLimit": -1, "consecutiveSuccessLimit": 3}, Verdict.FAIL, "as often as it likes"),
        ({"interval": "1m", "failureLimit": "{{args.limit}}"}, Verdict.UNKNOWN, "goes by a limit that is filled in later"),
        ({"interval": "{{args.interval}}"}, Verdict.UNKNOWN, "is measured nobody knows how often"),
        ({"initialDelay": "31m"}, Verdict.FAIL, "is not measured before it goes on"),
        ({"count": 0}, Verdict.PASS, ""),  # As if it were not there.
        ({"count": 0, "interval": "1m", "failureLimit": 20}, Verdict.PASS, ""),
    ],
)
def test_what_could_not_end_it_at_its_first_step_watches_nothing(metric: dict[str, Any], verdict: Verdict, reason: str) -> None:
    found, reasons = judged(rollout({"setWeight": 5}, PAUSE, {"setWeight": 50}, PAUSE, **ROUTED), measured(**metric))

    assert found is verdict, reasons
    assert reason in reasons


@pytest.mark.parametrize(
    ("metric", "stays_s"),
    [
        ({}, 0.0),
        ({"initialDelay": "2m"}, 120.0),
        ({"count": 5, "interval": "1m"}, 240.0),
        ({"interval": "1m"}, "until it is decided"),
        ({"interval": "1m", "consecutiveSuccessLimit": 3}, 120.0),
        ({"provider": {"job": {}}}, "until it is decided"),
        ({"count": "{{args.count}}", "interval": "1m"}, None),
    ],
)
def test_a_step_waits_for_an_analysis_as_long_as_that_measures(metric: dict[str, Any], stays_s: Any) -> None:
    steps = ({"setWeight": 5}, {"analysis": ANALYSIS}, {"setWeight": 50})
    (exposure,), _ = exposures(manifests(rollout(*steps, **ROUTED), measured(**metric)))

    assert exposure.as_facts()["stages"][0]["stays_s"] == stays_s


def test_what_must_succeed_before_it_goes_on_watches_however_often_it_may_fail() -> None:
    needed = measured(interval="1m", failureLimit=-1, consecutiveSuccessLimit=3)
    steps = ({"setWeight": 5}, {"analysis": ANALYSIS}, {"setWeight": 50})

    assert judged(rollout(*steps, analysis=None, **ROUTED), needed)[0] is Verdict.PASS


@pytest.mark.parametrize("name", ["m", ".*", "^m$", "[m-", ""])
@pytest.mark.parametrize("at", ["template", "rollout"])
def test_a_metric_that_only_looks_on_watches_nothing(name: str, at: str) -> None:
    """Names are patterns, and a Rollout has a list of its own."""
    dry = {"dryRun": [{"metricName": name}]}
    template = {**TEMPLATE, "spec": {**TEMPLATE["spec"], **(dry if at == "template" else {})}}
    analysis = {**ANALYSIS, **(dry if at == "rollout" else {})}
    found, reasons = judged(rollout({"setWeight": 5}, PAUSE, analysis=analysis, **ROUTED), template)

    assert found is Verdict.FAIL
    assert "nothing watches it: AnalysisTemplate orders: m only looks on (dryRun)" in reasons


@pytest.mark.parametrize(
    ("query", "is_measured"),
    [
        ("rate(shop_orders_completed_total[5m])", True),
        ("histogram_quantile(0.9, rate(shop_orders_completed_total_bucket[5m]))", True),
        ("job:shop_orders_completed_total:rate5m", True),
        ("{__name__='shop_orders_completed_total'}", True),
        ("rate(shop_orders_completed_total_refused[5m])", False),
        ("rate(old_shop_orders_completed_total[5m])", False),
        ("vector(1)  # shop_orders_completed_total", False),
        ("up{job='shop_orders_completed_total'}", False),
        ("up{job='#'} / shop_orders_completed_total", True),
    ],
)
def test_a_metric_is_measured_by_a_query_that_names_it(query: str, is_measured: bool) -> None:  # noqa: FBT001 - a column.
    asked = measured(provider={"prometheus": {"query": query}})
    template = {
        "kind": "MetricTemplate",
        "metadata": {"name": "t"},
        "spec": {"provider": {"type": "prometheus"}, "query": query},
    }
    found = [
        judged(rollout({"setWeight": 5}, PAUSE, **ROUTED), asked)[0],
        judged(flagged(stepWeight=5, metrics=[{"query": query}]))[0],
        judged(flagged(stepWeight=5, metrics=[{"templateRef": {"name": "t"}}]), template)[0],
    ]

    assert found == [Verdict.PASS if is_measured else Verdict.FAIL] * 3


def test_a_template_may_be_made_of_others() -> None:
    around = {**TEMPLATE, "metadata": {"name": "all"}, "spec": {"templates": [*ANALYSIS["templates"], {"templateName": "all"}]}}
    whole = rollout({"setWeight": 5}, PAUSE, analysis={"templates": [{"templateName": "all"}]}, **ROUTED)

    assert judged(whole, TEMPLATE, around)[0] is Verdict.PASS
    assert "AnalysisTemplate orders, which the project does not hold" in judged(whole, around)[1]


def scaled(kind: str, api: str) -> dict[str, Any]:
    reference = {"scaleTargetRef": {"kind": "Rollout", "name": "shop"}}
    return {"apiVersion": api, "kind": kind, "metadata": {"name": "by-load"}, "spec": reference}


def test_replicas_that_something_else_decides_are_not_known_but_where_a_router_splits() -> None:
    steps = ({"setWeight": 1}, PAUSE)
    scalers = (scaled("HorizontalPodAutoscaler", "autoscaling/v2"), scaled("ScaledObject", "keda.sh/v1alpha1"))

    for scaler in scalers:
        found, reasons = judged(rollout(*steps, replicas=100), TEMPLATE, scaler)
        assert found is Verdict.UNKNOWN
        assert f"which {scaler['kind']} by-load decides" in reasons
        assert judged(rollout(*steps, replicas=100, **ROUTED), TEMPLATE, scaler)[0] is Verdict.PASS


def test_what_a_list_holds_is_released_as_well() -> None:
    hidden = {"apiVersion": "v1", "kind": "List", "items": [{"kind": "List", "items": [rollout(replicas=4)]}]}
    found, _ = exposures(manifests(rollout({"setWeight": 5}, PAUSE, **ROUTED), TEMPLATE, hidden))

    assert [one.judged(LIMIT, LEAST_S, ORDERS)[0] for one in found] == [Verdict.PASS, Verdict.FAIL]


@pytest.mark.parametrize(
    ("declared", "verdict"),
    [
        (flagged(stepWeight=5, metrics=[{"name": "orders", "query": "rate(shop_orders_completed_total[1m])"}]), Verdict.PASS),
        (flagged(stepWeights=[1, 10], metrics=[{"query": "shop_orders_completed_total"}]), Verdict.PASS),
        (flagged(stepWeight=10, metrics=[{"query": "shop_orders_completed_total"}]), Verdict.FAIL),
        (flagged(stepWeight=5, metrics=[{"name": "request-success-rate"}]), Verdict.FAIL),
        (flagged(stepWeight=5, metrics=[{"templateRef": {"name": "gone"}}]), Verdict.UNKNOWN),
        (flagged(iterations=10, metrics=[{"query": "shop_orders_completed_total"}]), Verdict.FAIL),
        (flagged(stepWeight=0, metrics=[{"query": "shop_orders_completed_total"}]), Verdict.UNKNOWN),
        (flagged(stepWeight=5, interval="1s", metrics=[{"query": "shop_orders_completed_total"}]), Verdict.FAIL),
        ({**flagged(), "spec": {"skipAnalysis": True, "analysis": {"stepWeight": 5}}}, Verdict.FAIL),
        ({**flagged(), "spec": {"provider": "kubernetes", "analysis": {"stepWeight": 5}}}, Verdict.FAIL),
    ],
)
def test_the_first_step_of_flagger(declared: dict[str, Any], verdict: Verdict) -> None:
    assert judged(declared)[0] is verdict


@pytest.mark.parametrize(
    ("metric", "can_stop_it"),
    [
        ({"name": "request-success-rate", "thresholdRange": {"min": 99}}, True),
        ({"name": "request-success-rate", "thresholdRange": {"min": 0}}, False),
        ({"name": "request-success-rate", "thresholdRange": {"max": 100}}, False),
        ({"name": "request-success-rate", "thresholdRange": {}}, False),
        ({"name": "request-success-rate", "threshold": 99}, True),
        ({"name": "request-success-rate"}, False),
        ({"name": "request-duration", "thresholdRange": {"min": 0}}, False),
        ({"name": "request-duration", "thresholdRange": {"max": 500}}, True),
        ({"name": "request-duration"}, True),
        ({"query": "request-success-rate", "thresholdRange": {"min": 0}}, True),  # Others may well be less than 0.
        ({"query": "request-success-rate", "thresholdRange": {}}, False),
        ({"query": "request-success-rate"}, True),
    ],
)
def test_a_threshold_that_nothing_can_miss_watches_nothing(metric: dict[str, Any], can_stop_it: bool) -> None:  # noqa: FBT001
    found, reasons = judged(flagged(stepWeight=5, metrics=[metric]), metrics=("request-success-rate", "request-duration"))

    assert found is (Verdict.PASS if can_stop_it else Verdict.FAIL), reasons
    assert ("has a threshold that nothing it measures can miss" in reasons) is not can_stop_it


def test_a_deployment_alone_is_everybody_at_once_and_one_that_is_shifted_is_not_told_twice() -> None:
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop"}, "spec": {}}
    canary = flagged(stepWeight=5, metrics=[{"query": "shop_orders_completed_total"}])

    assert judged(deployment)[0] is Verdict.FAIL
    assert judged(deployment, canary)[0] is Verdict.PASS


@pytest.mark.parametrize(
    ("overlay", "base", "told"),
    [
        ("resources: [../../base]\nreplicas: [{name: shop, count: 4}]", "resources: [rollout.yaml]", ["deploy/overlays/prod"]),
        ("bases: [../../base]", "resources: [rollout.yaml]\npatches: [{path: all.yaml}]", ["deploy/base"]),
        ("resources: [../../base/rollout.yaml]\npatches: [{path: all.yaml}]", "", ["deploy/overlays/prod"]),
        ("resources: [../other.yaml]\npatches: [{path: all.yaml}]", "resources: [rollout.yaml]\npatches: []", []),
    ],
)
def test_what_kustomize_alters_is_not_what_the_manifest_says(overlay: str, base: str, told: list[str]) -> None:
    names = [f"{folder}/kustomization.yaml" for folder in ("deploy/overlays/prod", "deploy/base")]
    files = dict(zip(names, (overlay.encode(), base.encode()), strict=True))

    found = kustomize.altered(files, ["deploy/base/rollout.yaml"])
    assert [line.split("/kustomization.yaml alters what it lists")[0] for line in found] == told


DATABASE = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "redis"}, "spec": {}}


def test_a_deployment_beside_what_is_shifted_is_asked_about_and_not_blamed() -> None:
    found, unclear = exposures(manifests(rollout({"setWeight": 5}, PAUSE, **ROUTED), TEMPLATE, DATABASE))

    assert [one.name for one in found] == ["Rollout shop"]
    (asked,) = unclear
    assert asked.startswith("Deployment redis reaches everybody at once, and whether it ships this project is not known")


def test_what_ships_the_project_is_what_is_named() -> None:
    files = manifests(rollout({"setWeight": 5}, PAUSE, **ROUTED), TEMPLATE, DATABASE)

    assert [[one.name for one in exposures(files, names)[0]] for names in (["shop"], ["redis"])] == [
        ["Rollout shop"],
        ["Deployment redis"],
    ]
    assert exposures(files, ["shop", "worker"])[1] == [
        "worker: no Rollout, Canary, Deployment, StatefulSet or DaemonSet is called so"
    ]


def plain(kind: str, name: str, app: str = "shop", **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": app, "tier": "web"}}}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": {"template": template, **spec}}


CANARY = rollout({"setWeight": 5}, PAUSE, **ROUTED)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_whatever_runs_pods_and_shifts_no_traffic_is_everybody_at_once(kind: str) -> None:
    assert judged(plain(kind, "shop"))[0] is Verdict.FAIL
    _, unclear = exposures(manifests(CANARY, TEMPLATE, plain(kind, "shop")))
    assert unclear[0].startswith(f"{kind} shop reaches everybody at once, and whether it ships this project is not known")
    found, _ = exposures(manifests(CANARY, TEMPLATE, plain(kind, "shop")), ["shop"])
    assert [one.name for one in found] == ["Rollout shop", f"{kind} shop"]


@pytest.mark.parametrize("update", [{"type": "OnDelete"}, {"rollingUpdate": {"partition": 3}}])
def test_of_one_whose_own_strategy_holds_pods_back_nobody_can_say_whom_it_reaches(update: dict[str, Any]) -> None:
    found, reasons = judged(plain("StatefulSet", "shop", updateStrategy=update))
    assert found is Verdict.FAIL  # Nothing watches it.
    assert "how many users its first step reaches is not known: its updateStrategy leaves pods as they are" in reasons
    assert "reaches 100.0%" in judged(plain("StatefulSet", "shop", updateStrategy={"rollingUpdate": {"partition": 0}}))[1]


def test_only_the_kind_that_is_named_is_moved() -> None:
    canary = flagged(stepWeight=5, metrics=[{"query": "shop_orders_completed_total"}])
    found, _ = exposures(manifests(canary, plain("StatefulSet", "shop"), plain("Deployment", "shop")), ["shop"])

    assert [one.name for one in found] == ["Canary shop", "StatefulSet shop"]


def test_what_moves_an_object_that_is_named_is_judged_whatever_it_is_called() -> None:
    canary = {**flagged(stepWeight=50, metrics=[{"query": "shop_orders_completed_total"}]), "metadata": {"name": "slowly"}}
    found, unclear = exposures(manifests(canary, plain("Deployment", "shop")), ["shop"])

    assert ([one.name for one in found], unclear) == (["Canary slowly"], [])


@pytest.mark.parametrize(
    ("selector", "namespace", "told"),
    [
        ({"app": "shop"}, "default", True),
        ({"app": "other"}, "default", False),
        ({"app": "shop"}, "else", False),
        ({}, "", False),
    ],
)
def test_what_gets_the_traffic_of_a_release_beside_it_is_asked_about(
    selector: dict[str, str],
    namespace: str,
    told: bool,  # noqa: FBT001 - a column.
) -> None:
    service = {"kind": "Service", "metadata": {"name": "web", "namespace": namespace}, "spec": {"selector": selector}}
    labelled = {**CANARY, "spec": {**CANARY["spec"], "template": {"metadata": {"labels": {"app": "shop"}}}}}
    files = manifests(labelled, TEMPLATE, service, plain("Deployment", "shop-next"), plain("Deployment", "redis", "redis"))
    found, unclear = exposures(files, ["shop"])

    assert [one.name for one in found] == ["Rollout shop"]
    line = "Service web leads to Deployment shop-next as well, which is none of [canary] releases"
    assert unclear == ([line] if told else [])
    assert exposures(files, ["shop", "shop-next"])[1] == []


@pytest.mark.parametrize("content", [b"at: 2024-13-45", b"\xff", b"[" * 5000])
def test_what_cannot_be_read_is_told_with_its_file(content: bytes) -> None:
    with pytest.raises(UsageError, match=r"deploy.yaml: is not YAML"):
        exposures({"deploy.yaml": content})


def test_what_is_no_yaml_is_told_with_its_file() -> None:
    with pytest.raises(UsageError, match=r"deploy.yaml: is not YAML"):
        exposures({"deploy.yaml": b"spec: {{ .Values.spec }}\n  - x: ]"})
