"""Puts a real server on virtual time: a few lines of C that it is started with, and a file that says what time it is.

The C is compiled when it is first needed, by whatever compiler the machine has, and kept under the hash of its text in the
user's cache. What lies there is loaded into a process, so a folder that somebody else could write to is not used.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import platform
import shutil
import stat
import struct
import subprocess
import tempfile
from functools import cache
from importlib.resources import files
from pathlib import Path
from time import monotonic_ns  # By name: it stays real, though a worker waits here.

COMPILERS = ("cc", "gcc", "clang")
COMPILE_TIMEOUT_S = 60.0
_US = 10**6
_WORD = struct.Struct("=q")


class ServerClock:
    """The wall clock of one server.

    Args:
        folder: Where its file may be kept; nobody else's.
        library: The compiled C.
        epoch_s: What it shows first, in seconds since 1970.
        ticks: Whether it goes on by itself from what it shows, for a server that waits by its wall clock.
    """

    def __init__(self, folder: Path, library: Path, epoch_s: float, *, ticks: bool = False) -> None:
        self._library = library
        self._ticks = ticks
        self._path = folder / "clock"
        self._path.write_bytes(bytes(mmap.PAGESIZE))
        with self._path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self.show(epoch_s)

    @property
    def environment(self) -> dict[str, str]:
        """What a server is started with."""
        others = os.environ.get("LD_PRELOAD", "")
        return {"LD_PRELOAD": f"{self._library} {others}".strip(), "INTERLOCK_CLOCK": str(self._path)}

    @property
    def shown_us(self) -> int:
        """What it was set to, in microseconds since 1970."""
        return int(_WORD.unpack_from(self._page)[0])

    def show(self, seconds: float) -> None:
        """Sets it, in seconds since 1970. Aligned words: nobody sees half of one."""
        if self._ticks:
            _WORD.pack_into(self._page, 8, monotonic_ns() // 1000)
        _WORD.pack_into(self._page, 0, round(seconds * _US))

    def go_on(self, seconds: float) -> None:
        """Sets it so much later than it shows."""
        _WORD.pack_into(self._page, 0, self.shown_us + round(seconds * _US))

    def close(self) -> None:
        """Ends it. The file goes with its folder."""
        self._page.close()


@cache
def compiled_clock() -> Path | None:
    """The library to start a server with; none if this machine cannot make it."""
    source = (files(__name__) / "clock.c").read_bytes()
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    if platform.system() != "Linux" or compiler is None:
        return None
    name = f"clock-{platform.machine()}-{hashlib.sha256(source).hexdigest()[:16]}.so"
    folder = _own_folder()
    if folder is None:
        return None
    if not _is_ours(folder / name):
        _compile(compiler, source, folder / name)
    return folder / name if _is_ours(folder / name) else None


def _compile(compiler: str, source: bytes, library: Path) -> None:
    """Compiles beside its place and moves it there: another process that does the same at that moment does no harm."""
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        (made := Path(folder, library.name)).touch()
        command = [compiler, "-shared", "-fPIC", "-O2", "-x", "c", "-", "-o", str(made)]
        try:
            subprocess.run(command, input=source, capture_output=True, check=True, timeout=COMPILE_TIMEOUT_S)
        except (OSError, subprocess.SubprocessError):
            return  # A compiler without headers, say: then the server's clock stays real, and a proof says so where it matters.
        made.chmod(0o700)
        made.replace(library)


def _own_folder() -> Path | None:
    """The folder for what is compiled; none if somebody else could write there."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "interlock")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # The user has no home, as in some containers.
        return None
    return folder if _is_ours(folder) else None


def _is_ours(path: Path) -> bool:
    """Whether it is there, no link, and only the user can write to it."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return found.st_uid == os.geteuid() and not stat.S_ISLNK(found.st_mode) and not found.st_mode & 0o022
