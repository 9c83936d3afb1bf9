"""What an edit would make of a file, and which commands leave out git's hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from interlock.cli.hook.bypass import bypass_in
from interlock.cli.hook.edits import edit_of
from interlock.cli.hook.event import Event
from interlock.cli.hook.told import cut
from interlock.core.errors import WorldError

if TYPE_CHECKING:
    from pathlib import Path


def made(folder: Path, before: bytes | None, **asked: Any) -> bytes | None:  # noqa: ANN401 - what a tool is asked can be anything.
    """What a file says after an edit; None if the edit cannot be told."""
    if before is not None:
        (folder / "shop.py").write_bytes(before)
    edit = edit_of(Event({"file_path": str(folder / "shop.py"), **asked}), folder)
    assert edit is None or edit.before == before
    return edit.after if edit else None


@pytest.mark.parametrize(
    ("before", "asked", "after"),
    [
        (None, {"content": "x = 1\n"}, b"x = 1\n"),
        (b"y = 2\n", {"content": "x = 1\n"}, b"x = 1\n"),
        (b"y = 2\n", {"contents": ""}, b""),
        (b"a = b\na = b\n", {"old_string": "b", "new_string": "c"}, b"a = c\na = b\n"),
        (b"a = b\na = b\n", {"old_string": "b", "new_string": "c", "replace_all": True}, b"a = c\na = c\n"),
        (b"a = 1\r\nb = 2\r\n", {"old_string": "a = 1\nb", "new_string": "c"}, b"c = 2\n"),
        (b"a = '\xff'\n", {"old_string": "a", "new_string": "b"}, b"b = '\xff'\n"),
        (None, {"old_string": "", "new_string": "x = 1\n"}, b"x = 1\n"),
        (b"x", {"edits": [{"old_string": "x", "new_string": "y"}, {"old_string": "y", "new_string": "z"}]}, b"z"),
        (b"x", {"old_string": "", "new_string": "y"}, None),
        (b"x", {"old_string": "y", "new_string": "z"}, None),
        (b"x", {"edits": [{"old_string": "x", "new_string": "y"}, {"old_string": "x", "new_string": "z"}]}, None),
        (b"x", {"patch": "@@"}, None),
    ],
)
def test_what_a_file_says_after_an_edit(
    tmp_path: Path, before: bytes | None, asked: dict[str, Any], after: bytes | None
) -> None:
    assert made(tmp_path, before, **asked) == after


def test_an_input_without_a_file_is_no_edit(tmp_path: Path) -> None:
    assert edit_of(Event({"command": "ls"}), tmp_path) is None


@pytest.mark.parametrize(
    "fields", [{"file_path": 7, "content": "x"}, {"file_path": "a.py", "edits": "x"}, {"file_path": "a.py", "edits": [1]}]
)
def test_a_field_of_another_type_is_named(tmp_path: Path, fields: dict[str, Any]) -> None:
    with pytest.raises(WorldError, match=r"file_path 7; expected a text|edits .*; expected (a list|an object)"):
        edit_of(Event(fields), tmp_path)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("git commit --no-verify -m x", "--no-verify"),
        ("git commit -n", "-n"),
        ("git commit -anm 'a message'", "-anm"),
        ("cd shop && git add . && git commit -m 'x' --no-verify", "--no-verify"),
        ("git -C shop push --no-verify", "--no-verify"),
        ("GIT_AUTHOR_NAME=x /usr/bin/git commit -qn", "-qn"),
        ("git -c core.hooksPath=/dev/null commit -m x", "-c core.hooksPath=/dev/null"),
        ("true\ngit commit -n", "-n"),
        ("git commit -m '--no-verify is forbidden'", None),
        ("git commit -m --no-verify", None),
        ("git commit -mn", None),
        ("git commit -- -n", None),
        ("git push -n", None),
        ("git log -n 3", None),
        ("grep -n git commit", None),
        ("echo 'git commit -n'", None),
        ("git commit -m 'not closed -n", None),
        ("git", None),
        ("ls", None),
    ],
)
def test_a_command_that_leaves_out_the_hooks_of_git_is_known(command: str, words: str | None) -> None:
    assert bypass_in(command) == words


def test_no_more_is_said_than_an_assistant_is_shown() -> None:
    lines = [f"shop.py:{number}: " + "x" * 200 for number in range(100)]
    told = cut(lines)
    assert len(told) <= 10_000
    assert told.startswith(lines[0] + "\n")
    kept = told.count("\n")
    assert told.endswith(f"... and {100 - kept} more lines; `interlock check` prints them all")
    assert cut(lines[:3]) == "\n".join(lines[:3])
    assert len(cut(["x" * 20_000])) < 10_000
