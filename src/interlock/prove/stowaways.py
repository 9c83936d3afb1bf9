"""Sees at once when a module does what nobody controls: starts a thread, a process or another program, or changes a file.

Python tells an audit hook of each such thing before it is done (PEP 578), however the module came by the function. It does not
tell of threads, before 3.13, nor of what `dbm` opens in C; their functions are replaced. What is seen is not done, and the
answer says where it was.
"""

from __future__ import annotations

import _thread
import dbm
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from interlock.prove.files import ABOUT_FILES, OPENS_DATABASE, Files
from interlock.prove.whereabouts import asking
from interlock.prove.worker import LOOKING, SETTING_UP

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from interlock.prove.scheduler import Run

_NOBODY = "and nobody controls what happens there"
_STARTS = {
    "os.exec": "becomes another program",
    "os.fork": "forks",
    "os.forkpty": "forks",
    "os.posix_spawn": "starts a program",
    "os.system": "starts a program",
    "subprocess.Popen": "starts a program",
}
_WATCHED = ABOUT_FILES | _STARTS.keys()


@dataclass(slots=True, eq=False)
class _Watch:
    """One who watches: the schedule that is running, and what its workers have done to files so far."""

    run: Callable[[], Run | None]
    files: Files = field(default_factory=Files)


_watches: list[_Watch] = []  # A hook can be added once, and never taken away.
_is_added = False


@contextmanager
def stowaways_seen(run: Callable[[], Run | None]) -> Generator[None]:
    """Stops what a worker of the current run does past this guard, for as long as the block lasts."""
    global _is_added  # noqa: PLW0603 - hooks are the interpreter's own.
    if not _is_added:
        sys.addaudithook(_look)
        _is_added = True
    real_start, real_new, real_open = threading.Thread.start, _thread.start_new_thread, dbm.open
    watch = _Watch(run)

    def start(thread: threading.Thread) -> None:
        _stop(f"starts a thread, {_NOBODY}")
        real_start(thread)

    def start_new(*args: Any, **options: Any) -> int:
        _stop(f"starts a thread, {_NOBODY}")
        return real_new(*args, **options)

    def open_database(*args: Any, **options: Any) -> Any:
        _stop(OPENS_DATABASE)
        return real_open(*args, **options)

    _watches.append(watch)
    threading.Thread.start, _thread.start_new_thread = start, start_new  # type: ignore[method-assign, assignment]
    dbm.open = open_database
    try:
        yield
    finally:
        threading.Thread.start, _thread.start_new_thread = real_start, real_new  # type: ignore[method-assign]
        dbm.open = real_open
        _watches.remove(watch)


def _look(event: str, what: tuple[object, ...]) -> None:
    if event not in _WATCHED:  # As nearly all of them.
        return
    if event in ABOUT_FILES:
        _look_at_file(event, what)
    else:
        _stop(f"{_STARTS[event]}, {_NOBODY}")


def _look_at_file(event: str, what: tuple[object, ...]) -> None:
    watch = _watches[-1] if _watches else None
    run = watch.run() if watch is not None else None
    worker = run.here() if run is not None else None
    if watch is None or worker is None or worker.name in {SETTING_UP, LOOKING}:
        return  # What a schedule begins with, and what is looked at in its end, is in one order.
    if told := watch.files.told(event, what, worker.process):
        _stop(told)


def _stop(does: str) -> None:
    run = _watches[-1].run() if _watches else None
    if run is not None and run.here() is not None and (place := asking()[1]):
        raise run.uncontrolled(f"{place} {does}")
