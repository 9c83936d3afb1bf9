"""Sees at once when a module starts something that nobody controls: a thread, a process, another program, a database in a file.

Python tells an audit hook of each process before it is started (PEP 578), however the module came by the function. Threads it
does not tell of, before 3.13; their two functions are replaced. What is seen is not started, and the answer says where it was.
"""

from __future__ import annotations

import _thread
import inspect
import sys
import sysconfig
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from interlock.prove.scheduler import Run

_STARTS = {
    "os.exec": "becomes another program",
    "os.fork": "forks",
    "os.forkpty": "forks",
    "os.posix_spawn": "starts a program",
    "os.system": "starts a program",
    "subprocess.Popen": "starts a program",
}
_IN_MEMORY = (":memory:", "")  # Of SQLite's databases, those that end with their connection.
_GUARD = str(Path(__file__).parent)
_STANDARD = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib"))
_INSTALLED = tuple(sysconfig.get_paths()[name] for name in ("purelib", "platlib"))

_runs: list[Callable[[], Run | None]] = []  # Of those who watch; a hook can be added once, and never taken away.
_is_added = False


@contextmanager
def stowaways_seen(run: Callable[[], Run | None]) -> Generator[None]:
    """Stops whatever a worker of the current run starts, for as long as the block lasts."""
    global _is_added  # noqa: PLW0603 - hooks are the interpreter's own.
    if not _is_added:
        sys.addaudithook(_look)
        _is_added = True
    real_start, real_new = threading.Thread.start, _thread.start_new_thread

    def start(thread: threading.Thread) -> None:
        _stop("starts a thread")
        real_start(thread)

    def start_new(*args: Any, **options: Any) -> int:
        _stop("starts a thread")
        return real_new(*args, **options)

    _runs.append(run)
    threading.Thread.start, _thread.start_new_thread = start, start_new  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        threading.Thread.start, _thread.start_new_thread = real_start, real_new  # type: ignore[method-assign]
        _runs.remove(run)


def _look(event: str, what: tuple[object, ...]) -> None:
    if event in _STARTS:
        _stop(_STARTS[event])
    elif event == "sqlite3.connect" and what[0] not in _IN_MEMORY:
        _stop("opens a database in a file")


def _stop(does: str) -> None:
    run = _runs[-1]() if _runs else None
    if run is not None and run.here() is not None and (place := _place()):
        raise run.uncontrolled(f"{place} {does}, and nobody controls what happens there")


def _place() -> str:
    """The line that asked for it, the standard library's left out; nothing if it is the guard's own."""
    frame = inspect.currentframe()
    while frame is not None and (frame.f_code.co_filename == __file__ or _is_standard(frame.f_code.co_filename)):
        frame = frame.f_back
    if frame is None or frame.f_code.co_filename.startswith(_GUARD):
        return ""
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _is_standard(path: str) -> bool:
    return path.startswith("<") or (path.startswith(_STANDARD) and not path.startswith(_INSTALLED))
