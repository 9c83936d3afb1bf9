"""What git knows: which files there are, what changed, what a file said at another commit.

Only plumbing commands, whose output git promises to keep; content comes from one `git cat-file` process.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.core.errors import UsageError, WorldError

if TYPE_CHECKING:
    from collections.abc import Iterable


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
        """The repository that a folder is in; None if it is in none, or if there is no git."""
        try:
            done = subprocess.run(
                ["git", "-C", str(place), "rev-parse", "--show-toplevel"],  # noqa: S607 - whichever git the user runs.
                capture_output=True,
                check=False,
            )
        except FileNotFoundError:
            return None
        return cls(Path(done.stdout.decode().rstrip("\n"))) if done.returncode == 0 else None

    def _git(self, *arguments: str, given: bytes = b"", allowed: tuple[int, ...] = (0,)) -> bytes:
        try:
            done = subprocess.run(
                ["git", "-C", str(self.root), *arguments],  # noqa: S607 - whichever git the user runs.
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
        """What files said at a commit. Those that were not there, or were no plain files, are left out."""
        wanted = [path for path in dict.fromkeys(paths) if "\n" not in path]
        asked = "".join(f"{commit}:{path}\n" for path in wanted).encode(errors="surrogateescape")
        answer = self._git("cat-file", "--batch", given=asked) if wanted else b""
        found: dict[str, bytes] = {}
        for path in wanted:
            header, _, answer = answer.partition(b"\n")
            fields = header.rsplit(b" ", 2)
            if len(fields) == 3 and fields[2].isdigit():  # noqa: PLR2004 - name, type, size; anything else is "missing".
                size = int(fields[2])
                if fields[1] == b"blob":
                    found[path] = answer[:size]
                answer = answer[size + 1 :]
        return found

    def mentioning(self, commit: str, text: str) -> list[str]:
        """The files of a commit that hold a text."""
        listed = self._git("grep", "--name-only", "-z", "--fixed-strings", "-e", text, commit, allowed=(0, 1))
        return [name.partition(":")[2] for name in listed.decode(errors="surrogateescape").split("\0") if name]

    def added_lines(self, base: str, head: str, path: str) -> set[int]:
        """The lines of a file at `head` that are not in it at `base`."""
        text = self._git("diff", "--unified=0", "--no-color", "--no-ext-diff", "--no-renames", base, head, "--", path)
        lines: set[int] = set()
        for line in text.decode(errors="replace").splitlines():
            if line.startswith("@@"):
                start, _, count = line.split("+", 1)[1].split(" ", 1)[0].partition(",")
                lines |= set(range(int(start), int(start) + int(count or "1")))
        return lines
