"""asyncio under control: an unmodified event loop over a selector that knows when the other ends have answered.

A loop has done all it can when it asks its selector for what happened. If nothing has, that is where its worker waits, in
virtual time. Each connection of the loop is a lane of the worker, so that the commands of two tasks may be carried out in
either order. What is handed to an executor runs on a lane of its own as well: it is no thread, and what it does between two
effects is disturbed by nobody.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
from asyncio import base_events, selector_events
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from interlock.prove.effect import Effect
from interlock.prove.wire.anyio_threads import controlled_anyio
from interlock.prove.wire.asgiref_threads import controlled_asgiref
from interlock.prove.wire.controlled_socket import controlled
from interlock.prove.wire.virtual_loop import VirtualLoop, bury
from interlock.prove.worker import Crashed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from interlock.prove.scheduler import Run

# Added to each wait of a loop: its clock is a float of seconds, and rounding must not let it wake too early again and again.
ROUNDING_S = 1e-6


class VirtualSelector(selectors.SelectSelector):
    """Tells an event loop what has happened, and lets its worker wait if nothing has.

    Args:
        current: The schedule.

    Attributes:
        asked_about: By descriptor: what somebody wants to be told of.
    """

    def __init__(self, current: Callable[[], Run | None]) -> None:
        super().__init__()
        self._current = current
        self._waits = Effect("wait", "wait for whatever comes first")
        # The library's own dictionary: its view of it, `get_map`, takes as long as all else that is done with it here.
        self.asked_about: dict[int, selectors.SelectorKey] = vars(self)["_fd_to_key"]

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As the real one; but while it waits, other workers act."""
        run, loop = self._current(), cast("Any", asyncio._get_running_loop())  # noqa: SLF001 - whoever asks.
        if run is None:
            return self._happened(None)
        try:
            run.stay_alive()
            happened = self._happened(loop)
            if self.asked_about and not happened and not _is_busy(loop):
                happened = self._happened_really()
            if not happened and (timeout is None or timeout > 0) and not _is_busy(loop):
                happened = self._waited(run, loop, timeout)
        except Crashed:
            bury(loop)
            raise
        return happened

    def _waited(self, run: Run, loop: Any, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        if (worker := run.current()).lanes:
            self._waits = self._waits.of_process(worker.process)  # Made once, and not for each wait.
        run.wait(
            None if timeout is None else timeout + ROUNDING_S,
            self._waits,
            until=lambda: _is_busy(loop) or bool(self._happened(loop)),
            is_prompt=True,
        )
        happened = self._happened(loop)
        if timeout is not None and not happened and not _is_busy(loop):
            run.grant(round(timeout, 3), sleeps=True)
        return happened

    def _happened(self, loop: Any) -> list[tuple[selectors.SelectorKey, int]]:
        """What has happened to the sockets; and to whatever else somebody asks about, but for the pipe of a loop itself."""
        if not self.asked_about:
            return []
        found: list[tuple[selectors.SelectorKey, int]] = []
        pipe = getattr(loop, "_ssock", None)  # What a loop wakes itself by.
        own, real = None if pipe is None else pipe.fileno(), False
        for key in self.asked_about.values():
            ours = controlled(key.fd)
            if ours is None:
                real = real or key.fd != own
                continue
            readable = selectors.EVENT_READ if key.events & selectors.EVENT_READ and ours.has_come() else 0
            if events := readable | (key.events & selectors.EVENT_WRITE):
                found.append((key, events))
        return [*found, *self._happened_really()] if real else found

    def _happened_really(self) -> list[tuple[selectors.SelectorKey, int]]:
        """What has come on descriptors of the system, such as the pipe by which a thread or a signal wakes a loop."""
        return [(key, events) for key, events in super().select(0) if controlled(key.fd) is None]


def _is_busy(loop: Any) -> bool:
    """Whether a loop has something left to do by itself."""
    if isinstance(loop, VirtualLoop):
        return loop.is_busy()
    return loop is not None and bool(loop._ready)  # noqa: SLF001 - nothing else tells.


@contextmanager
def controlled_loops(current: Callable[[], Run | None]) -> Generator[None]:
    """Gives every event loop that is made while a schedule runs a virtual selector, and lanes for an executor."""
    kind, base = selector_events.BaseSelectorEventLoop, base_events.BaseEventLoop
    real_init, real_executor, real_lookup = kind.__init__, base.run_in_executor, base.getaddrinfo

    def init(self: Any, selector: Any = None) -> None:
        if current() is None:
            real_init(self, selector)
            return
        if type(self) in {asyncio.SelectorEventLoop, VirtualLoop}:
            VirtualLoop.take(self, current)
        real_init(self, VirtualSelector(current))

    def run_in_executor(self: Any, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        run = current()
        if run is None or not isinstance(getattr(self, "_selector", None), VirtualSelector):
            return real_executor(self, executor, func, *args)
        if isinstance(executor, ProcessPoolExecutor):
            raise run.uncontrolled("an executor with processes of its own")
        return on_a_lane(run, self, lambda: func(*args))

    async def getaddrinfo(self: Any, host: Any, port: Any, **options: Any) -> Any:
        if current() is None:
            return await real_lookup(self, host, port, **options)
        return socket.getaddrinfo(host, port, **options)

    kind.__init__, base.run_in_executor = init, run_in_executor  # type: ignore[method-assign, assignment]
    base.getaddrinfo = getaddrinfo  # type: ignore[method-assign]
    try:
        with controlled_anyio(current), controlled_asgiref(current):
            yield
    finally:
        kind.__init__, base.run_in_executor = real_init, real_executor  # type: ignore[method-assign]
        base.getaddrinfo = real_lookup  # type: ignore[method-assign]


def on_a_lane(run: Run, loop: Any, task: Callable[[], Any]) -> asyncio.Future[Any]:
    """Lets a worker do something beside what its event loop does; answers with what will come of it."""
    future: asyncio.Future[Any] = loop.create_future()

    def body() -> None:
        try:
            result = task()
        except Exception as error:  # noqa: BLE001 - whatever it is, its caller is told.
            tell, outcome = future.set_exception, cast("Any", error)
        else:
            tell, outcome = future.set_result, result
        if not loop.is_closed():
            loop.call_soon(lambda: None if future.done() else tell(outcome))

    run.start(run.lane(run.main(run.current())), body)
    return future
