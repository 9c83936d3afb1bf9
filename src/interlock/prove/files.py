"""Sees when a worker changes a file: what is in files is shared like what is in a server, and nobody controls in which order.

Python tells an audit hook what is opened, renamed or removed; of what is written then, and of who asks whether a file is there,
it does not tell. So such an effect cannot be put in order, and it is refused before it is done.

What tells nobody anything is left alone: what `tempfile` has made for the worker, logs (what is only added to, and nobody
reads), compiled modules, devices, and folders that are made unless they are there.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from interlock.prove.whereabouts import asking

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

# Which of an event's arguments name what is changed, what is done to it, and whether that does nothing where there is nothing.
_CHANGES: dict[str, tuple[slice, str, bool]] = {
    "os.rename": (slice(2), "renames a file", False),
    "os.link": (slice(1, 2), "links a file", False),
    "os.symlink": (slice(1, 2), "links a file", False),
    "os.mkdir": (slice(1), "makes a folder", False),
    "os.remove": (slice(1), "removes a file", True),
    "os.rmdir": (slice(1), "removes a folder", True),
    "shutil.rmtree": (slice(1), "removes a folder", True),
    "os.truncate": (slice(1), "writes a file", True),
    "os.utime": (slice(1), "touches a file", True),
}
_LOCKS = frozenset({"fcntl.flock", "fcntl.lockf"})
_MADE = frozenset({"tempfile.mkstemp", "tempfile.mkdtemp"})
ABOUT_FILES = frozenset({"open", "sqlite3.connect", *_CHANGES, *_LOCKS, *_MADE})
_IN_MEMORY = (":memory:", "")  # Of SQLite's databases, those that end with their connection.

OPENS_DATABASE = "opens a database in a file, and nobody controls what happens there"
_NOT_CONTROLLED = "whose order with others this guard does not control"
_NAMELESS = getattr(os, "O_TMPFILE", 0)
_OWN_LOGS = str(Path(logging.__file__).parent)
_OWN_BYTECODE = "<frozen importlib"


@dataclass(slots=True)
class Files:
    """The files that the workers of one proof's schedules have to do with. A file outlives its schedule, so they are kept."""

    _read: set[str] = field(default_factory=set[str])
    _added_to: set[str] = field(default_factory=set[str])
    _of_one: dict[str, int] = field(default_factory=dict[str, int])  # By path: the process that alone knows of it.

    def told(self, event: str, what: tuple[object, ...], process: int) -> str:
        """What is wrong with what a worker is about to do; empty if nothing is.

        Args:
            event: What the audit hook is told.
            what: With its arguments.
            process: Of the worker.
        """
        if event in _MADE:
            self._of_one[_path(what[0])] = process
            return ""
        if event in _LOCKS:
            return f"locks a file, {_NOT_CONTROLLED}"
        if event == "open":
            return self._opened(what[0], cast("int", what[2]), process)
        if event == "sqlite3.connect":
            return (
                ""
                if what[0] in _IN_MEMORY or _is_read_only(what[0]) or self._owner(_path(what[0])) == process
                else OPENS_DATABASE
            )
        which, does, needs_one = _CHANGES[event]
        paths = [_path(path) for path in what[which] if not isinstance(path, int)]
        return self._changed(event, paths, f"{does}, {_NOT_CONTROLLED}", process, needs_one=needs_one)

    def _opened(self, named: object, flags: int, process: int) -> str:
        if isinstance(named, int):
            return ""  # It was opened before.
        path = _path(named)
        if not flags & (os.O_ACCMODE | os.O_CREAT | os.O_TRUNC):
            return self._looked_at(path, process)
        if flags & _NAMELESS == _NAMELESS and _NAMELESS:
            return ""
        is_added_to = flags & os.O_APPEND and flags & os.O_ACCMODE == os.O_WRONLY and not flags & (os.O_EXCL | os.O_TRUNC)
        if is_added_to and not self._owner(path):
            return self._added(path)
        return self._changed("open", [path], f"writes a file, {_NOT_CONTROLLED}", process, needs_one=False)

    def _looked_at(self, path: str, process: int) -> str:
        self._read.add(path)
        if path in self._added_to or self._owner(path) not in {None, process}:
            return f"reads a file that workers write, {_NOT_CONTROLLED}: {path}"
        return ""

    def _added(self, path: str) -> str:
        if not _is_shared(path):
            return ""
        self._added_to.add(path)
        return f"adds to a file that workers read, {_NOT_CONTROLLED}: {path}" if path in self._read else ""

    def _changed(self, event: str, paths: Sequence[str], told: str, process: int, *, needs_one: bool) -> str:
        for path in paths:
            if self._owner(path) == process or not _is_shared(path) or (needs_one and not os.path.lexists(path)):
                continue
            asked_by, place = asking()
            if not place or any(_is_harmless(frame, event) for frame in asked_by):
                continue
            if any(frame.f_code.co_filename.startswith(_OWN_LOGS) for frame in asked_by):
                return self._added(path)
            return f"{told}: {path}"
        return ""

    def _owner(self, path: str) -> int | None:
        """The process that alone knows of a file, or of a folder that it lies in."""
        if not self._of_one:
            return None
        return next((self._of_one[one] for one in (path, *map(str, Path(path).parents)) if one in self._of_one), None)


def _path(named: object) -> str:
    return os.path.abspath(os.fsdecode(cast("str", named)))  # noqa: PTH100 - of what may be bytes, and is asked for often.


def _is_read_only(database: object) -> bool:
    return isinstance(database, str) and database.startswith("file:") and "mode=ro" in database


def _is_shared(path: str) -> bool:
    """Whether others can see what is written there: not to a device, nor as a compiled module."""
    if f"{os.sep}__pycache__{os.sep}" in path:
        return False
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - as above.
    except OSError:  # It is not there yet.
        return True
    return not stat.S_ISCHR(mode)


def _is_harmless(frame: FrameType, event: str) -> bool:
    """Whether the library does it for a purpose of its own; or, of a folder, unless it is there."""
    code = frame.f_code
    if code.co_filename == tempfile.__file__ or code.co_filename.startswith(_OWN_BYTECODE):
        return True
    if event == "os.mkdir":
        return bool(frame.f_locals.get("exist_ok"))
    return event != "shutil.rmtree" and code.co_filename == shutil.__file__ and "rmtree" in code.co_name  # It was asked for.
