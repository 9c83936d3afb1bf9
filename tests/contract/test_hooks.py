"""`interlock hook`, held against what the assistants document of their hooks.

Claude Code: https://code.claude.com/docs/en/hooks (August 2026). Cursor: https://cursor.com/docs/agent/hooks (September 2026).
The schemas below are those of the answers that we use, in the words of these pages.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # It ships no types.

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Git, Interlock

CLEAN = "def new_order(user):\n    return user.next_order()\n"
BAD = "import time\n\ndef new_order(user):\n    order_id = f'{user.id}-{int(time.time())}'\n    return order_id\n"
HAZARD = "identity/coarse-clock"
TEXT = {"type": "string", "minLength": 1, "maxLength": 10_000}

CLAUDE: dict[str, Any] = {
    "oneOf": [
        {
            "type": "object",
            "required": ["hookSpecificOutput"],
            "additionalProperties": False,
            "properties": {
                "hookSpecificOutput": {
                    "oneOf": [
                        {
                            "required": ["hookEventName", "permissionDecision", "permissionDecisionReason"],
                            "additionalProperties": False,
                            "properties": {
                                "hookEventName": {"const": "PreToolUse"},
                                "permissionDecision": {"enum": ["allow", "deny", "ask", "defer"]},
                                "permissionDecisionReason": TEXT,
                            },
                        },
                        {
                            "required": ["hookEventName", "additionalContext"],
                            "additionalProperties": False,
                            "properties": {"hookEventName": {"enum": ["PreToolUse", "PostToolUse"]}, "additionalContext": TEXT},
                        },
                    ]
                }
            },
        },
        {
            "type": "object",
            "required": ["decision", "reason"],
            "additionalProperties": False,
            "properties": {"decision": {"const": "block"}, "reason": TEXT},
        },
        {
            "type": "object",
            "required": ["systemMessage"],
            "additionalProperties": False,
            "properties": {"systemMessage": TEXT},
        },
    ]
}
CURSOR: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "permission": {"enum": ["allow", "deny"]},
        "user_message": TEXT,
        "agent_message": TEXT,
        "additional_context": TEXT,
        "followup_message": TEXT,
    },
}


@dataclass(frozen=True)
class Answered:
    """How an event was answered."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> dict[str, Any]:
        """The answer, which is empty where nothing was printed."""
        return dict(json.loads(self.out)) if self.out else {}


def answer(interlock: Interlock, assistant: str, event: dict[str, Any] | str) -> Answered:
    """What the command makes of an event, and that the answer is one that the assistant knows."""
    given = event if isinstance(event, str) else json.dumps(event)
    done = subprocess.run(
        [*interlock.command, "hook", assistant],
        cwd=interlock.folder,
        input=given,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode != 2, "both assistants would refuse to go on"
    if done.stdout:
        assert done.stdout.startswith("{")
        contract: Any = Draft202012Validator(CLAUDE if assistant == "claude" else CURSOR)
        contract.validate(json.loads(done.stdout))
    return Answered(done.returncode, done.stdout, done.stderr)


def claude(folder: Path, name: str, **fields: object) -> dict[str, Any]:
    """An event of Claude Code, with the fields that are common to all."""
    common = {"session_id": "abc123", "transcript_path": "/x.jsonl", "permission_mode": "default", "cwd": str(folder)}
    return {**common, "hook_event_name": name, **fields}


def cursor(folder: Path, name: str, **fields: object) -> dict[str, Any]:
    """An event of Cursor, with the fields that are common to all."""
    common = {"conversation_id": "c", "generation_id": "g", "model": "m", "cursor_version": "3.9.16", "user_email": None}
    return {**common, "workspace_roots": [str(folder)], "hook_event_name": name, **fields}


def write(folder: Path, content: str, tool: str = "Write", name: str = "shop.py") -> dict[str, Any]:
    """Claude Code is about to write a file."""
    asked = {"file_path": str(folder / name), "content": content}
    return claude(folder, "PreToolUse", tool_name=tool, tool_input=asked, tool_use_id="toolu_1")


def edit(folder: Path, old: str, new: str) -> dict[str, Any]:
    """Claude Code is about to replace a text."""
    asked = {"file_path": str(folder / "shop.py"), "old_string": old, "new_string": new, "replace_all": False}
    return claude(folder, "PreToolUse", tool_name="Edit", tool_input=asked, tool_use_id="toolu_1")


class TestClaudeBeforeAnEdit:
    def test_a_file_with_a_hazard_is_refused_with_the_reason(self, interlock_in: Interlock, tmp_path: Path) -> None:
        answered = answer(interlock_in, "claude", write(tmp_path, BAD))
        said = answered.said["hookSpecificOutput"]
        assert answered.code == 0
        assert said["permissionDecision"] == "deny"
        assert f"shop.py:4:16: {HAZARD}" in said["permissionDecisionReason"]
        assert said["permissionDecisionReason"] in answered.err, "it is mirrored on stderr"
        assert not (tmp_path / "shop.py").exists()

    def test_a_file_without_one_goes_its_way_and_no_question_is_skipped(self, interlock_in: Interlock, tmp_path: Path) -> None:
        assert answer(interlock_in, "claude", write(tmp_path, CLEAN)) == Answered(0, "", "")

    def test_an_edit_that_adds_one_is_refused(self, interlock_in: Interlock, tmp_path: Path) -> None:
        (tmp_path / "shop.py").write_text(BAD.replace("int(time.time())", "user.count"))
        answered = answer(interlock_in, "claude", edit(tmp_path, "user.count", "int(time.time())"))
        assert answered.said["hookSpecificOutput"]["permissionDecision"] == "deny"

    def test_an_edit_of_several_steps_that_adds_one_is_refused(self, interlock_in: Interlock, tmp_path: Path) -> None:
        (tmp_path / "shop.py").write_text("def new_order(user):\n    return 1\n")
        steps = [
            {"old_string": "    return 1", "new_string": "    order_id = f'{user.id}-{int(time.time())}'\n    return order_id"},
            {"old_string": "def new_order", "new_string": "import time\n\ndef new_order"},
        ]
        asked = {"file_path": str(tmp_path / "shop.py"), "edits": steps}
        event = claude(tmp_path, "PreToolUse", tool_name="MultiEdit", tool_input=asked)
        assert answer(interlock_in, "claude", event).said["hookSpecificOutput"]["permissionDecision"] == "deny"

    def test_one_that_stood_there_before_is_not_held_against_an_edit(self, interlock_in: Interlock, tmp_path: Path) -> None:
        (tmp_path / "shop.py").write_text(BAD)
        answered = answer(interlock_in, "claude", edit(tmp_path, "import time\n", "import time\nimport logging\n"))
        assert answered == Answered(0, "", "")

    def test_a_half_written_file_is_no_hazard(self, interlock_in: Interlock, tmp_path: Path) -> None:
        assert answer(interlock_in, "claude", write(tmp_path, "def f(:\n")) == Answered(0, "", "")

    def test_what_the_project_leaves_out_and_what_is_no_python_is_let_through(
        self, interlock_in: Interlock, tmp_path: Path
    ) -> None:
        (tmp_path / "interlock.toml").write_text('[check]\nexclude = [{ path = "vendor/**", reason = "not ours" }]\n')
        for name in ("vendor/shop.py", "shop.md", "tests/test_shop.py"):
            assert answer(interlock_in, "claude", write(tmp_path, BAD, name=name)) == Answered(0, "", ""), name

    def test_a_finding_that_is_accepted_with_a_reason_is_let_through(self, interlock_in: Interlock, tmp_path: Path) -> None:
        accepted = BAD.replace("'\n    return", f"'  # interlock: ignore[{HAZARD}]: shown to people\n    return")
        assert accepted != BAD
        assert answer(interlock_in, "claude", write(tmp_path, accepted)).out == ""

    def test_other_tools_are_none_of_our_business(self, interlock_in: Interlock, tmp_path: Path) -> None:
        assert answer(interlock_in, "claude", write(tmp_path, BAD, tool="Read")) == Answered(0, "", "")

    def test_a_commit_without_its_hooks_is_told_of_and_not_refused(self, interlock_in: Interlock, tmp_path: Path) -> None:
        asked = {"command": "git commit --no-verify -m x", "description": "Commit", "run_in_background": False}
        event = claude(tmp_path, "PreToolUse", tool_name="Bash", tool_input=asked)
        said = answer(interlock_in, "claude", event).said["hookSpecificOutput"]
        assert "(--no-verify)" in said["additionalContext"]
        assert "permissionDecision" not in said
        event["tool_input"]["command"] = "git commit -m x"
        assert answer(interlock_in, "claude", event) == Answered(0, "", "")


class TestClaudeAfterAnEdit:
    def event(self, folder: Path) -> dict[str, Any]:
        asked = {"file_path": str(folder / "shop.py"), "content": "not looked at: the file is"}
        response = {"filePath": asked["file_path"], "success": True}
        return claude(folder, "PostToolUse", tool_name="Write", tool_input=asked, tool_response=response, duration_ms=12)

    def test_what_is_new_since_the_last_commit_is_said(self, interlock_in: Interlock, git: Git) -> None:
        git.commit({"shop.py": CLEAN})
        git.write({"shop.py": BAD})
        said = answer(interlock_in, "claude", self.event(git.root)).said["hookSpecificOutput"]
        assert f"shop.py:4:16: {HAZARD}" in said["additionalContext"]

    def test_what_was_committed_before_is_not(self, interlock_in: Interlock, git: Git) -> None:
        git.commit({"shop.py": BAD})
        git.write({"shop.py": "import logging\n" + BAD})
        assert answer(interlock_in, "claude", self.event(git.root)) == Answered(0, "", "")

    def test_outside_a_repository_everything_is_new(self, interlock_in: Interlock, tmp_path: Path) -> None:
        (tmp_path / "shop.py").write_text(BAD)
        assert HAZARD in answer(interlock_in, "claude", self.event(tmp_path)).out

    def test_a_file_that_cannot_be_parsed_is_said_to_be_unchecked(self, interlock_in: Interlock, tmp_path: Path) -> None:
        (tmp_path / "shop.py").write_text("x = (\n")
        said = answer(interlock_in, "claude", self.event(tmp_path)).said["hookSpecificOutput"]
        assert said["additionalContext"].startswith("Not checked: shop.py:1: cannot be parsed")

    def test_a_file_that_is_gone_again_is_nothing(self, interlock_in: Interlock, tmp_path: Path) -> None:
        assert answer(interlock_in, "claude", self.event(tmp_path)) == Answered(0, "", "")


class TestClaudeAtTheEnd:
    def test_what_came_in_through_the_shell_keeps_it_at_work_once(self, interlock_in: Interlock, git: Git) -> None:
        git.commit({"shop.py": CLEAN})
        git.write({"new.py": BAD})
        said = answer(interlock_in, "claude", claude(git.root, "Stop", stop_hook_active=False)).said
        assert said["decision"] == "block"
        assert f"new.py:4:16: {HAZARD}" in said["reason"]
        again = answer(interlock_in, "claude", claude(git.root, "Stop", stop_hook_active=True)).said
        assert set(again) == {"systemMessage"}, "the person is told, the assistant may stop"

    @pytest.mark.parametrize("content", [CLEAN, "x = (\n"])
    def test_without_a_finding_it_may_stop(self, interlock_in: Interlock, git: Git, content: str) -> None:
        git.commit({"old.py": BAD})
        git.write({"new.py": content})
        assert answer(interlock_in, "claude", claude(git.root, "Stop", stop_hook_active=False)) == Answered(0, "", "")

    def test_before_the_first_commit_every_file_counts(self, interlock_in: Interlock, git: Git) -> None:
        git.write({"new.py": BAD})
        assert answer(interlock_in, "claude", claude(git.root, "Stop")).said["decision"] == "block"

    def test_in_no_repository_nobody_knows_what_is_new(self, interlock_in: Interlock, tmp_path: Path) -> None:
        (tmp_path / "shop.py").write_text(BAD)
        assert answer(interlock_in, "claude", claude(tmp_path, "Stop")) == Answered(0, "", "")


class TestCursor:
    def before(self, folder: Path, content: str) -> dict[str, Any]:
        asked = {"file_path": str(folder / "shop.py"), "content": content}
        return cursor(folder, "preToolUse", tool_name="Write", tool_input=asked, tool_use_id="tool_1", cwd="")

    def test_a_file_with_a_hazard_is_refused(self, interlock_in: Interlock, tmp_path: Path) -> None:
        answered = answer(interlock_in, "cursor", self.before(tmp_path, BAD))
        assert answered.said["permission"] == "deny"
        assert HAZARD in answered.said["user_message"]
        assert answered.said["user_message"] in answered.err

    def test_everything_else_is_neither_refused_nor_allowed(self, interlock_in: Interlock, tmp_path: Path) -> None:
        assert answer(interlock_in, "cursor", self.before(tmp_path, CLEAN)).said == {}
        unknown = cursor(tmp_path, "preToolUse", tool_name="Write", tool_input={"path": "shop.py", "diff": "+" + BAD})
        assert answer(interlock_in, "cursor", unknown).out == "{}\n"

    def test_after_an_edit_what_is_new_is_said(self, interlock_in: Interlock, git: Git) -> None:
        git.commit({"shop.py": CLEAN})
        git.write({"shop.py": BAD})
        event = cursor(git.root, "postToolUse", tool_name="Write", tool_input={"file_path": "shop.py"}, tool_output="{}")
        assert HAZARD in answer(interlock_in, "cursor", event).said["additional_context"]
        edited = cursor(git.root, "afterFileEdit", file_path=str(git.root / "shop.py"), edits=[])
        answered = answer(interlock_in, "cursor", edited)
        assert answered.said == {}
        assert HAZARD in answered.err

    def test_at_the_end_what_is_new_is_sent_once(self, interlock_in: Interlock, git: Git) -> None:
        git.write({"new.py": BAD})
        first = answer(interlock_in, "cursor", cursor(git.root, "stop", status="completed", loop_count=0)).said
        assert f"new.py:4:16: {HAZARD}" in first["followup_message"]
        assert answer(interlock_in, "cursor", cursor(git.root, "stop", status="completed", loop_count=1)).said == {}
        assert answer(interlock_in, "cursor", cursor(git.root, "stop", status="aborted", loop_count=0)).said == {}

    def test_a_commit_without_its_hooks_is_told_of_on_stderr(self, interlock_in: Interlock, tmp_path: Path) -> None:
        event = cursor(tmp_path, "beforeShellExecution", command="git commit -n -m x", cwd="", sandbox=False)
        answered = answer(interlock_in, "cursor", event)
        assert answered.said == {}
        assert "(-n)" in answered.err


class TestAHookThatCannotWork:
    @pytest.mark.parametrize("assistant", ["claude", "cursor"])
    @pytest.mark.parametrize(
        "given",
        [
            "",
            "{",
            "[]",
            "\udcff".encode(errors="surrogateescape").decode("latin-1"),
            "{}",
            '{"hook_event_name": 7}',
            '{"hook_event_name": "PreToolUse", "tool_name": "Write", "tool_input": {"file_path": []}}',
            '{"hook_event_name": "preToolUse", "tool_input": {"file_path": []}}',
        ],
    )
    def test_blocks_nobody_and_says_why(self, interlock_in: Interlock, assistant: str, given: str) -> None:
        answered = answer(interlock_in, assistant, given)
        if '"PreToolUse"' in given and assistant == "cursor":
            assert (answered.code, answered.said) == (0, {})  # An event of somebody else's.
        elif '"preToolUse"' in given and assistant == "claude":
            assert (answered.code, answered.out) == (0, "")
        else:
            assert (answered.code, answered.out) == (3, "")
            assert answered.err.startswith("interlock: unknown: the event")

    @pytest.mark.parametrize("assistant", ["claude", "cursor"])
    def test_an_event_that_is_new_to_us_is_let_pass(self, interlock_in: Interlock, tmp_path: Path, assistant: str) -> None:
        event = claude(tmp_path, "SomethingNew") if assistant == "claude" else cursor(tmp_path, "somethingNew")
        answered = answer(interlock_in, assistant, event)
        assert (answered.code, answered.said, answered.err) == (0, {}, "")

    def test_a_mistake_in_the_settings_refuses_no_edit(self, interlock_in: Interlock, tmp_path: Path) -> None:
        (tmp_path / "interlock.toml").write_text("[chekc]\n")
        answered = answer(interlock_in, "claude", write(tmp_path, BAD))
        assert (answered.code, answered.out) == (3, "")
        assert "did you mean 'check'?" in answered.err

    def test_a_mistake_in_what_the_gate_alone_reads_lets_no_hazard_pass(self, interlock_in: Interlock, tmp_path: Path) -> None:
        (tmp_path / "interlock.toml").write_text('[[feature]]\nname = "payments"\n')
        answered = answer(interlock_in, "claude", write(tmp_path, BAD))
        assert answered.code == 0
        assert answered.said["hookSpecificOutput"]["permissionDecision"] == "deny"
        assert interlock_in("check", "shop.py").code == 2

    def test_nor_does_a_mistake_on_its_command_line(self, interlock_in: Interlock) -> None:
        for wrong in (["hook", "clyde"], ["hook"], ["hook", "claude", "--wrong"], ["-q", "hook", "--wrong"]):
            ran = interlock_in(*wrong)
            assert ran.code == 3
            assert ran.err

    def test_a_file_that_cannot_be_read_is_unknown(self, interlock_in: Interlock, tmp_path: Path) -> None:
        (tmp_path / "shop.py").mkdir()
        answered = answer(interlock_in, "claude", edit(tmp_path, "a", "b"))
        assert (answered.code, answered.out) == (3, "")
        assert "shop.py cannot be read" in answered.err
