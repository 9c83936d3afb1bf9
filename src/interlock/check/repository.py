"""What git knows: which files there are, what changed, what a file said at another commit.

Only plumbing commands, whose output git promises to keep; content comes from one `git cat-file` process.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from interlock.core.errors import UsageError, WorldError

if TYPE_CHECKING:
    from collections.abc import Iterable

_AT_ONCE: Final = 500  # Paths in one command line, which must not grow longer than the system allows.
# Hunks of changed lines alone, whatever the user's settings add to them.
_LINES_ALONE: Final = (
    "--unified=0",
    "--inter-hunk-context=0",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--no-renames",
)


@dataclass(frozen=True, slots=True)
class Change:
    """One file that differs between two trees."""

    path: str
    status: str  # A added, M modified, D deleted, T another type


class Repository:
    """A git repository with a work tree."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def around(cls, place: Path) -> Repository | None:
        """The repository that a folder is in; None if it is in none, or if there is no git.

        Raises WorldError if there is one that git does not open, as where it belongs to somebody else.
        """
        try:
            done = subprocess.run(  # noqa: S603 - no shell, and no word of it is an option that others could slip in.
                ["git", "-C", str(place), "rev-parse", "--show-toplevel"],  # noqa: S607 - whichever git the user runs.
                capture_output=True,
                env={**os.environ, "LC_ALL": "C"},
                check=False,
            )
        except FileNotFoundError:
            return None
        if b"dubious ownership" in done.stderr:
            message = f"git does not open the repository around {place}: {done.stderr.decode(errors='replace').strip()}"
            raise WorldError(message)
        return cls(Path(os.fsdecode(done.stdout.removesuffix(b"\n")))) if done.returncode == 0 else None

    def _git(self, *arguments: str, given: bytes = b"", allowed: tuple[int, ...] = (0,)) -> bytes:
        try:
            done = subprocess.run(  # noqa: S603 - git, and arguments that are ours.
                ["git", "--literal-pathspecs", "-C", str(self.root), *arguments],  # noqa: S607 - whichever git the user runs.
                input=given,
                capture_output=True,
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
        try:
            return self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}").decode().strip()
        except WorldError as error:
            message = f"{ref!r} names no commit in {self.root}; expected a branch, a tag or a commit"
            raise UsageError(message) from error

    def merge_base(self, base: str, head: str) -> str:
        """Where the head left the base; the base itself if the two share no history."""
        try:
            return self._git("merge-base", self.commit(base), self.commit(head)).decode().strip()
        except WorldError:
            return self.commit(base)

    def files(self, folder: Path) -> list[str]:
        """Every file below a folder that git tracks, or would: relative to the folder, without what is ignored."""
        listed = self._git("-C", str(folder.resolve()), "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        return sorted({name for name in listed.decode(errors="surrogateescape").split("\0") if name})

    def changes(self, base: str, head: str | None = None) -> list[Change]:
        """The files that differ between a commit and another one, or the work tree (with untracked files) if none is given."""
        between = [base] if head is None else [base, head]
        listed = self._git("diff", "--name-status", "--no-renames", "--no-ext-diff", "-z", *between, "--")
        parts = listed.decode(errors="surrogateescape").split("\0")[:-1]
        found = [Change(path, status[:1]) for status, path in zip(parts[::2], parts[1::2], strict=True)]
        if head is None:
            fresh = self._git("ls-files", "-z", "--others", "--exclude-standard").decode(errors="surrogateescape").split("\0")
            found += [Change(path, "A") for path in fresh if path]
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

    def mentioning(self, commit: str, text: str) -> list[str]:
        """The files of a commit that hold a text."""
        listed = self._git("grep", "--name-only", "--no-color", "-z", "--fixed-strings", "-e", text, commit, allowed=(0, 1))
        return [name.partition(":")[2] for name in listed.decode(errors="surrogateescape").split("\0") if name]

    def added_lines(self, base: str, head: str, path: str) -> set[int]:
        """The lines of a file at `head` that are not in it at `base`."""
        text = self._git("diff", *_LINES_ALONE, base, head, "--", path)
        lines: set[int] = set()
        for line in text.decode(errors="replace").split("\n"):
            if line.startswith("@@"):
                start, _, count = line.split("+", 1)[1].split(" ", 1)[0].partition(",")
                lines |= set(range(int(start), int(start) + int(count or "1")))
        return lines
