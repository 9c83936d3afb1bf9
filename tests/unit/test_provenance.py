from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from interlock.check.repository import Commit
from interlock.core.verdict import Verdict
from interlock.gate.change import Change
from interlock.gate.questions.reviewed import ask
from interlock.gate.reviews.load import load
from interlock.gate.reviews.provenance import marks, provenance
from interlock.gate.reviews.traces import FILE, traced

if TYPE_CHECKING:
    from tests.conftest import Git

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


SESSIONS = {
    "schema_version": "authorship/3.0.0",
    "sessions": {"s_0123456789abcd": {"agent_id": {"tool": "cursor", "model": "m"}}},
}


def test_a_note_names_the_tool_of_its_sessions() -> None:
    written = commit(note=f"shop/pay.py\n  s_0123456789abcd::t_0123456789abcd 1-12\n---\n{json.dumps(SESSIONS)}")
    assert [found.tool for found in provenance([written])] == ["cursor"]


@pytest.mark.parametrize(
    "note",
    [
        f"---\n{json.dumps(SESSIONS)}",
        "\n---\n{broken",
        "\n---\n[1]",
        '\n---\n{"sessions": [], "prompts": {}}',
        "a.py\n  h_0123456789abcd 1-12\n---\n{}",
    ],
)
def test_a_note_that_cannot_be_read_or_attributes_nothing_says_nothing(note: str) -> None:
    assert provenance([commit(note=note)]) == []


def record(whole: dict[str, str], path: str = "shop/pay.py", revision: str = "", **ranges: object) -> str:
    """A line of a trace file."""
    conversation = {"contributor": whole, "ranges": [{"start_line": 1, "end_line": 2, **ranges}]}
    file = {"path": path, "conversations": [conversation]}
    return json.dumps(
        {"version": "0.1.0", "tool": {"name": "cursor"}, "vcs": {"type": "git", "revision": revision}, "files": [file]}
    )


def marked(git: Git, head: str, base: str = "", local: str = "") -> list[str]:
    """The marks of a change to shop/pay.py, with this trace file at its head, at its base and in the work tree."""
    git.commit({FILE: base, "shop/pay.py": "x = 1\n"})
    git.branch("change")
    git.commit({FILE: head, "shop/pay.py": "x = 2\n"})
    git.write({FILE: local.replace("START", git("rev-parse", "main"))})
    return [str(found) for found in traced(Change.between(git.repository, "main", "HEAD"))]


AI = {"type": "ai", "model_id": "anthropic/m"}
HUMAN = {"type": "human"}


@pytest.mark.parametrize(
    ("head", "base", "local"),
    [
        pytest.param(record(AI), "", "", id="the change brings it"),
        pytest.param(record({"type": "mixed"}), "", "", id="a person and an assistant"),
        pytest.param(record(HUMAN, contributor=AI), "", "", id="of one range, an assistant"),
        pytest.param(f"{{broken\n[]\n{record(AI)}", "", "", id="beside lines that cannot be read"),
        pytest.param("", "", record(AI, revision="START"), id="in the work tree, made where the change began"),
    ],
)
def test_a_trace_of_an_assistant_is_a_mark(git: Git, head: str, base: str, local: str) -> None:
    (line,) = marked(git, head, base, local)
    assert line.startswith("shop/pay.py: cursor (lines are ")


@pytest.mark.parametrize(
    ("head", "base", "local"),
    [
        pytest.param(record(HUMAN), "", "", id="of a person"),
        pytest.param(record(AI, contributor=HUMAN), "", "", id="of one range, a person"),
        pytest.param(record(AI, path="shop/other.py"), "", "", id="of a file that it does not touch"),
        pytest.param(record(AI), record(AI), "", id="it was there before"),
        pytest.param("", "", record(AI, revision="0" * 40), id="in the work tree, of another change"),
        pytest.param('{"files": 3}\n{"files": [3]}\n{"files": [{"conversations": "x"}]}\nnull', "", "", id="of another form"),
    ],
)
def test_a_trace_that_is_no_mark(git: Git, head: str, base: str, local: str) -> None:
    assert marked(git, head, base, local) == []


def test_a_trace_of_a_person_makes_nothing_easier(git: Git) -> None:
    marked(git, record(HUMAN))
    answer = ask(Change.between(git.repository, "main", "HEAD"))
    assert answer.verdict is Verdict.UNKNOWN
    assert "1 person must approve" in answer.answer
    assert "no mark of an assistant" in answer.answer


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
