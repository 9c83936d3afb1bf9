"""Waiting for another part of the same program: conditions, events, queues and timers, in virtual time.

`threading.Condition.wait` is what events, semaphores, barriers, queues and futures wait with. For a worker it becomes a wait of
the run: until it is notified, or until the time is over, which takes none. A wait for what never comes is seen as such.
"""

from __future__ import annotations

import _thread
import queue
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from interlock.prove.effect import Effect

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from interlock.prove.scheduler import Run

_real_wait = threading.Condition.wait
_real_start = threading.Thread.start


@contextmanager
def virtual_waiting(current: Callable[[], Run | None]) -> Generator[None]:
    """Lets workers wait in virtual time for as long as it lasts; everybody else waits as always."""
    starting: list[threading.Thread] = []

    def wait(self: Any, timeout: float | None = None) -> bool:
        run = current()
        if run is None or run.here() is None or starting:
            return _real_wait(self, timeout)
        return _waited(self, timeout, run)

    def start(self: threading.Thread) -> None:
        run = current()
        if run is None or run.here() is None:
            _real_start(self)
            return
        if isinstance(self, threading.Timer):
            raise run.uncontrolled(
                f"threading.Timer({self.interval:g} s): the module does something later in a thread of its own"
            )
        starting.append(self)  # Until the new thread says that it is there, which is no wait of the module's.
        try:
            _real_start(self)
        finally:
            starting.pop()

    simple = queue.SimpleQueue
    threading.Condition.wait = wait  # type: ignore[method-assign]
    threading.Thread.start = start  # type: ignore[method-assign]
    # The one that is written in C waits where nobody sees it; this one is its twin in Python, which the library keeps.
    queue.SimpleQueue = queue._PySimpleQueue  # type: ignore[attr-defined, misc]  # noqa: SLF001
    try:
        yield
    finally:
        threading.Condition.wait = _real_wait  # type: ignore[method-assign]
        threading.Thread.start = _real_start  # type: ignore[method-assign]
        queue.SimpleQueue = simple  # type: ignore[misc]


def _waited(condition: Any, timeout: float | None, run: Run) -> bool:
    """As the library does it, but for the waiting itself."""
    if not condition._is_owned():  # noqa: SLF001 - the library's own way to ask.
        raise RuntimeError("cannot wait on un-acquired lock")
    waiter = _thread.allocate_lock()
    waiter.acquire()
    condition._waiters.append(waiter)  # noqa: SLF001 - where `notify` looks.
    held = condition._release_save()  # noqa: SLF001 - lets the others in.
    said = "wait to be notified" if timeout is None else f"wait {timeout:g} s to be notified"
    try:
        run.wait(timeout, Effect("wait", said), until=lambda: not waiter.locked())
        return not waiter.locked()
    finally:
        if waiter.locked() and waiter in condition._waiters:  # noqa: SLF001 - nobody notified it.
            condition._waiters.remove(waiter)  # noqa: SLF001
        condition._acquire_restore(held)  # noqa: SLF001
