"""Which files to read. What git ignores is not looked for; a file that is named is always read."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.check.inspect import Problem
from interlock.core.errors import UsageError
from interlock.source.module import ENDINGS

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(slots=True)
class Discovered:
    """The files to read, relative to where the run started, and what could not be followed."""

    files: list[str] = field(default_factory=list[str])
    problems: list[Problem] = field(default_factory=list[Problem])


def discover(paths: list[str]) -> Discovered:
    """The Python files that these paths name, or that are below them.

    Raises UsageError for a path that does not exist.
    """
    found = Discovered()
    for path in paths:
        if not os.path.lexists(path):
            message = f"{path}: no such file or folder"
            raise UsageError(message)
        if Path(path).is_dir():
            _below(Path(path), found)
        else:
            _take(Path(path), found)
    found.files = sorted(set(found.files))
    return found


def _below(folder: Path, found: Discovered) -> None:
    from interlock.check.repository import Repository  # noqa: PLC0415 - a file that is named needs no git.

    repository = Repository.around(folder)
    names = repository.files(folder) if repository else _walked(folder)
    for name in names:
        if name.lower().endswith(ENDINGS) or (folder / name).is_symlink():
            _take(folder / name, found, looked_for=True)


def _walked(folder: Path) -> Iterator[str]:
    """The files below a folder that is in no repository. Hidden folders and virtual environments are not looked into."""
    for root, folders, files in os.walk(folder):
        here = Path(root)
        links = [name for name in folders if (here / name).is_symlink()]
        folders[:] = [name for name in sorted(folders) if name not in links and not _is_foreign(here / name)]
        yield from (str((here / name).relative_to(folder)) for name in (*files, *links))


def _is_foreign(folder: Path) -> bool:
    return folder.name.startswith(".") or folder.name in {"node_modules", "__pycache__"} or (folder / "pyvenv.cfg").exists()


def _take(path: Path, found: Discovered, *, looked_for: bool = False) -> None:
    """Notes one file, or why it cannot be read. A link met on the way is not followed: its target is read where it is."""
    name = shown(path)
    if path.is_symlink() and not path.exists():
        if path.suffix.lower() in ENDINGS or not looked_for:
            found.problems.append(Problem(path=name, line=0, message=_dangling(path)))
    elif path.is_symlink() and path.is_dir():
        if path.resolve() in (around.resolve() for around in path.absolute().parents):
            found.problems.append(Problem(path=name, line=0, message="is a link to a folder around itself; not followed"))
    elif looked_for and path.exists() and not path.is_symlink() and not path.is_file():
        found.problems.append(Problem(path=name, line=0, message="is no regular file"))  # To read a pipe is to wait for it.
    elif path.exists() and not (looked_for and path.is_symlink()):
        found.files.append(name)


def _dangling(path: Path) -> str:
    return f"is a broken symbolic link to {os.readlink(path)!r}"  # noqa: PTH115 - the text as it is, not a Path made of it.


def shown(path: Path) -> str:
    """A path as people and editors know it: relative to where the run started if it is below."""
    absolute = Path(os.path.normpath(path.absolute()))
    here = Path.cwd()
    return (absolute.relative_to(here) if absolute.is_relative_to(here) else absolute).as_posix()
