"""Each trophy of docs/trophies.md replays: the library as it is on PyPI still breaks the contract, in real processes too."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from interlock.core.verdict import Verdict
from interlock.prove.replay import read, replayed

pytestmark = pytest.mark.usefixtures("redis_server")

ROOT = Path(__file__).resolve().parents[3]
TROPHIES = ROOT / "examples" / "trophies"
REPLAYS = sorted((TROPHIES / "replays").glob("*.json"))
PAGE = (ROOT / "docs" / "trophies.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("replay", REPLAYS, ids=lambda path: path.stem)
def test_a_trophy_still_replays(replay: Path) -> None:
    again = replayed(replay)
    if "ModuleNotFoundError" in again.said and os.environ.get("CI") != "true":
        pytest.skip(f"NOT RUN: {again.said} (pip install --requirement requirements/test.txt)")

    assert again.verdict is Verdict.FAIL, again.said
    assert again.said.startswith("it still breaks the contract"), again.said
    assert again.violation is not None
    assert again.violation.broken == read(replay).violation
    assert again.confirmation is not None
    assert again.confirmation.said.startswith("confirmed in real processes: 5 of 5"), again.confirmation.said


def test_the_page_lists_what_replays_and_nothing_else() -> None:
    listed = set(re.findall(r"interlock prove --replay examples/trophies/replays/(\w+)\.json", PAGE))

    assert listed == {replay.stem for replay in REPLAYS}
    assert len(listed) >= 3


def test_the_page_names_the_versions_that_are_pinned() -> None:
    pinned = dict(line.split("==") for line in (TROPHIES / "requirements.txt").read_text().splitlines() if "==" in line)
    tested = dict(line.split("==") for line in (ROOT / "requirements" / "test.txt").read_text().splitlines() if "==" in line)

    called = {name: "redis-py" if name == "redis" else name for name in pinned}

    assert {name for name, version in pinned.items() if f"{called[name]} {version}" not in PAGE} == set()
    assert {name for name, version in pinned.items() if tested.get(name, version) != version} == set()
