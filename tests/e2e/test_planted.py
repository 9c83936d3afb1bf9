"""Faults that popular tools are content with, planted by hand, and told by the gate.

A third, a downgrade that loses rows, is in `tests/contract/migrations/test_trial.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Git, Interlock

SETTINGS = """
[[feature]]
name = "payments"
tier = 1
paths = ["shop/**"]
metrics = ["payment_double_charge_total"]

[canary]
manifests = ["deploy/*.yaml"]

[alerts]
rules = ["rules.yml"]
alertmanager = "alertmanager.yml"
pagers = ["pager"]

[[drill]]
feature = "payments"
incident = "one.toml"
series = [{ series = 'payment_double_charge_total{job="shop"}', of = "harm" }]
"""
# One customer is charged twice.
INCIDENT = """
story = "one double charge"
per_s = 420.0
harm_per_s = 0.06666666666666668
course = [
    { at_s = 0, success = 0.98 }, { at_s = 15, success = 0.979 },
    { at_s = 30, success = 0.98 }, { at_s = 1800, success = 0.98 },
]
"""
ROUTES = "route: {receiver: pager, group_wait: 10s}\nreceivers: [{name: pager, pagerduty_configs: [{service_key: none}]}]\n"
# The counter is not there before its first event, and the increase of a series that was born at 1 and stays there is 0.
RULES = """
groups:
  - name: shop
    rules:
      - {{alert: DoubleCharge, expr: '{expression}', labels: {{severity: page}}}}
"""
BORN_AT_1 = "increase(payment_double_charge_total[10m]) > 0"
SEEN = "sum(payment_double_charge_total) > 0"
ANALYSIS = """
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: charges}
spec:
  metrics:
    - name: charges
      failureLimit: 0
      successCondition: result[0] == 0
      provider: {prometheus: {address: "http://p:9090", query: sum(payment_double_charge_total)}}
"""
ROLLOUT = """
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {{name: shop}}
spec:
  replicas: 4
  strategy:
    canary:
      {routing}
      analysis: {{templates: [{{templateName: charges}}]}}
      steps: [{{setWeight: 5}}, {{pause: {{duration: 30m}}}}]
---
"""
UNROUTED = ROLLOUT.format(routing="") + ANALYSIS
ROUTED = ROLLOUT.format(routing="trafficRouting: {nginx: {stableIngress: shop}}") + ANALYSIS


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if not found or not shutil.which("amtool"):
        message = "NOT RUN: no promtool and amtool on this machine (make servers)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found


def answered(git: Git, interlock: Interlock, *, rules: str = SEEN, rollout: str = ROUTED) -> dict[str, Any]:
    """What the gate says, by the name of the question, of a change to what takes payments."""
    files = {"rules.yml": RULES.format(expression=rules), "deploy/rollout.yaml": rollout}
    git.commit(
        {"interlock.toml": SETTINGS, "one.toml": INCIDENT, "alertmanager.yml": ROUTES, "shop/pay.py": "X = 1\n", **files}
    )
    git.branch("change")
    git.commit({"shop/pay.py": "X = 2\n"})
    ran = interlock("gate", "--base", "main", "--format", "json", folder=git.root)
    return {question["name"]: question for question in json.loads(ran.out)["questions"]}


@pytest.mark.parametrize(("rules", "verdict"), [(BORN_AT_1, "fail"), (SEEN, "pass")])
def test_an_alert_on_the_increase_of_a_counter_that_is_born_with_its_first_event(
    git: Git, interlock_in: Interlock, promtool: str, rules: str, verdict: str
) -> None:
    found = answered(git, interlock_in, rules=rules)["alerts"]

    written = [promtool, "check", "rules", str(git.root / "rules.yml")]
    assert subprocess.run(written, capture_output=True, check=False).returncode == 0
    assert found["verdict"] == verdict, found


@pytest.mark.parametrize(("rollout", "verdict", "reached"), [(UNROUTED, "fail", "20.0% to 25.0%"), (ROUTED, "pass", "5.0%")])
def test_a_weight_of_five_on_four_replicas(git: Git, interlock_in: Interlock, rollout: str, verdict: str, reached: str) -> None:
    canary = answered(git, interlock_in, rollout=rollout)["canary"]

    assert canary["verdict"] == verdict
    assert f"its first step reaches {reached} of the users" in "\n".join(canary["evidence"])


def test_without_promtool_it_is_not_known_whether_an_alert_fires(git: Git, interlock_in: Interlock, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "git").symlink_to(shutil.which("git") or "")
    (programs / "python").symlink_to(sys.executable)
    found = answered(git, interlock_in.under(PATH=str(programs)))

    assert (found["alerts"]["verdict"], found["canary"]["verdict"]) == ("unknown", "pass")
    assert "no promtool" in found["alerts"]["answer"]
