"""17 October 2024 replayed: the change of that day is stopped for many reasons, and the right fix passes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

NEEDED = ("redis-server", "promtool", "amtool", "ssh-keygen")
REASONS = (
    "Does it plant a known hazard?",
    "Who wrote it, and who has read it?",
    "Does the critical module keep its contracts under load and faults?",
    "Do the tests fail when the hazard is planted?",
    "Was the rollback rehearsed?",
    "Does it start on a canary of 1 to 5 %?",
    "Would an alert fire on the failure it can cause, and reach a pager?",
)


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    missing = [name for name in NEEDED if not shutil.which(name)]
    if missing:
        message = f"NOT RUN: no {', no '.join(missing)} on this machine (make servers)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    folder = tmp_path_factory.mktemp("replay")
    command = [sys.executable, str(REPOSITORY / "examples" / "checkout" / "replay.py"), "--keep", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def verdicts(folder: Path, base: str, head: str) -> dict[str, str]:
    command = [sys.executable, "-m", "interlock", "gate", "--base", base, "--head", head, "--format", "json"]
    read = folder / f"{head}.json"
    approvals = ["--approvals", str(read)] if read.exists() else []
    done = subprocess.run([*command, *approvals], cwd=folder / "shop", capture_output=True, text=True, check=False)
    return {question["question"]: question["verdict"] for question in json.loads(done.stdout)["questions"]}


def test_the_incident_is_stopped_for_each_of_its_reasons(replayed: Path) -> None:
    found = verdicts(replayed, "baseline", "incident")

    assert {question for question in REASONS if found[question] != "pass"} == set(REASONS)


def test_the_right_fix_passes_every_question(replayed: Path) -> None:
    assert set(verdicts(replayed, "incident", "right-fix").values()) == {"pass"}


def test_the_evidence_for_the_fix_is_none_for_another_change(replayed: Path) -> None:
    found = verdicts(replayed, "incident", "published-fix")

    assert found["Does the critical module keep its contracts under load and faults?"] != "pass"
    assert found["Was the rollback rehearsed?"] != "pass"
