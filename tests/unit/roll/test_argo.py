from __future__ import annotations

import copy
import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from interlock.core.errors import UsageError
from interlock.core.settings import Document
from interlock.gate.canaries.manifests import exposures
from interlock.roll.argo.answers import FAILURE, SUCCESS, Ask, Result
from interlock.roll.argo.checks import problems
from interlock.roll.argo.declared import load_argo
from interlock.roll.argo.engine import Engine
from interlock.roll.argo.manifests import manifests
from interlock.roll.argo.schema import refused, schemas
from interlock.roll.judge import Arm
from interlock.roll.sources import Reading

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = "sha256:" + "0" * 64
SETTINGS = """
[roll]
[[roll.metric]]
name = "failures"
kind = "failures"

[roll.argo]
name = "shop"
image = "registry.shop.example/shop@DIGEST"
replicas = 10
traffic = "nginx"
host = "shop.example"
prometheus_url = "http://prometheus:9090"
requests = 'sum(requests_total{hash="{hash}"})'

[[roll.argo.query]]
metric = "failures"
events = 'sum(failures_total{hash="{hash}"})'
""".replace("DIGEST", DIGEST)


def declared(text: str = SETTINGS) -> Document:
    return Document("interlock.toml", text, tomllib.loads(text))


def rendered(text: str = SETTINGS) -> list[dict[str, Any]]:
    return manifests(load_argo(declared(text)))


def of_kind(kind: str, text: str = SETTINGS) -> list[dict[str, Any]]:
    return [one for one in rendered(text) if one["kind"] == kind]


@pytest.mark.parametrize("text", [SETTINGS, SETTINGS.replace('"nginx"', '"istio"')])
def test_what_is_rendered_has_no_problem(text: str) -> None:
    assert list(problems(rendered(text))) == []


def test_the_weights_of_a_router_are_the_shares_of_the_plan() -> None:
    (rollout,) = of_kind("Rollout")
    canary = rollout["spec"]["strategy"]["canary"]

    assert [step["setWeight"] for step in canary["steps"] if "setWeight" in step] == [100, 1000, 5000]
    assert canary["trafficRouting"]["maxTrafficWeight"] == 10_000
    assert [step["pause"]["duration"] for step in canary["steps"] if "pause" in step] == ["1800s", "1800s", "900s"]


def test_without_a_router_a_share_must_be_whole_pods() -> None:
    text = SETTINGS.replace('traffic = "nginx"', 'traffic = ""')
    with pytest.raises(UsageError, match="the least is 10%"):
        rendered(text)

    steps = "[[roll.step]]\nshare = 0.2\n"
    (rollout,) = of_kind("Rollout", text.replace("[[roll.metric]]", steps + "[[roll.metric]]", 1))
    assert "trafficRouting" not in rollout["spec"]["strategy"]["canary"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"nginx"', '"ngnix"'), "did you mean 'nginx'?"),
        (('host = "shop.example"', ""), "needs the host"),
        (('metric = "failures"', 'metric = "orders"'), "no metric of the plan"),
        (('requests_total{hash="{hash}"}', "requests_total"), "the two sides cannot be told apart"),
        (("replicas", "replica"), "did you mean 'replicas'?"),
        (("roll.argo", "roll.argos"), "there is no [roll.argo]"),
    ],
)
def test_what_is_declared_wrong_is_told(change: tuple[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        rendered(SETTINGS.replace(*change))


def rollout_of(objects: list[dict[str, Any]]) -> dict[str, Any]:
    (rollout,) = [one for one in objects if one["kind"] == "Rollout"]
    return rollout


def canary_of(objects: list[dict[str, Any]]) -> dict[str, Any]:
    canary: dict[str, Any] = rollout_of(objects)["spec"]["strategy"]["canary"]
    return canary


def metric_of(objects: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (template,) = [one for one in objects if one["kind"] == "AnalysisTemplate" and one["metadata"]["name"] == name]
    metric: dict[str, Any] = template["spec"]["metrics"][0]
    return metric


FAULTS: dict[str, Any] = {
    "expected canary or blueGreen": lambda o: rollout_of(o)["spec"]["strategy"].update(blueGreen={}),
    "the same service": lambda o: canary_of(o).update(canaryService="shop-stable"),
    "canaryService: missing": lambda o: canary_of(o).pop("canaryService"),
    "no Service elsewhere": lambda o: canary_of(o).update(canaryService="elsewhere"),
    "no Ingress elsewhere": lambda o: canary_of(o)["trafficRouting"]["nginx"].update(stableIngress="elsewhere"),
    "both zero": lambda o: canary_of(o).update(maxSurge=0, maxUnavailable="0%"),
    "setWeight is 20000": lambda o: canary_of(o)["steps"][0].update(setWeight=20_000),
    "setWeight is 100, expected 0 to 1": lambda o: canary_of(o)["trafficRouting"].update(maxTrafficWeight=1),
    "setWeight and pause in one step": lambda o: canary_of(o)["steps"][0].update(pause={}),
    "pause.duration is '30 min'": lambda o: canary_of(o)["steps"][2].update(pause={"duration": "30 min"}),
    "expected one of setWeight": lambda o: canary_of(o)["steps"].append({}),
    "the weight does not stay": lambda o: canary_of(o)["steps"].pop(2),
    "so this is a rolling update": lambda o: canary_of(o).update(steps=[{"pause": {}}]),
    "setHeaderRoute needs": lambda o: canary_of(o)["steps"].append({"setHeaderRoute": {"name": "r"}}),
    "route 'r' is not among": lambda o: canary_of(o)["steps"].append({"setMirrorRoute": {"name": "r"}}),
    "no AnalysisTemplate shop-wacth": lambda o: canary_of(o)["analysis"].update(templates=[{"templateName": "shop-wacth"}]),
    "gives no canary-hash": lambda o: canary_of(o)["analysis"].update(args=[]),
    "scaleDownDelaySeconds": lambda o: canary_of(o).update(scaleDownDelaySeconds=30, dynamicStableScale=True),
    "does not match the labels": lambda o: rollout_of(o)["spec"].update(selector={"matchLabels": {"app": "other"}}),
    "keeps no version": lambda o: rollout_of(o)["spec"].update(revisionHistoryLimit=0),
    "greater than minReadySeconds": lambda o: rollout_of(o)["spec"].update(minReadySeconds=600),
    "not pinned by its digest": lambda o: rollout_of(o)["spec"]["template"]["spec"]["containers"][0].update(
        image="shop:latest"
    ),
    "every measurement succeeds": lambda o: [
        metric_of(o, "shop-watch").pop(key) for key in ("successCondition", "failureCondition")
    ],
    "cannot both be disabled": lambda o: metric_of(o, "shop-watch").update(failureLimit=-1),
    "interval must be given": lambda o: metric_of(o, "shop-begin").update(count=2),
    "count is 1, expected at least failureLimit": lambda o: metric_of(o, "shop-begin").update(failureLimit=2),
    "expected one provider, found 2": lambda o: metric_of(o, "shop-watch")["provider"].update(prometheus={}),
    "uses args.pod": lambda o: metric_of(o, "shop-watch")["provider"]["web"].update(url="http://x/{{args.pod}}"),
    "expected http://": lambda o: metric_of(o, "shop-watch")["provider"]["web"].update(url="shop-judge/v1"),
}


@pytest.mark.parametrize("expected", FAULTS)
def test_each_planted_fault_is_told_and_nothing_else(expected: str) -> None:
    objects = copy.deepcopy(rendered())
    FAULTS[expected](objects)
    found = list(problems(objects))

    assert any(expected in problem for problem in found), found
    assert len(found) <= 3, found


def test_the_gate_finds_the_first_step_of_what_is_rendered_to_be_one_user_in_a_hundred() -> None:
    (exposure,), _ = exposures({"all.yaml": _as_yaml(rendered())}, ["shop"])

    assert (exposure.name, exposure.least, exposure.most, exposure.stays_s) == ("Rollout shop", 0.01, 0.01, 1800.0)


def test_a_version_that_comes_again_long_afterwards_is_judged_anew_and_not_by_the_silence_between(tmp_path: Path) -> None:
    engine = Engine(load_argo(declared()), tmp_path)
    assert engine.answer(Ask.WATCH, "c1", "s1", None, 0.0)["result"] == Result.UNDECIDED
    assert engine.answer(Ask.WATCH, "c1", "s1", None, 800.0)["result"] == Result.REGRESSED  # Nobody would see the harm.

    assert engine.answer(Ask.BEGIN, "c1", "s1", 0, 90_000.0)["result"] == Result.UNDECIDED
    assert engine.answer(Ask.BEGIN, "c1", "s2", 0, 90_800.0)["result"] == Result.UNDECIDED  # Beside another version.


ORDERS = (
    SETTINGS.replace("[roll.argo]", "[[roll.metric]]\nname = 'orders'\nkind = 'business'\n[roll.argo]", 1)
    + "[[roll.argo.query]]\nmetric = 'orders'\nevents = 'sum(orders_total{hash=\"{hash}\"})'\n"
)
Growth = dict[tuple[str, Arm], int]  # What is counted in a second; what is not there has no series.
SERVED: Growth = {("requests", Arm.BASELINE): 380, ("requests", Arm.CANARY): 42}


def answered(
    folder: Path, monkeypatch: pytest.MonkeyPatch, grows: Growth, *, text: str = ORDERS, stands_still_s: int = 0
) -> dict[str, Any]:
    """What a judge says at a step's end, after ten minutes and, if so, some in which the counters stand still."""
    seconds = 0

    class Counters:
        def __init__(self, **_: object) -> None: ...

        def poll(self) -> list[Reading]:
            return [Reading(name=name, arm=arm, value=min(seconds, 600) * by) for (name, arm), by in grows.items()]

    monkeypatch.setattr("interlock.roll.argo.engine.Prometheus", Counters)
    engine = Engine(load_argo(declared(text)), folder)
    engine.answer(Ask.BEGIN, "c1", "s1", 1, 0.0)
    for seconds in range(1, 601 + stands_still_s):
        engine.look(float(seconds))
        if seconds % 100 == 0:
            engine.answer(Ask.WATCH, "c1", "s1", None, float(seconds))
    return engine.answer(Ask.PROMOTE, "c1", "s1", 1, float(seconds))


FAILURES: Growth = {("failures", Arm.BASELINE): 9, ("failures", Arm.CANARY): 1}
ALL_WELL: Growth = {**SERVED, **FAILURES, ("orders", Arm.BASELINE): 18, ("orders", Arm.CANARY): 2}


def without(*left_out: tuple[str, Arm]) -> Growth:
    return {key: value for key, value in ALL_WELL.items() if key not in left_out}


@pytest.mark.parametrize(
    ("grows", "result", "said"),
    [
        (ALL_WELL, Result.HEALTHY, "excluded"),
        (without(("failures", Arm.CANARY)), Result.HEALTHY, "failures: 0 on the canary"),
        (without(("orders", Arm.CANARY)), Result.REGRESSED, "orders: 0 on the canary"),
        (without(("failures", Arm.BASELINE)), Result.REGRESSED, "failures: "),
        (without(*FAILURES), Result.UNDECIDED, "told nothing of failures on either side"),
    ],
)
def test_a_counter_that_has_not_begun_is_nothing_yet_and_one_that_nobody_has_is_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grows: Growth, result: Result, said: str
) -> None:
    answer = answered(tmp_path, monkeypatch, grows)

    assert answer["result"] == result
    assert said in answer["reason"]


def test_counters_that_stand_still_say_nothing_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = answered(tmp_path, monkeypatch, ALL_WELL, stands_still_s=61)

    assert (answer["result"], answer["reason"]) == (Result.UNDECIDED, "nobody has come for 61 s")


def _as_yaml(objects: list[dict[str, Any]]) -> bytes:
    return "\n---\n".join(json.dumps(one) for one in objects).encode()


@pytest.mark.parametrize(
    ("ask", "result", "phase"),
    [
        (Ask.WATCH, Result.UNDECIDED, "Successful"),
        (Ask.WATCH, Result.REGRESSED, "Failed"),
        (Ask.PROMOTE, Result.UNDECIDED, "Inconclusive"),
        (Ask.PROMOTE, Result.HEALTHY, "Successful"),
        (Ask.PROMOTE, Result.REGRESSED, "Failed"),
        (Ask.BEGIN, Result.UNDECIDED, "Successful"),
        (Ask.BEGIN, Result.REGRESSED, "Failed"),
    ],
)
def test_each_answer_leads_argo_to_the_phase_that_is_meant(ask: Ask, result: Result, phase: str) -> None:
    assert evaluated(result, SUCCESS[ask], FAILURE) == phase


def evaluated(result: str, success: str, failure: str) -> str:
    """As utils/evaluate/evaluate.go does it, for the two operators that our conditions use."""

    def holds(condition: str) -> bool:
        name, operator, value = condition.split()
        assert (name, value[0], value[-1]) == ("result", "'", "'")
        return {"==": result == value[1:-1], "!=": result != value[1:-1]}[operator]

    if holds(failure):
        return "Failed"
    return "Successful" if holds(success) else "Inconclusive"


CRD: dict[str, Any] = {
    "kind": "CustomResourceDefinition",
    "spec": {
        "group": "shop.example",
        "names": {"kind": "Tea"},
        "versions": [
            {
                "name": "v1",
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "required": ["spec"],
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "cups": {"type": "integer", "minimum": 1},
                                    "surge": {"x-kubernetes-int-or-string": True},
                                    "notes": {"type": "string", "nullable": True},
                                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                                    "steps": {
                                        "type": "array",
                                        "items": {"type": "object", "properties": {"min": {"type": "integer"}}},
                                    },
                                },
                            }
                        },
                    }
                },
            }
        ],
    },
}


def shape(**spec: object) -> list[str]:
    tea = {"apiVersion": "shop.example/v1", "kind": "Tea", "metadata": {"name": "oolong"}, "spec": spec}
    return list(refused(tea, schemas([{"kind": "List", "items": [CRD]}])["shop.example/v1", "Tea"]))


def test_what_a_crd_allows_is_not_refused() -> None:
    assert shape(cups=2, surge="25%", notes=None, free={"any": [1]}, labels={"a": "b"}, steps=[{"min": 3}]) == []
    assert shape(surge=1) == []


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"cups": "2"}, "spec.cups: '2' is not of type 'integer'"),
        ({"cups": 0}, "spec.cups: 0 is less than the minimum of 1"),
        ({"cup": 2}, "spec: Additional properties are not allowed ('cup' was unexpected)"),
        ({"labels": {"a": 1}}, "spec.labels.a: 1 is not of type 'string'"),
        ({"steps": [{"minutes": 3}]}, "spec.steps.0: Additional properties are not allowed"),
    ],
)
def test_what_a_crd_does_not_allow_is_refused_with_its_place(spec: dict[str, Any], message: str) -> None:
    (found,) = shape(**spec)

    assert found.startswith(message)
