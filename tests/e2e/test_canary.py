"""Releases of the shop behind a real HAProxy, with customers: what harms them is stopped, and what does not goes on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CANARY = Path(__file__).parents[2] / "examples" / "checkout" / "canary.py"


def rolled(release: str, *arguments: str) -> str:
    """What the demonstration prints of a rollout that ended as the release deserves."""
    if shutil.which("haproxy") is None:
        message = "NOT RUN: no haproxy on this machine (make servers)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    command = [sys.executable, str(CANARY), release, "--quiet", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def counted(answer: str, said: str) -> int:
    found = re.search(rf"(\d+) x {answer}", said)
    return int(found[1]) if found else 0


def test_a_checkout_that_fails_for_most_is_stopped_at_one_percent() -> None:
    said = rolled("clock-as-key", "--rate", "80", "--bake", "120")

    assert said.startswith("rolled back at step 1"), said
    assert "failures" in said
    assert counted("canary 503", said) <= 10


def test_a_good_release_reaches_everyone_though_interlock_is_killed_in_every_step() -> None:
    said = rolled("opening-hours", "--rate", "80", "--bake", "4", "--kill")

    assert said.startswith("done at step 4"), said
    assert set(re.findall(r"\d+ x (\w+ \w+)", said)) == {"baseline 200", "canary 200"}
    assert "0 broken connections" in said


def test_a_leak_is_stopped_before_the_pool_is_gone() -> None:
    said = rolled("leaks-connections", "--rate", "80", "--bake", "120", "--shares", "0.03")

    assert said.startswith("rolled back at step 1"), said
    assert "shop_database_connections_in_use" in said
    assert counted("canary 500", said) == 0
