from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from interlock.check.repository import Commit
from interlock.gate.reviews.load import load
from interlock.gate.reviews.provenance import marks, provenance

NOTE = 'shop/pay.py\n  s_0123456789abcd::t_0123456789abcd 1-12\n---\n{"schema_version": "authorship/3.0.0"}'
NOTE_OF_A_PERSON = 'shop/pay.py\n  h_0123456789abcd 1-12\n---\n{"schema_version": "authorship/3.0.0", "prompts": {}}'


def commit(message: str = "Mend it", **changed: object) -> Commit:
    usual: dict[str, Any] = {
        "name": "0" * 40,
        "author": "Ada",
        "author_email": "ada@shop.example",
        "authored_at": datetime(2026, 11, 26, tzinfo=UTC),
        "committer": "Ada",
        "committer_email": "ada@shop.example",
        "note": "",
    }
    usual.update(changed)
    return Commit(message=message, **usual)


@pytest.mark.parametrize(
    ("written", "tool"),
    [
        (commit("Mend it\n\nCo-Authored-By: Claude Sonnet 5 <noreply@anthropic.com>"), "Claude Code"),
        (commit("Mend it (#7)\n\n* one\n\nco-authored-by: Claude <NoReply@Anthropic.com>\n\n* two"), "Claude Code"),
        (commit("Mend it\n\nClaude-Session: https://claude.ai/code/session_1"), "Claude Code"),
        (commit("Mend it\n\n🤖 Generated with [Claude Code](https://claude.com/claude-code)"), "Claude Code"),
        (commit("Mend it\n\nCo-authored-by: Codex <noreply@openai.com>"), "Codex"),
        (commit("Mend it\n\nCo-authored-by: Cursor <cursoragent@cursor.com>"), "Cursor"),
        (commit("Mend it\n\nCo-authored-by: aider (gpt-5) <aider@aider.chat>"), "Aider"),
        (commit(author="Ada (aider)"), "Aider"),
        (commit("aider: mend it"), "Aider"),
        (commit(author_email="198982749+Copilot@users.noreply.github.com"), "GitHub Copilot"),
        (commit(committer="devin-ai-integration[bot]"), "Devin"),
        (commit("Mend it\n\nAssisted-by: Copilot:GPT-5.4 [coccinelle]"), "another assistant"),
        (commit("Mend it\n\nReplit-Commit-Author: Agent"), "another assistant"),
        (commit(note=NOTE), "git-ai"),
    ],
)
def test_a_mark_is_found_wherever_its_tool_leaves_it(written: Commit, tool: str) -> None:
    assert [found.tool for found in provenance([written])] == [tool]


@pytest.mark.parametrize(
    "written",
    [
        commit("Mend the cursor: it blinks\n\nCo-authored-by: Bo <bo@shop.example>"),
        commit("Document how to turn off attribution\n\nSee noreply@anthropic.com in the settings."),
        commit("Mend it\n\nAssisted-by: Cy Twombly <cy@shop.example>"),
        commit("Mend it\n\nAi-assisted: false"),
        commit("Repair what aider: wrote"),
        commit(author="Claude Monet", author_email="claude@shop.example"),
        commit(note=NOTE_OF_A_PERSON),
    ],
)
def test_what_people_write_has_no_mark(written: Commit) -> None:
    assert provenance([written]) == []


def test_the_name_of_a_branch_tells_as_well() -> None:
    assert [str(found) for found in provenance([], "codex/mend-it")] == ["the branch: Codex (it is called codex/mend-it)"]
    assert provenance([], "claudette") == []


def test_one_tool_is_told_once_a_commit() -> None:
    written = commit("Mend it\n\nClaude-Session: s\nCo-Authored-By: Claude <noreply@anthropic.com>")

    assert len(provenance([written, written])) == 1


def test_every_mark_says_when_it_was_seen() -> None:
    assert all(datetime.strptime(mark.seen, "%Y-%m").replace(tzinfo=UTC).year >= 2026 for mark in marks())


@pytest.mark.parametrize(
    ("lines", "written_s", "told"),
    [
        (400, 0, "400 lines to read, about 1 h"),
        (1240, 720, "1,240 lines to read, about 3 h 6 min; written within 12 min"),
        (1, 0, "1 line to read, about 1 min"),
    ],
)
def test_reading_takes_longer_than_writing(lines: int, written_s: float, told: str) -> None:
    assert load(lines, written_s) == told
