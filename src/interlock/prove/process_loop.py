"""The event loop of one process, for tasks that are coroutines."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class ProcessLoop:
    """An event loop that runs one coroutine after the other, as `asyncio.Runner` does.

    That one also has the first Ctrl-C cancel what it runs, of which a schedule would go on; here Ctrl-C ends the proof. To ask
    what Ctrl-C does, and to change it, takes as long as two commands to Redis.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._context = contextvars.copy_context()
        asyncio.set_event_loop(self._loop)

    def run(self, coroutine: Coroutine[object, object, T]) -> T:
        """What a coroutine comes to."""
        return self._loop.run_until_complete(self._loop.create_task(coroutine, context=self._context))

    def left(self) -> None:
        """The process ends by itself: tasks that are left are cancelled, and what is open is closed."""
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop):
                """It has run what there was to run, and only closes."""
        finally:
            asyncio.set_event_loop(None)

    def lost(self) -> None:
        """It is unwound with its worker."""
