"""`interlock init`: first settings that are right once they are wanted, and hooks that are added to what is there."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Git, Interlock

THEIRS: dict[str, Any] = {
    "permissions": {"allow": ["Bash(ls *)"]},
    "hooks": {
        "PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "./guard.sh"}]}],
        "SessionStart": [{"hooks": [{"type": "command", "command": "echo häh"}]}],
    },
}


def uncommented(text: str) -> str:
    """The settings as they are once a person has taken the marks away; sentences stay comments."""
    lines = [line.removeprefix("# ") if line.startswith("# [") or "=" in line else line for line in text.splitlines()]
    return "\n".join(lines)


def test_the_first_settings_are_in_force_for_nothing(interlock_in: Interlock, git: Git) -> None:
    git.commit({"shop/orders.py": "x = 1\n"})
    ran = interlock_in("init", folder=git.root)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "interlock.toml: written; nothing is in force until you take the marks away\n"
    assert tomllib.loads((git.root / "interlock.toml").read_text()) == {}
    assert interlock_in("check", folder=git.root).code == 0


def test_what_talks_to_a_provider_is_proposed_and_the_proposal_is_right(interlock_in: Interlock, git: Git) -> None:
    sources = {
        "shop/pay.py": "import stripe\n",
        "shop/sign in.py": "from passlib.hash import argon2\n",
        "shop/none.py": "import stripes\n# import stripe\n",
        "tests/test_pay.py": "import stripe\n",
    }
    git.commit(dict(sources))
    assert "with payments and sign-in as proposals" in interlock_in("init", folder=git.root / "shop").out
    place = git.root / "interlock.toml"
    place.write_text(uncommented(place.read_text()))
    features = tomllib.loads(place.read_text())["feature"]
    assert [(feature["name"], feature["tier"], feature["paths"]) for feature in features] == [
        ("payments", 1, ["shop/pay.py"]),
        ("sign-in", 1, ["shop/sign in.py"]),
    ]
    assert interlock_in("check", folder=git.root).code == 0, "its settings are read without a complaint"


@pytest.mark.parametrize(
    ("name", "content"), [("interlock.toml", "# mine\n"), ("pyproject.toml", "[tool.interlock.check]\nexclude = []\n")]
)
def test_settings_that_are_there_are_left_alone(interlock_in: Interlock, tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    ran = interlock_in("init", folder=tmp_path)
    assert ran.code == 2
    assert "nothing was written" in ran.err
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: content}


@pytest.mark.parametrize(
    ("assistant", "name", "events"),
    [
        ("claude", ".claude/settings.json", {"PreToolUse", "Stop"}),
        ("cursor", ".cursor/hooks.json", {"preToolUse", "postToolUse", "stop"}),
    ],
)
def test_hooks_are_written_once(interlock_in: Interlock, git: Git, assistant: str, name: str, events: set[str]) -> None:
    (git.root / "below").mkdir()
    assert interlock_in("init", assistant, folder=git.root / "below").code == 0
    written = (git.root / name).read_text()
    settings = json.loads(written)
    assert set(settings["hooks"]) == events
    assert written.count(f"interlock hook {assistant}") == len(events)
    assert settings.get("version") == (1 if assistant == "cursor" else None)
    again = interlock_in("init", assistant, folder=git.root)
    assert "nothing to add" in again.out
    assert (git.root / name).read_text() == written


def test_what_others_set_stays(interlock_in: Interlock, git: Git) -> None:
    place = git.root / ".claude" / "settings.json"
    git.write({".claude/settings.json": json.dumps(THEIRS)})
    assert interlock_in("init", "claude", folder=git.root).code == 0
    settings = json.loads(place.read_text())
    assert settings["permissions"] == THEIRS["permissions"]
    assert settings["hooks"]["SessionStart"] == THEIRS["hooks"]["SessionStart"]
    assert settings["hooks"]["PreToolUse"][0] == THEIRS["hooks"]["PreToolUse"][0]
    assert settings["hooks"]["PreToolUse"][1]["matcher"] == "Edit|MultiEdit|Write|Bash|PowerShell"
    assert "häh" in place.read_text()


@pytest.mark.parametrize("content", ["{ // mine\n}", "[]", '{"hooks": []}', '{"hooks": {"Stop": {}}}'])
def test_settings_that_cannot_be_added_to_are_left_alone_and_the_entries_are_told(
    interlock_in: Interlock, git: Git, content: str
) -> None:
    git.write({".claude/settings.json": content})
    ran = interlock_in("init", "claude", folder=git.root)
    assert ran.code == 2
    assert "nothing was written" in ran.err
    assert '"command": "interlock hook claude"' in ran.err
    assert (git.root / ".claude" / "settings.json").read_text() == content
