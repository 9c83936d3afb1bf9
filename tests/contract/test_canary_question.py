"""The gate asks how a release begins: by the plan of `[roll]`, or by what the manifests of the change say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.gate import answer_to

if TYPE_CHECKING:
    from tests.conftest import Git, Interlock


def asked(interlock_in: Interlock, git: Git, settings: str, **files: str) -> dict[str, Any]:
    git.write({"interlock.toml": settings, "shop/pay.py": "A = 1\n", **files})
    git.commit()
    git("checkout", "--quiet", "-b", "change")
    git.write({"shop/pay.py": "A = 2\n"})
    git.commit()
    return answer_to("canary", interlock_in, git)


@pytest.mark.parametrize(
    ("share", "bake_s", "verdict"), [(0.01, 1800, "pass"), (0.01, 1, "fail"), (0.1, 1800, "fail"), (0.05, 60, "pass")]
)
def test_a_plan_must_begin_small_and_stay_there(
    interlock_in: Interlock, git: Git, share: float, bake_s: float, verdict: str
) -> None:
    found = asked(interlock_in, git, f"[[roll.step]]\nshare = {share}\nbake_s = {bake_s}\n")

    assert found["verdict"] == verdict, found


def test_a_deployment_of_somebody_else_stops_nothing_once_it_is_said_what_ships_the_project(
    interlock_in: Interlock, git: Git
) -> None:
    deployments = [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {}} for name in ("shop", "redis")
    ]
    canary = {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {"name": "shop"},
        "spec": {
            "targetRef": {"kind": "Deployment", "name": "shop"},
            "analysis": {"stepWeight": 5, "metrics": [{"query": "shop_orders_total"}]},
        },
    }
    manifests = "\n---\n".join(json.dumps(one) for one in (*deployments, canary))
    feature = '[[feature]]\nname = "payments"\ntier = 1\npaths = ["shop/**"]\nmetrics = ["shop_orders_total"]\n'
    settings = f'{feature}[canary]\nmanifests = ["deploy.yaml"]\n'

    found = asked(interlock_in, git, f'{settings}releases = ["shop"]\n', **{"deploy.yaml": manifests})
    assert found["verdict"] == "pass", found

    git("checkout", "--quiet", "main")
    git("branch", "--quiet", "-D", "change")
    overlay = {"prod/kustomization.yaml": "resources: [../deploy.yaml]\npatches: [{path: at-once.yaml}]\n"}
    found = asked(interlock_in, git, f'{settings}releases = ["shop"]\n', **overlay)
    assert found["verdict"] == "unknown"
    assert found["evidence"][-1] == "prod/kustomization.yaml alters what it lists (patches), and is not rendered here"

    git("rm", "--quiet", "-r", "prod")
    git("commit", "--quiet", "--message=as it was")
    git("checkout", "--quiet", "-B", "main")
    git("branch", "--quiet", "-D", "change")
    found = asked(interlock_in, git, settings)
    assert found["verdict"] == "unknown"
    assert any(line.startswith("Deployment redis reaches everybody at once") for line in found["evidence"])
