"""`select`, `poll` and selectors for clients that block: whether something has come, waited for in virtual time."""

from __future__ import annotations

import select
import selectors
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from interlock.prove.effect import Effect
from interlock.prove.wire.controlled_socket import controlled
from interlock.prove.wire.event_loop import VirtualSelector

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from interlock.prove.scheduler import Run

_real_poll, _real_select, _RealSelector = select.poll, select.select, selectors.DefaultSelector


class _Poll:
    """Stands in for what `select.poll()` makes."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._masks: dict[int, int] = {}

    def register(self, sock: Any, mask: int = select.POLLIN | select.POLLPRI | select.POLLOUT) -> None:
        """Asks about a socket."""
        self._masks[_number(sock)] = mask

    modify = register

    def unregister(self, sock: Any) -> None:
        """Asks no more."""
        del self._masks[_number(sock)]

    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        """What has happened, or happens within so many milliseconds."""
        seconds = None if timeout is None or timeout < 0 else timeout / 1000
        _await(self._run, self._happened, seconds)
        return self._happened()

    def _happened(self) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        for number, mask in self._masks.items():
            ours = controlled(number)
            if ours is None:
                found += _really(number, mask)
            elif events := (mask & select.POLLIN if ours.has_come() else 0) | (mask & select.POLLOUT):
                found.append((number, events))
        return found


def _really(number: int, mask: int) -> list[tuple[int, int]]:
    poll = _real_poll()
    poll.register(number, mask)
    return poll.poll(0)


def _await(run: Run, happened: Callable[[], object], seconds: float | None) -> None:
    if seconds != 0 and not happened():
        run.wait(seconds, Effect("wait", "wait for whatever comes first"), until=lambda: bool(happened()))


@contextmanager
def virtual_readiness(current: Callable[[], Run | None]) -> Generator[None]:
    """Answers for controlled sockets while a schedule runs."""

    def here() -> Run | None:
        run = current()
        return run if run is not None and run.here() is not None else None

    def poll() -> Any:
        run = here()
        return _real_poll() if run is None else _Poll(run)

    def chosen(reading: Iterable[Any], writing: Iterable[Any], other: Iterable[Any], timeout: float | None = None) -> Any:
        run, reading, writing = here(), list(reading), list(writing)
        if run is None or not any(controlled(_number(one)) for one in (*reading, *writing)):
            return _real_select(reading, writing, other, timeout)

        def readable() -> list[Any]:
            return [one for one in reading if (ours := controlled(_number(one))) is not None and ours.has_come()]

        _await(run, lambda: writing or readable(), timeout)
        return readable(), writing, []

    def selector() -> Any:
        return _RealSelector() if here() is None else VirtualSelector(current)

    select.poll, select.select, selectors.DefaultSelector = poll, chosen, selector  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        select.poll, select.select, selectors.DefaultSelector = _real_poll, _real_select, _RealSelector  # type: ignore[misc]


def _number(one: Any) -> int:
    return one if isinstance(one, int) else int(one.fileno())
