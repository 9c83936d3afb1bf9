"""What we take git's answers to mean, held against the real git."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from interlock.check.discovery import discover
from interlock.check.repository import Change, Repository
from interlock.core.errors import UsageError, WorldError
from interlock.gate.change import changed_lines

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Git

ODD_NAMES = [
    "with blank.py",
    "new\nline.py",
    "tab\t.py",
    'quo"te.py',
    "zażółć.py",
    "de\u0301composed.py",
    "🚀.py",
    "b\udcffytes.py",  # the byte 0xff, as Python spells what is not UTF-8
    "-option.py",
    "sta*r.py",
    "[1].py",
    ":(glob)magic.py",
    "back\\slash.py",
    "HEAD",
]

# What a user may have in a configuration of their own, and what must not change an answer.
SETTINGS_OF_A_USER = {
    "color.ui": "always",
    "color.grep": "always",
    "core.quotePath": "true",
    "diff.context": "20",
    "diff.external": "false",
    "diff.interHunkContext": "20",
    "diff.mnemonicPrefix": "true",
    "diff.noprefix": "true",
    "diff.renames": "copies",
    "diff.rot13.textconv": "tr a-z n-za-m",
    "grep.column": "true",
    "grep.lineNumber": "true",
    "grep.patternType": "extended",
    "status.showUntrackedFiles": "no",
}


def paths_of(changes: list[Change]) -> dict[str, str]:
    """The changed files with what happened to them."""
    return {change.path: change.status for change in changes}


def test_files_are_what_git_tracks_or_would(git: Git) -> None:
    git.commit({".gitignore": "*.log\nbuild/\n", "a.py": "", "shop/b.py": "", "shop/.gitignore": "secret.py\n"})
    git.write({"new.py": "", "x.log": "", "build/c.py": "", "shop/secret.py": "", "shop/new.py": ""})
    assert git.repository.files(git.root) == [".gitignore", "a.py", "new.py", "shop/.gitignore", "shop/b.py", "shop/new.py"]
    assert git.repository.files(git.root / "shop") == [".gitignore", "b.py", "new.py"]


def test_a_file_that_is_tracked_and_ignored_is_one_of_them(git: Git) -> None:
    git.write({"a.py": "", ".gitignore": "a.py\n"})
    git("add", "--force", "a.py")
    assert "a.py" in git.repository.files(git.root)


def test_a_file_that_is_gone_is_not_looked_for(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    git.commit({"a.py": "", "b.py": ""})
    git.write({"b.py": None})
    monkeypatch.chdir(git.root)
    found = discover(["."])
    assert (found.files, found.problems) == (["a.py"], [])


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_go_there_and_back(git: Git, name: str) -> None:
    start = git.commit()
    git.write({name: "1\n"})
    assert git.repository.files(git.root) == [name]
    assert paths_of(git.repository.changes(start)) == {name: "A"}
    git.commit()
    git.write({name: "1\n2\n", "other.py": "1\n2\n3\n", "star.py": "1\n"})
    end = git.commit()
    assert git.repository.contents(end, [name]) == {name: b"1\n2\n"}
    assert name in git.repository.mentioning(end, ["2"])


def test_changes_between_two_commits_and_to_the_work_tree(git: Git) -> None:
    start = git.commit({"same.py": "", "changed.py": "1", "gone.py": "", "linked.py": "x"})
    git.write({"changed.py": "2", "gone.py": None, "linked.py": None, "fresh.py": ""})
    (git.root / "linked.py").symlink_to("same.py")
    expected = {"changed.py": "M", "gone.py": "D", "linked.py": "T", "fresh.py": "A"}
    assert paths_of(git.repository.changes(start)) == expected
    end = git.commit()
    assert paths_of(git.repository.changes(start, end)) == expected
    assert git.repository.changes(end) == []


def test_what_was_staged_and_what_was_not_are_both_in_the_work_tree(git: Git) -> None:
    start = git.commit({".gitignore": "ignored.py", "a.py": "", "b.py": ""})
    git.write({"a.py": "1", "b.py": "1", "c.py": "1", "ignored.py": "1"})
    git("add", "a.py", "c.py")
    assert paths_of(git.repository.changes(start)) == {"a.py": "M", "b.py": "M", "c.py": "A"}


def test_a_renamed_file_is_one_gone_and_one_added(git: Git) -> None:
    start = git.commit({"old.py": "1\n2\n3\n"})
    git("mv", "old.py", "new.py")
    assert paths_of(git.repository.changes(start, git.commit())) == {"old.py": "D", "new.py": "A"}


def test_contents_are_those_of_plain_files(git: Git) -> None:
    git.write({"text.py": "1\n", "empty.py": "", "binary.py": bytes(range(256)), "no newline": "x", "folder/inner.py": "2\n"})
    (git.root / "link.py").symlink_to("text.py")
    git.commit()
    git("update-index", "--add", "--cacheinfo", f"160000,{git('rev-parse', 'HEAD')},submodule.py")
    git("commit", "--quiet", "--message=a submodule")
    asked = [
        "text.py",
        "empty.py",
        "binary.py",
        "no newline",
        "missing.py",
        "link.py",
        "submodule.py",
        "folder",
        "folder/inner.py",
    ]
    assert git.repository.contents("HEAD", asked) == {
        "text.py": b"1\n",
        "empty.py": b"",
        "binary.py": bytes(range(256)),
        "no newline": b"x",
        "folder/inner.py": b"2\n",
    }
    assert git.repository.contents("HEAD", []) == {}


def test_contents_of_more_files_than_one_command_line_holds(git: Git) -> None:
    files: dict[str, str | bytes | None] = {f"{number}.py": str(number) for number in range(1200)}
    git.commit(files)
    assert git.repository.contents("HEAD", files) == {name: str(content).encode() for name, content in files.items()}


def test_content_that_git_has_lost_is_unknown(git: Git) -> None:
    """As in a partial clone whose server does not answer. To leave the file out would be to let it pass unread."""
    git.commit({"a.py": "1"})
    blob = git("rev-parse", "HEAD:a.py")
    (git.root / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(WorldError, match=r"a\.py"):
        git.repository.contents("HEAD", ["a.py"])


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ("", "1\n2\n", {1, 2}),
        ("1\n2\n3\n", "1\nX\n3\n", {2}),
        ("1\n2\n3\n", "1\n3\n", set[int]()),
        ("1\n3\n", "1\n2\n3\n4\n", {2, 4}),
        ("1\n", "1\n@@ -1 +900,9 @@\n@@\n", {2, 3}),
        (None, "1\n2", {1, 2}),
        ("1\n", None, set[int]()),
    ],
)
def test_new_lines_are_counted_in_the_file_as_it_is(before: str | None, after: str | None, lines: set[int]) -> None:
    assert changed_lines((before or "").encode(), (after or "").encode())[1] == lines


def test_a_text_of_which_every_line_is_alike_is_compared_in_no_time() -> None:
    """Line by line it took minutes. What is not known to be the same is new."""
    old = b"X = [\n" + b"    0,\n" * 12_000 + b"]\n"
    began_s = time.monotonic()
    gone, fresh = changed_lines(old, old.replace(b"    0,\n", b"    1,\n    0,\n", 5_000))
    assert time.monotonic() - began_s < 60
    assert gone >= set()
    assert fresh >= set(range(2, 10_002, 2))
    assert {1, 12_002 + 5_000} & fresh == set[int]()


def test_the_user_s_own_settings_change_no_answer(git: Git) -> None:
    start = git.commit(
        {".gitattributes": "*.py diff=rot13", "a.py": "".join(f"{number}\n" for number in range(1, 10)), "b.py": ""}
    )
    git.write({"a.py": "1\nx\n3\n4\n5\n6\n7\ny\n9\n", "b.py": None, "c.py": "x"})
    for name, value in SETTINGS_OF_A_USER.items():
        git("config", name, value)
    assert paths_of(git.repository.changes(start)) == {"a.py": "M", "b.py": "D", "c.py": "A"}
    end = git.commit()
    assert paths_of(git.repository.changes(start, end)) == {"a.py": "M", "b.py": "D", "c.py": "A"}
    assert git.repository.mentioning(end, ["x"]) == ["a.py", "c.py"]
    assert git.repository.files(git.root) == [".gitattributes", "a.py", "c.py"]


def test_mentioning_takes_a_text_as_it_stands(git: Git) -> None:
    git.commit({"a.py": "f(x.y)\n", "b.py": "fxxxy\n", "shop/c.py": "a-b f(x.y)", "-e": "--all"})
    assert git.repository.mentioning("HEAD", ["f(x.y)"]) == ["a.py", "shop/c.py"]
    assert git.repository.mentioning("HEAD", ["--all"]) == ["-e"]
    assert git.repository.mentioning("HEAD", ["nowhere", "fxxxy"]) == ["b.py"]
    assert git.repository.mentioning("HEAD", []) == []


def test_what_a_repository_holds_runs_nothing(git: Git, tmp_path: Path) -> None:
    """A folder that poses as a repository of its own could name any program as its `core.fsmonitor`."""
    ran = tmp_path / "ran"
    config = f'[core]\nrepositoryformatversion = 0\nworktree = "."\nfsmonitor = "touch {ran}; false"\n'
    git.write({"evil/HEAD": "ref: refs/heads/main\n", "evil/objects/x": "", "evil/refs/x": "", "evil/config": config})
    discover([str(git.root / "evil")])
    assert not ran.exists()


def test_a_name_that_is_a_branch_and_another_tag_is_no_commit(git: Git) -> None:
    git.commit({"a.py": "1"})
    git("tag", "main")
    assert git.repository.commit("main")
    git.commit({"a.py": "2"})
    with pytest.raises(UsageError, match="a branch and a tag"):
        git.repository.commit("main")
    with pytest.raises(UsageError, match="names no commit"):
        git.repository.commit("^HEAD")


@pytest.mark.parametrize("kind", ["tags", "heads"])
def test_a_remote_branch_is_no_name_that_somebody_else_may_take(git: Git, kind: str) -> None:
    """Git prefers the tag, and so would read the settings of whoever pushed one that is called `origin/main`."""
    git.commit({"a.py": "1"})
    git("update-ref", "refs/remotes/origin/main", "HEAD")
    base = git.repository.commit("origin/main")
    git.commit({"a.py": "2"})
    git("update-ref", f"refs/{kind}/origin/main", "HEAD")
    with pytest.raises(UsageError, match="and a remote branch, and they differ"):
        git.repository.commit("origin/main")
    assert git.repository.commit("refs/remotes/origin/main") == base


def test_an_object_that_stands_in_for_another_is_not_read(git: Git) -> None:
    git.commit({"a.py": "bad", "b.py": "good"})
    git("replace", git("rev-parse", "HEAD:a.py"), git("rev-parse", "HEAD:b.py"))
    assert git.repository.contents("HEAD", ["a.py"]) == {"a.py": b"bad"}


def test_where_each_was_merged_into_the_other_it_is_not_known_where_they_parted(git: Git) -> None:
    """What a merge would take back differs from one of the two places, and not from the other one."""
    git.commit({"limit.py": "safe = False"})
    git.branch("change")
    theirs = git.commit({"x": "1"})
    git("checkout", "--quiet", "main")
    ours = git.commit({"limit.py": "safe = True"})
    git("merge", "--quiet", "--no-edit", theirs)
    git("checkout", "--quiet", "change")
    git("merge", "--quiet", "--no-edit", "--strategy=ours", ours)
    with pytest.raises(WorldError, match="merged into each other"):
        git.repository.merge_base("main", "change")
    git("merge", "--quiet", "--no-edit", "main")
    assert git.repository.merge_base("main", "change") == git.repository.commit("main")


def test_a_submodule_is_told_though_it_asks_to_be_ignored(git: Git) -> None:
    start = git.commit({".gitmodules": '[submodule "lib"]\n\tpath = lib\n\turl = ./lib\n\tignore = all\n'})
    git("update-index", "--add", "--cacheinfo", f"160000,{start},lib")
    git("commit", "--quiet", "--message", "lib")
    assert [(change.path, change.is_submodule) for change in git.repository.changes(start, "HEAD")] == [("lib", True)]


def test_the_comparison_starts_where_the_head_left_the_base(git: Git) -> None:
    fork = git.commit({"a.py": ""})
    git.branch("change")
    head = git.commit({"mine.py": ""})
    git("checkout", "--quiet", "main")
    git.commit({"theirs.py": ""})
    start = git.repository.merge_base("main", "change")
    assert start == fork
    assert paths_of(git.repository.changes(start, head)) == {"mine.py": "A"}


def test_without_a_common_history_the_comparison_starts_at_the_base(git: Git) -> None:
    base = git.commit({"a.py": ""})
    git("checkout", "--quiet", "--orphan", "stranger")
    git.commit({"b.py": ""})
    assert git.repository.merge_base("main", "stranger") == base


def test_a_commit_goes_by_many_names(git: Git) -> None:
    commit = git.commit({"a.py": ""})
    git("tag", "--annotate", "v1", "--message=one")
    for name in ("main", "HEAD", "v1", commit, commit[:10], "main@{0}", "refs/heads/main"):
        assert git.repository.commit(name) == commit


@pytest.mark.parametrize("ref", ["no-such-branch", "", "HEAD:a.py", "HEAD^{tree}", "--all", "main..main", "0" * 40, "a b", "-"])
def test_what_names_no_commit_is_the_user_s_to_mend(git: Git, ref: str) -> None:
    git.commit({"a.py": ""})
    with pytest.raises(UsageError, match="names no commit"):
        git.repository.commit(ref)


def test_a_repository_without_a_commit_has_files_but_no_head(git: Git) -> None:
    git.write({"a.py": ""})
    assert git.repository.files(git.root) == ["a.py"]
    with pytest.raises(UsageError, match="'HEAD' names no commit"):
        git.repository.commit("HEAD")


def test_the_repository_around_a_folder(git: Git, tmp_path: Path) -> None:
    git.commit({"shop/a.py": ""})
    assert git.repository.root == git.root
    inner = Repository.around(git.root / "shop")
    assert inner is not None
    assert inner.root == git.root
    assert Repository.around(tmp_path) is None


def test_a_folder_whose_name_is_not_utf_8(git: Git, tmp_path: Path) -> None:
    git.commit({"a.py": "1"})
    place = git.root.rename(tmp_path / os.fsdecode(b"caf\xe9"))
    repository = Repository.around(place)
    assert repository is not None
    assert repository.root == place
    assert repository.contents("HEAD", ["a.py"]) == {"a.py": b"1"}


def test_without_git_there_is_no_repository(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    git.commit()
    repository = git.repository
    monkeypatch.setenv("PATH", "")
    assert Repository.around(git.root) is None
    with pytest.raises(WorldError, match="git is not installed"):
        repository.changes("HEAD")


def test_a_repository_that_git_will_not_open_is_unknown_and_not_none(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that mounts it under another user. Taken for no repository, what is ignored would be read."""
    git.commit()
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(WorldError, match="dubious ownership"):
        Repository.around(git.root)
