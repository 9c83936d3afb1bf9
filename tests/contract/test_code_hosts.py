"""What `check` prints for GitHub and GitLab, held against what they document of what they read."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # It ships no types.

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Interlock

BAD = "import time\n\ndef new_order(user):\n    order_id = f'{user.id}-{int(time.time())}'\n    return order_id\n"
HAZARD = "identity/coarse-clock"
TWICE = BAD + "\n" + BAD.replace("import time\n", "")

# https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
CODE_QUALITY: dict[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "properties": {
            "description": {"type": "string", "minLength": 1},
            "check_name": {"type": "string", "minLength": 1},
            "fingerprint": {"type": "string", "minLength": 1},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object",
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "pattern": r"^(?!\./|/)"},
                    "lines": {
                        "type": "object",
                        "required": ["begin"],
                        "properties": {"begin": {"type": "integer", "minimum": 1}},
                    },
                },
            },
        },
    },
}

# https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
COMMAND = re.compile(r"::(?P<name>error|warning|notice) (?P<properties>[^:]*)::(?P<message>.*)")
PROPERTIES = {"file", "line", "endLine", "col", "endColumn", "title"}


def issues(interlock: Interlock) -> list[dict[str, Any]]:
    """The Code Quality report, as GitLab would take it."""
    report = json.loads(interlock("check", "--format", "gitlab").out)
    contract: Any = Draft202012Validator(CODE_QUALITY)
    contract.validate(report)
    fingerprints = [issue["fingerprint"] for issue in report]
    assert len(set(fingerprints)) == len(fingerprints), "GitLab would drop one"
    return list(report)


def commands(interlock: Interlock) -> list[dict[str, str]]:
    """The workflow commands, as GitHub would take them."""
    found: list[dict[str, str]] = []
    for line in interlock("check", "--format", "github").out.splitlines():
        match = COMMAND.fullmatch(line)
        assert match, line
        properties = dict(part.split("=", 1) for part in match["properties"].split(","))
        assert set(properties) <= PROPERTIES
        given = {"name": match["name"], "message": match["message"], **properties}
        found.append({key: unquote(value) for key, value in given.items()})
    return found


class TestGitLab:
    def test_a_finding_has_its_place_and_weight(self, interlock_in: Interlock, tmp_path: Path) -> None:
        (tmp_path / "shop.py").write_text(BAD)
        [issue] = issues(interlock_in)
        assert issue["check_name"] == HAZARD
        assert issue["location"] == {"path": "shop.py", "lines": {"begin": 4, "end": 4}}
        assert issue["severity"] == "blocker"

    def test_findings_that_look_alike_are_told_apart(self, interlock_in: Interlock, tmp_path: Path) -> None:
        (tmp_path / "shop.py").write_text(TWICE)
        assert [issue["location"]["lines"]["begin"] for issue in issues(interlock_in)] == [4, 9]

    def test_a_fingerprint_stays_when_lines_move(self, interlock_in: Interlock, tmp_path: Path) -> None:
        (tmp_path / "shop.py").write_text(BAD)
        before = [issue["fingerprint"] for issue in issues(interlock_in)]
        (tmp_path / "shop.py").write_text("# one\n# more\n" + BAD)
        assert [issue["fingerprint"] for issue in issues(interlock_in)] == before

    def test_what_was_not_checked_is_no_empty_report(self, interlock_in: Interlock, tmp_path: Path) -> None:
        (tmp_path / "broken.py").write_text("x = (\n")
        [issue] = issues(interlock_in)
        assert (issue["severity"], issue["check_name"]) == ("info", "interlock/not-checked")

    def test_nothing_found_is_an_empty_list(self, interlock_in: Interlock, tmp_path: Path) -> None:
        (tmp_path / "shop.py").write_text("x = 1\n")
        assert issues(interlock_in) == []


class TestGitHub:
    def test_a_finding_is_an_error_at_its_place(self, interlock_in: Interlock, tmp_path: Path) -> None:
        (tmp_path / "shop.py").write_text(BAD)
        [found] = commands(interlock_in)
        assert found["name"] == "error"
        assert (found["file"], found["line"], found["endLine"], found["col"]) == ("shop.py", "4", "4", "16")
        assert found["title"] == HAZARD
        assert "tells time by the second" in found["message"]

    def test_no_name_of_a_file_ends_a_command(self, interlock_in: Interlock, tmp_path: Path) -> None:
        name = "a,line=1::error::100%\n::set-env.py"
        (tmp_path / name).write_text(BAD)
        [found] = commands(interlock_in)
        assert (found["file"], found["line"]) == (name, "4")

    def test_what_was_not_checked_is_a_warning(self, interlock_in: Interlock, tmp_path: Path) -> None:
        (tmp_path / "broken.py").write_text("x = (\n")
        [found] = commands(interlock_in)
        assert (found["name"], found["file"], found["line"], found["title"]) == ("warning", "broken.py", "1", "not checked")


def test_what_is_excluded_is_left_out_where_it_is_named_if_that_is_wanted(interlock_in: Interlock, tmp_path: Path) -> None:
    (tmp_path / "interlock.toml").write_text('[check]\nexclude = [{ path = "vendor/**", reason = "not ours" }]\n')
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "shop.py").write_text(BAD)
    assert interlock_in("check", "vendor/shop.py").code == 1
    assert interlock_in("check", "--force-exclude", "vendor/shop.py").code == 0
