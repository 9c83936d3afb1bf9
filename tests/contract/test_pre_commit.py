"""The hooks that we offer to pre-commit, held against pre-commit itself."""

from __future__ import annotations

import shlex
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Git, Interlock

MANIFEST = Path(__file__).parents[2] / ".pre-commit-hooks.yaml"
CLEAN = "def order_id(order):\n    return order.id\n"
BAD = "import time\n\ndef new_order(user):\n    order_id = f'{user.id}-{int(time.time())}'\n    return order_id\n"


@pytest.fixture
def hooks() -> dict[str, dict[str, Any]]:
    """The hooks by their id, as pre-commit reads them."""
    loaded: list[dict[str, Any]] = import_module("pre_commit.clientlib").load_manifest(str(MANIFEST))
    return {hook["id"]: hook for hook in loaded}


def command(hook: dict[str, Any], *files: str) -> list[str]:
    """What pre-commit runs, without the `interlock` before it."""
    words = [*shlex.split(hook["entry"]), *hook["args"], *(files if hook["pass_filenames"] else ())]
    assert words[0] == "interlock"
    return words[1:]


def test_they_are_the_two_that_are_documented(hooks: dict[str, dict[str, Any]]) -> None:
    assert set(hooks) == {"interlock-check", "interlock-gate"}
    assert {hook["language"] for hook in hooks.values()} == {"python"}
    assert hooks["interlock-gate"]["stages"] == ["pre-push"]


def test_a_commit_with_a_hazard_is_stopped(hooks: dict[str, dict[str, Any]], interlock_in: Interlock, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(BAD)
    (tmp_path / "clean.py").write_text(CLEAN)
    assert interlock_in(*command(hooks["interlock-check"], "clean.py")).code == 0
    assert interlock_in(*command(hooks["interlock-check"], "clean.py", "bad.py")).code == 1


def test_a_push_is_held_against_where_it_goes(hooks: dict[str, dict[str, Any]], interlock_in: Interlock, git: Git) -> None:
    start = git.commit({"shop.py": CLEAN})
    git("update-ref", "refs/remotes/origin/main", start)
    git.commit({"new.py": BAD})
    ran = interlock_in(*command(hooks["interlock-gate"]), folder=git.root)
    assert ran.code == 1
    assert "new.py:4:16" in ran.out
