"""The threads of anyio, by which FastAPI and Starlette call what is not async, and by which their test clients call what is.

A function that would go to a thread runs on a lane beside the event loop. An event loop that would run in a thread of its own
is run by whoever waits for what it does: while nobody waits, it stands still.
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from interlock.prove.scheduler import Run

_NOT_STARTED = "Task exited without calling task_status.started()"  # As anyio has it.


@contextmanager
def controlled_anyio(current: Callable[[], Run | None]) -> Generator[None]:
    """Keeps anyio from starting threads while a schedule runs, if anybody has imported it, and it is anyio 4."""
    own: Any = import_module("anyio._backends._asyncio") if "anyio" in sys.modules else None
    backend = getattr(own, "AsyncIOBackend", None)
    if backend is None:
        yield
        return
    threads: Any = import_module("anyio.from_thread")
    with ExitStack() as changed:
        _change(changed, backend, "run_sync_in_worker_thread", partial(_on_lanes, current))
        _change(changed, threads, "start_blocking_portal", partial(_inline_portals, current, threads.BlockingPortal))
        _change(changed, threads, "threadlocals", partial(_ThreadLocals, current))
        yield


def _change(changed: ExitStack, owner: Any, name: str, instead: Callable[[Any], Any]) -> None:
    """Puts something in the place of a function, of which it is told, until it is all over."""
    real = owner.__dict__[name]
    changed.callback(setattr, owner, name, real)
    setattr(owner, name, instead(real))


def _on_lanes(current: Callable[[], Run | None], real: Any) -> Any:
    async def run_sync(
        backend: Any,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        abandon_on_cancel: bool = False,  # noqa: FBT001, FBT002 - as anyio has it.
        limiter: Any = None,
    ) -> Any:
        if current() is None:
            return await real.__get__(None, backend)(func, args, abandon_on_cancel, limiter)
        async with limiter or nullcontext():
            return await asyncio.to_thread(func, *args)

    return classmethod(run_sync)


def _inline_portals(current: Callable[[], Run | None], kind: Any, real: Callable[..., Any]) -> Callable[..., Any]:
    def start_blocking_portal(backend: str = "asyncio", *rest: Any, **options: Any) -> Any:
        run = current()
        if run is None:
            return real(backend, *rest, **options)
        if backend != "asyncio":
            raise run.uncontrolled(f"an event loop of {backend}")
        return _portal(kind)

    return start_blocking_portal


class _ThreadLocals:
    """What tells a function in a thread of which event loop it is: here there is no thread that could wait for one."""

    def __init__(self, current: Callable[[], Run | None], real: Any) -> None:
        self._current, self._real = current, real

    def __getattr__(self, name: str) -> Any:
        run = self._current()
        if run is not None:
            raise run.uncontrolled("anyio.from_thread, by which a thread waits for its event loop")
        return getattr(self._real, name)


@contextmanager
def _portal(kind: Any) -> Generator[Any]:
    """A portal to an event loop, as `anyio.from_thread.start_blocking_portal` gives one."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        made: Future[Any] = _Awaited(loop)

        async def main() -> None:
            async with _inline(kind, loop)() as portal:
                made.set_result(portal)
                await portal.sleep_until_stopped()

        task, is_broken_off = loop.create_task(main()), False
        portal = made.result()
        try:
            yield portal
        except BaseException:
            is_broken_off = True
            raise
        finally:
            portal.call(portal.stop, is_broken_off)
            loop.run_until_complete(asyncio.wait([task]))  # Whatever it comes to: in a thread nobody would be told either.


class _Awaited(Future[Any]):
    """What will come of a task. Whoever asks for it lets the event loop run until it is there."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop

    def result(self, timeout: float | None = None) -> Any:
        self._await(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._await(timeout)
        return super().exception(0)

    def _await(self, timeout: float | None) -> None:
        if not self.done():
            task = asyncio.wrap_future(self, loop=self._loop)
            task.add_done_callback(lambda task: task.cancelled() or task.exception())  # Nobody is to warn of it.
            self._loop.run_until_complete(asyncio.wait([task], timeout=timeout))


def _inline(kind: Any, loop: asyncio.AbstractEventLoop) -> Any:
    """The kind of portal whose event loop runs where it is waited for."""

    def start_task_soon(portal: Any, func: Callable[..., Any], *args: Any, name: object = None) -> Future[Any]:
        return start(portal, func, args, {}, name)

    def start_task(portal: Any, func: Callable[..., Any], *args: Any, name: object = None) -> tuple[Future[Any], Any]:
        started = _Awaited(loop)
        future = start(portal, func, args, {"task_status": _Status(started)}, name)
        future.add_done_callback(partial(_tell_if_never_started, started))
        return future, started.result()

    def start(portal: Any, func: Any, args: tuple[Any, ...], options: dict[str, Any], name: object) -> Future[Any]:
        future = _Awaited(loop)
        call = partial(portal._call_func, func, args, options, future)  # noqa: SLF001 - what a portal does in its loop.
        loop.call_soon(partial(portal._task_group.start_soon, call, name=name))  # noqa: SLF001 - likewise.
        return future

    return type(kind.__name__, (kind,), {"start_task_soon": start_task_soon, "start_task": start_task})


class _Status:
    """By which a task tells that it has started."""

    def __init__(self, started: Future[Any]) -> None:
        self._started = started

    def started(self, value: Any = None) -> None:
        """Tells it."""
        self._started.set_result(value)


def _tell_if_never_started(started: Future[Any], future: Future[Any]) -> None:
    if started.done():
        return
    if future.cancelled():
        started.cancel()
    else:
        started.set_exception(future.exception(0) or RuntimeError(_NOT_STARTED))
