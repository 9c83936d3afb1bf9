"""What a rollback returns to: manifests that name images by digest, and keep old versions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from interlock.core.verdict import Verdict
from interlock.gate.rehearsals.artifact import flawed
from tests.gate import answer_to

if TYPE_CHECKING:
    from tests.conftest import Git, Interlock

PINNED = f"shop@sha256:{'a' * 64}"


def deployment(image: str, name: str = "shop", more: str = "") -> str:
    return f"""apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
spec:
{more}  template:
    spec:
      containers:
        - name: app
          image: {image}
"""


@pytest.mark.parametrize("image", ["shop:v2", "shop", "shop:latest", "shop:v2@sha256:abc", f"{PINNED}:v2"])
def test_an_image_that_is_not_named_by_its_digest_is_told_with_its_line(image: str) -> None:
    told = list(flawed({"shop.yaml": deployment(image).encode()}))

    assert told == [(Verdict.UNKNOWN, f"shop.yaml:10: Deployment shop ships {image}; expected NAME@sha256:DIGEST")]


@pytest.mark.parametrize("image", [PINNED, PINNED.replace("shop", "registry.shop.example:5000/shop:v2"), f'"{PINNED}"'])
def test_a_digest_is_enough(image: str) -> None:
    assert list(flawed({"shop.yaml": deployment(image).encode()})) == []


def test_a_history_of_nothing_fails() -> None:
    told = list(flawed({"shop.yaml": deployment(PINNED, more="  revisionHistoryLimit: 0\n").encode()}))

    assert told == [(Verdict.FAIL, "shop.yaml:6: Deployment shop keeps no old version: revisionHistoryLimit: 0")]
    assert list(flawed({"shop.yaml": deployment(PINNED, more="  revisionHistoryLimit: 10\n").encode()})) == []


def test_what_does_not_ship_the_project_is_not_looked_at_but_what_a_canary_moves_is() -> None:
    canary: dict[str, Any] = {"kind": "Canary", "metadata": {"name": "shop-canary"}, "spec": {"targetRef": {"name": "shop"}}}
    files = {
        "redis.yaml": deployment("redis:7", "redis").encode(),
        "shop.yaml": deployment("shop:v2").encode(),
        "canary.yaml": json.dumps(canary).encode(),
    }
    told = [line for _, line in flawed(files, ["shop-canary"])]

    assert told == ["shop.yaml:10: Deployment shop ships shop:v2; expected NAME@sha256:DIGEST"]


@pytest.mark.parametrize(("more", "verdict"), [("", "unknown"), ("  revisionHistoryLimit: 0\n", "fail")])
def test_the_gate_asks_of_the_manifests_of_the_change(git: Git, interlock_in: Interlock, more: str, verdict: str) -> None:
    git.commit({"interlock.toml": '[canary]\nmanifests = ["*.yaml"]\n', "shop.yaml": deployment(PINNED)})
    git("checkout", "--quiet", "-b", "change")
    git.commit({"shop.yaml": deployment("shop:v2", more=more)})
    found = answer_to("rollback", interlock_in, git)

    assert found["verdict"] == verdict
    assert any("Deployment shop ships shop:v2" in line for line in found["evidence"])
