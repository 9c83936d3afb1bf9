"""A folder for the files of a server, gone afterwards; in memory where there is room, since a disk takes a second for them.

One whose process was killed is removed by the next: as long as the process lives, or one that it was forked into, it is locked.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

MEMORY = Path("/dev/shm")  # noqa: S108 - folders in it have names that nobody can know, and are our own.
ROOM = 1 << 30  # Bytes. A container has 64 MiB there, unless it was given more.
PREFIX = "interlock-data-"
_NEW_FOR_S = 60.0  # One that is younger may be about to be locked.


@contextmanager
def scratch_folder() -> Generator[Path]:
    """A folder for as long as the block lasts. Whoever names a place for temporary files (`TMPDIR`) gets it there."""
    memory = MEMORY if "TMPDIR" not in os.environ and _has_room() else None
    if memory is not None:
        remove_abandoned(memory)
    prefix = _prefix(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=prefix, dir=memory) as name, _locked(Path(name)):
        yield Path(name)


def remove_those_of(folder: Path) -> None:
    """Removes what was in memory for processes that had their temporary files in a folder, and are gone."""
    for left in MEMORY.glob(f"{_prefix(folder)}*"):
        shutil.rmtree(left, ignore_errors=True)


def _prefix(folder: Path) -> str:
    return f"{PREFIX}{folder.name}-"


def remove_abandoned(memory: Path) -> None:
    """Removes the folders whose processes are gone."""
    for folder in memory.glob(f"{PREFIX}*"):
        try:
            if time.time() - folder.stat().st_mtime > _NEW_FOR_S:
                with _locked(folder, fcntl.LOCK_NB):
                    shutil.rmtree(folder)
        except OSError:  # It is in use, somebody else's, or gone by now.
            continue


def _has_room() -> bool:
    try:
        return os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM
    except OSError:
        return False


@contextmanager
def _locked(folder: Path, at_once: int = 0) -> Generator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | at_once)
        yield
    finally:
        os.close(descriptor)
