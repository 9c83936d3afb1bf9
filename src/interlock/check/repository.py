"""What git knows: which files there are, what changed, what a file said at another commit.

Content comes from one `git cat-file` process. What a repository holds may not run programs here (`core.fsmonitor`, a folder
that poses as a repository), nor hide its changes (submodules that ask to be ignored, objects that stand in for others).
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from interlock.core.errors import UsageError, WorldError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

_GIT: Final = (
    *("git", "--literal-pathspecs", "--no-replace-objects"),
    *("-c", "core.fsmonitor=false", "-c", "safe.bareRepository=explicit"),
)
_NOT_INHERITED: Final = ("GIT_DIR", "GIT_WORK_TREE", "GIT_PREFIX")  # A hook's; they would make another folder the repository.
_WITHOUT_FILES: Final = (b"cannot use bare repository", b"must be run in a work tree")
_KINDS: Final = {"a branch": "heads", "a tag": "tags", "a remote branch": "remotes"}
_TAG: Final = "%(refname:strip=2)%00%(creatordate:iso-strict)"
_LINK: Final = "120000"
_EXECUTABLE: Final = "100755"
_SUBMODULE: Final = "160000"
_MOST_NAMES: Final = 20  # Branches and tags among which a slip is looked for, and that fit on a screen.
_AT_ONCE: Final = 500  # Paths in one command line, which must not grow longer than the system allows.


@dataclass(frozen=True, slots=True)
class Change:
    """One file that differs between two trees."""

    path: str
    status: str  # A added, M modified, D deleted, T another type
    mode: str = "100644"  # as git writes it; of the later one

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return self.mode == _LINK

    @property
    def is_executable(self) -> bool:
        """Whether it is a file that may be executed, and still there."""
        return self.mode == _EXECUTABLE and self.status != "D"

    @property
    def is_submodule(self) -> bool:
        """Whether it is another repository."""
        return self.mode == _SUBMODULE


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit's own words."""

    name: str
    author: str
    author_email: str
    authored_at: datetime
    committer: str
    committer_email: str
    message: str
    note: str  # in refs/notes/ai, where some tools keep who wrote which line
    is_merge: bool = False


@dataclass(frozen=True, slots=True)
class Tag:
    """A name for a commit, and when it was given."""

    name: str
    commit: str
    made_at: datetime


class Repository:
    """A git repository with a work tree."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def around(cls, place: Path) -> Repository | None:
        """The repository that a folder is in; None if it is in none, or if there is no git.

        Raises WorldError if there is one that git does not open, as where it belongs to somebody else.
        """
        done = _top(place)
        if done is None:
            return None
        if b"dubious ownership" in done.stderr:
            message = f"git does not open the repository around {place}: {done.stderr.decode(errors='replace').strip()}"
            raise WorldError(message)
        return cls(Path(os.fsdecode(done.stdout.removesuffix(b"\n")))) if done.returncode == 0 else None

    @classmethod
    def needed(cls, place: Path, what: str) -> Repository:
        """The repository that a folder is in, for what cannot do without one.

        Raises UsageError if it is in none, or in one without files, and WorldError if there is no git to ask.
        """
        found = cls.around(place)
        if found is not None:
            return found
        from shutil import which  # noqa: PLC0415 - where there is a repository, nobody pays for it.

        if which("git") is None:
            message = f"git is not installed, and {what} needs it"
            raise WorldError(message)
        hold_to_files(place, what)
        message = f"{what} needs a git repository, and {place} is in none"
        raise UsageError(message)

    def _git(self, *arguments: str, given: bytes = b"", allowed: tuple[int, ...] = (0,), index: Path | None = None) -> bytes:
        try:
            done = subprocess.run(  # noqa: S603 - git, and arguments that are ours.
                [*_GIT, "-C", str(self.root), *arguments],
                input=given,
                capture_output=True,
                env=_environment() | ({"GIT_INDEX_FILE": str(index)} if index else {}),
                check=False,
            )
        except FileNotFoundError as error:
            message = "git is not installed; it is needed to compare two versions"
            raise WorldError(message) from error
        if done.returncode not in allowed:
            message = f"git {arguments[0]} failed in {self.root}: {done.stderr.decode(errors='replace').strip()}"
            raise WorldError(message)
        return done.stdout

    def commit(self, ref: str) -> str:
        """The commit that a name stands for.

        Raises UsageError if there is none.
        """
        name = self._named(f"{ref}^{{commit}}")
        if not name:
            message = f"{ref!r} names no commit in {self.root}; expected a branch, a tag or a commit{self._such_as(ref)}"
            raise UsageError(message)
        self._hold_to_one(ref)
        return name

    def _such_as(self, ref: str) -> str:
        """What may have been meant by a name that stands for nothing."""
        told = self._git("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads", "refs/tags", "refs/remotes")
        names = told.decode(errors="surrogateescape").splitlines()
        return f"; {nearest(ref, names)}" if 0 < len(names) <= _MOST_NAMES else "" if names else "; nothing is committed yet"

    def _hold_to_one(self, ref: str) -> None:
        """Raises UsageError if a name stands for several commits: git would take the tag, which anybody may push."""
        found = {what: self._named(f"refs/{kind}/{ref}^{{commit}}") for what, kind in _KINDS.items()}
        several = {what: commit for what, commit in found.items() if commit}
        if len(set(several.values())) > 1:
            spelt = " or ".join(f"refs/{_KINDS[what]}/{ref}" for what in several)
            message = f"{ref!r} is {' and '.join(several)}, and they differ; write {spelt}"
            raise UsageError(message)

    def _named(self, revision: str) -> str:
        """The one commit that a revision names; empty if it names none, or a range."""
        answer = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", revision, allowed=(0, 1, 128))
        name = answer.decode(errors="replace").strip()
        return name if set(name) <= set("0123456789abcdef") else ""

    def branch(self) -> str:
        """The branch that is checked out; empty if none is."""
        return self._git("symbolic-ref", "--quiet", "--short", "HEAD", allowed=(0, 1)).decode(errors="replace").strip()

    def merge_base(self, base: str, head: str) -> str:
        """Where the head left the base; the base itself if the two share no history.

        Raises WorldError if that cannot be told, because the history was not fetched whole, or because each was merged into the
        other: then what differs from one of the places where they met can be less than what a merge brings.
        """
        found = self._git("merge-base", "--all", self.commit(base), self.commit(head), allowed=(0, 1)).decode().split()
        if not found and self._git("rev-parse", "--is-shallow-repository").strip() == b"true":
            message = f"the history of {self.root} was not fetched whole, so nobody can say where {head} left {base}"
            raise WorldError(message)
        if len(found) > 1:
            message = (
                f"{head} and {base} were merged into each other, so {head} left {base} in {len(found)} places; "
                f"merge {base} into {head} once more: then it is one"
            )
            raise WorldError(message)
        return found[0] if found else self.commit(base)

    def files(self, folder: Path) -> list[str]:
        """Every file below a folder that git tracks, or would: relative to the folder, without what is ignored."""
        listed = self._git("-C", str(folder.resolve()), "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        return sorted({name for name in listed.decode(errors="surrogateescape").split("\0") if name})

    def changes(self, base: str, head: str | None = None) -> list[Change]:
        """The files that differ between a commit and another one, or the work tree (with untracked files) if none is given."""
        between = [base] if head is None else [base, head]
        listed = self._git("diff", "--raw", "--no-renames", "--no-ext-diff", "--ignore-submodules=none", "-z", *between, "--")
        parts = listed.decode(errors="surrogateescape").split("\0")[:-1]
        found = [_changed(fields.split(), path) for fields, path in zip(parts[::2], parts[1::2], strict=True)]
        if head is None:
            fresh = self._git("ls-files", "-z", "--others", "--exclude-standard").decode(errors="surrogateescape").split("\0")
            found += [Change(path, "A", _LINK if (self.root / path).is_symlink() else "100644") for path in fresh if path]
        return sorted(found, key=lambda change: change.path)

    def contents(self, commit: str, paths: Iterable[str]) -> dict[str, bytes]:
        """What files said at a commit. Those that were not there, links and submodules are left out."""
        objects = self._plain_files(commit, list(dict.fromkeys(paths)))
        asked = "".join(f"{name}\n" for name in objects.values()).encode()
        answer = BytesIO(self._git("cat-file", "--batch", given=asked) if objects else b"")
        found: dict[str, bytes] = {}
        for path in objects:
            *_, kind, size = answer.readline().split()
            if kind != b"blob":
                message = f"git has lost what {path} said at {commit}"
                raise WorldError(message)
            found[path] = answer.read(int(size))
            answer.read(1)
        return found

    def _plain_files(self, commit: str, paths: list[str]) -> dict[str, str]:
        """The names of the objects that hold these files at a commit."""
        found: dict[str, str] = {}
        for start in range(0, len(paths), _AT_ONCE):
            listed = self._git("ls-tree", "-z", "--full-tree", commit, "--", *paths[start : start + _AT_ONCE])
            for entry in listed.decode(errors="surrogateescape").split("\0")[:-1]:
                fields, _, path = entry.partition("\t")
                mode, _, name = fields.split()
                if mode.startswith("100"):
                    found[path] = name
        return found

    def executable(self, commit: str) -> set[str]:
        """The files of a commit that may be executed."""
        listed = self._git("ls-tree", "-r", "-z", "--full-tree", commit).decode(errors="surrogateescape")
        entries = (entry.partition("\t") for entry in listed.split("\0"))
        return {path for fields, _, path in entries if fields.startswith(_EXECUTABLE)}

    def tree(self, commit: str) -> list[str]:
        """Every file of a commit."""
        listed = self._git("ls-tree", "-r", "--name-only", "-z", "--full-tree", commit)
        return [name for name in listed.decode(errors="surrogateescape").split("\0") if name]

    def commits(self, start: str, head: str) -> list[Commit]:
        """The commits that lead from one to another, the newest first."""
        fields = "%H%x00%P%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%B%x00%N"
        told = self._git(
            "log", "--no-show-signature", "--notes=refs/notes/ai", f"--format={fields}%x00%x00", f"{start}..{head}", "--"
        )
        entries = told.decode(errors="replace").split("\0\0\n")
        return [_commit(entry) for entry in entries if entry.strip()]

    def touched(self, commit: str) -> list[str]:
        """The files that a commit changes; a merge, those that it changes against any of its parents."""
        listed = self._git("diff-tree", "-r", "-m", "--root", "--no-commit-id", "--no-renames", "--name-only", "-z", commit)
        return sorted({name for name in listed.decode(errors="surrogateescape").split("\0") if name})

    def adds(self, merge: str) -> bool:
        """Whether a merge holds lines that stand in none of its parents, as where a conflict was resolved, or more was done."""
        combined = self._git(
            "diff-tree", "--cc", "--patch", "--text", "--no-ext-diff", "--no-textconv", "--no-commit-id", merge
        )
        return any(line.startswith(b"@@@") for line in combined.splitlines())

    def tags(self) -> list[Tag]:
        """Every tag that stands for a commit, the newest first."""
        told = self._git("for-each-ref", "--sort=-version:refname", "--sort=-creatordate", f"--format={_TAG}", "refs/tags")
        named = [line.split("\0") for line in told.decode(errors="surrogateescape").splitlines()]
        found = [(name, self._named(f"refs/tags/{name}^{{commit}}"), made_at) for name, made_at in named]
        return [Tag(name, commit, datetime.fromisoformat(made_at)) for name, commit, made_at in found if commit]

    def lay_out(self, commit: str, folder: Path) -> None:
        """Writes every file of a commit into a folder. The work tree and the index are not touched."""
        index = folder / ".interlock-index"
        self._git("read-tree", commit, index=index)
        self._git("checkout-index", "--all", f"--prefix={folder}/", index=index)
        index.unlink()

    def line_count(self, start: str, head: str) -> int:
        """How many lines there are to read between two commits: those that are gone and those that are new."""
        listed = self._git("diff", "--numstat", "--text", "--no-renames", "--no-ext-diff", "--no-textconv", start, head, "--")
        counts = [line.split(b"\t", 2)[:2] for line in listed.splitlines()]
        return sum(int(number) for pair in counts for number in pair if number.isdigit())

    def is_dirty(self) -> bool:
        """Whether there is work that is not committed."""
        return bool(self._git("status", "--porcelain", "-z"))

    def mentioning(self, commit: str, texts: Iterable[str]) -> list[str]:
        """The files of a commit that hold one of these texts."""
        patterns = [word for text in texts for word in ("-e", text)]
        if not patterns:
            return []
        listed = self._git(
            "grep", "--text", "--name-only", "--no-color", "-z", "--fixed-strings", *patterns, commit, allowed=(0, 1)
        )
        return [name.partition(":")[2] for name in listed.decode(errors="surrogateescape").split("\0") if name]


def hold_to_files(place: Path, what: str) -> None:
    """Raises UsageError where git has a project's history and none of its files: in a bare repository, or inside of `.git`."""
    done = _top(place)
    if done is not None and any(word in done.stderr for word in _WITHOUT_FILES):
        why = f"{place} is a bare repository, or inside of `.git`; clone it, and go there"
        message = f"{what} needs the files of a project, and {why}"
        raise UsageError(message)


def _top(place: Path) -> subprocess.CompletedProcess[bytes] | None:
    """What git says of the top of the repository around a folder; None if there is no git."""
    try:
        return subprocess.run(  # noqa: S603 - no shell, and no word of it is an option that others could slip in.
            [*_GIT, "-C", str(place), "rev-parse", "--show-toplevel"],
            capture_output=True,
            env=_environment() | {"LC_ALL": "C"},
            check=False,
        )
    except FileNotFoundError:
        return None


def _commit(entry: str) -> Commit:
    """One entry of `git log`."""
    name, parents, author, author_email, authored_at, committer, committer_email, message, note = entry.split("\0", 8)
    return Commit(
        name,
        author,
        author_email,
        datetime.fromisoformat(authored_at),
        committer,
        committer_email,
        message.strip(),
        note.strip(),
        is_merge=" " in parents,
    )


def _changed(fields: list[str], path: str) -> Change:
    """One entry of `git diff --raw`: modes, objects and status, then the path."""
    old_mode, new_mode, _, _, status = fields
    return Change(path, status[:1], old_mode.removeprefix(":") if status.startswith("D") else new_mode)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
