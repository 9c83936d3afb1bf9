"""An event loop of the standard library's in virtual time, without what a real one needs for a real network.

A module's own kind of loop keeps all that it does differently, and is only given a virtual selector.
"""

from __future__ import annotations

import asyncio
import heapq
import socket
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVarTuple, Unpack, cast

from interlock.prove.clock import steady_s
from interlock.prove.wire.controlled_socket import ControlledSocket
from interlock.prove.wire.transport import ControlledTransport
from interlock.prove.worker import Crashed

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable
    from contextvars import Context

    from interlock.prove.scheduler import Run

Ts = TypeVarTuple("Ts")
_Handle, _new_handle = asyncio.Handle, cast("Any", object.__new__)
_DAY_S = 86_400.0  # The library waits no longer at once.
_LAST_WORDS = 100
_MANY = 50  # Cancelled timers, which the library clears away all at once.


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time, whose connections need no selector.

    Attributes:
        listening: Its open connections on which something may come that nobody has asked for.
    """

    listening: list[ControlledTransport]
    _asyncgens: Any
    _default_executor: Any
    _create_connection_transport: Any
    _current: Callable[[], Run | None]
    _ready: deque[asyncio.Handle]
    _scheduled: list[Any]  # Timers, as a heap; what a loop asks of them they tell nobody else.
    _timer_cancelled_count: int
    _clock_resolution: float
    _stopping: bool
    _debug: bool
    _closed: bool
    _selector: Any
    _process_events: Callable[[Any], None]
    _ssock: socket.socket | None
    _csock: socket.socket | None
    _ensure_resolved: Any

    @classmethod
    def take(cls, loop: Any, current: Callable[[], Run | None]) -> None:
        """Makes one of a loop of the standard library's that is being made."""
        loop.__class__, loop._current, loop.listening = cls, current, []  # noqa: SLF001 - it is one.

    def time(self) -> float:
        """Virtual time, as `time.monotonic` shows it."""
        run = self._current()
        return super().time() if run is None else steady_s(run)

    def call_soon(self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None) -> asyncio.Handle:
        """As always, in half of the time: nothing is called more often."""
        if self._debug or self._closed:
            return super().call_soon(callback, *args, context=context)
        handle: Any = _new_handle(_Handle)  # Its own method asks the loop once more whether it is in debug mode.
        handle._callback, handle._args, handle._loop = callback, args, self  # noqa: SLF001
        handle._context = copy_context() if context is None else context  # noqa: SLF001
        handle._cancelled, handle._repr, handle._source_traceback = False, None, None  # noqa: SLF001
        self._ready.append(handle)
        return cast("asyncio.Handle", handle)

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        """Connects, at once: the one address of a host that is under control needs no rounds of this loop."""
        if self._current() is None or host is None or any(value is not None for value in options.values()):
            return await super().create_connection(protocol_factory, host, port, **options)
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, number)
        sock.connect(address)
        return await self._create_connection_transport(sock, protocol_factory, None, None)

    def shutdown_asyncgens(self) -> Any:
        """As always; where there are none, no task is made for it, which takes as long."""
        if self._asyncgens:
            return super().shutdown_asyncgens()
        self._asyncgens_shutdown_called = True
        return self._after_a_round()

    def shutdown_default_executor(self, *args: Any, **options: Any) -> Any:
        """Likewise."""
        if self._default_executor is not None:
            return super().shutdown_default_executor(*args, **options)
        self._executor_shutdown_called = True
        return self._after_a_round()

    def _after_a_round(self) -> asyncio.Future[None]:
        done = self.create_future()
        self.call_soon(lambda: None if done.done() else done.set_result(None))
        return done

    def add_signal_handler(self, sig: int, callback: Callable[[Unpack[Ts]], Any], *args: *Ts) -> None:
        """As always; only a signal needs the pipe by which a loop is woken."""
        if self._ssock is None:
            above: Any = super()
            above._make_self_pipe()  # noqa: SLF001 - as when it is made.
        super().add_signal_handler(sig, callback, *args)

    async def sock_connect(self, sock: Any, address: Any) -> None:
        """Connects, at once."""
        if not isinstance(sock, ControlledSocket):
            await super().sock_connect(sock, address)
            return
        found = await self._ensure_resolved(address, family=sock.family, type=sock.type, proto=sock.proto, loop=self)
        sock.connect(found[0][4])

    def is_busy(self) -> bool:
        """Whether it has something left to do by itself, which a lane may have given it."""
        for stream in self.listening:
            stream.notice()
        return bool(self._ready)

    def _run_once(self) -> None:
        """As many rounds as there is something to do, as the library's; meanwhile nobody is asked what has happened elsewhere.

        No time passes while there is, and nobody else acts; unless somebody blocks, and then it may be over for its worker.
        """
        run = self._current()
        if run is None or self._debug or self._timer_cancelled_count > _MANY:
            above: Any = super()
            above._run_once()  # noqa: SLF001 - as always.
            return
        due_s = self._look(run)
        ready, timers, worker, now_s = self._ready, self._scheduled, run.current(), run.now_s
        while True:
            for _ in range(len(ready)):  # Not those that are added meanwhile.
                handle: Any = ready.popleft()
                if not handle._cancelled:  # noqa: SLF001 - of a loop's own.
                    handle._run()  # noqa: SLF001
            if not ready or self._stopping or worker.has_crashed or self.listening or self._selector.asked_about:
                return
            if run.now_s != now_s or (timers and timers[0]._when < due_s):  # noqa: SLF001
                return

    def _look(self, run: Run) -> float:
        """Finds what is to be done now; waits for it, if nothing is. Tells up to which moment timers are due."""
        timers = self._scheduled
        while timers and timers[0]._cancelled:  # noqa: SLF001 - of a loop's own.
            heapq.heappop(timers)._scheduled = False  # noqa: SLF001
            self._timer_cancelled_count -= 1
        if self.is_busy() and not self._selector.asked_about:
            self._stay_alive(run)
        else:
            self._process_events(self._selector.select(self._patience_s()))
        due_s = steady_s(run) + self._clock_resolution
        while timers and timers[0]._when < due_s:  # noqa: SLF001
            timer = heapq.heappop(timers)
            timer._scheduled = False  # noqa: SLF001
            self._ready.append(timer)
        return due_s

    def _stay_alive(self, run: Run) -> None:
        try:
            run.stay_alive()
        except Crashed:
            bury(self)
            raise

    def _patience_s(self) -> float | None:
        """How long it waits at most; for ever, if there is none."""
        if self._ready or self._stopping:
            return 0.0
        if not self._scheduled:
            return None
        when_s: float = self._scheduled[0]._when  # noqa: SLF001 - of a loop's own.
        return min(max(0.0, when_s - self.time()), _DAY_S)

    def _make_socket_transport(
        self, sock: Any, protocol: Any, waiter: Any = None, *, extra: Any = None, server: Any = None
    ) -> Any:
        if isinstance(sock, ControlledSocket):
            return ControlledTransport(self, sock, protocol, waiter, extra)
        above: Any = super()
        return above._make_socket_transport(sock, protocol, waiter, extra=extra, server=server)  # noqa: SLF001 - as always.

    def _make_self_pipe(self) -> None:
        self._ssock = self._csock = None

    def _close_self_pipe(self) -> None:
        if self._ssock is not None:
            above: Any = super()
            above._close_self_pipe()  # noqa: SLF001 - as always.


def bury(loop: asyncio.AbstractEventLoop | None) -> None:
    """The tasks of a worker that was killed end without a word, and those that they begin when they are closed."""
    if loop is None:
        return
    loop.set_exception_handler(_untold)
    buried = set[asyncio.Task[Any]]()
    while left := asyncio.all_tasks(loop) - buried:
        for task in left:
            untold: Any = task
            untold._log_destroy_pending = False  # noqa: SLF001 - nobody has forgotten it.
            _end(untold.get_coro())
        buried |= left


def _untold(*_: object) -> None:
    """What the tasks of the dead come to."""


def _end(coroutine: Any) -> None:
    """Closes a coroutine; again, as often as it has something else to wait for before it ends."""
    for _ in range(_LAST_WORDS):
        try:
            coroutine.close()
        except RuntimeError:
            continue
        except ValueError:  # It runs: it is the one that was killed.
            pass
        return
