"""A cancellation that is swallowed on its way, and a task that therefore never ends.

`asyncio.wait_for` of Python 3.11 answers as if nothing had happened when what it waits for is done in the same moment, and
redis-py sends every command through it; an error while a connection is being closed takes a cancellation's place likewise.
A task that goes on for as long as it is not cancelled would then go on for ever, and whoever has cancelled it and waits for
its end would wait for ever too. So what may swallow one is looked at afterwards.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable
    from typing import Any

T = TypeVar("T")


async def heeded(awaited: Awaitable[T]) -> T:
    """What it comes to, unless its task was cancelled meanwhile: then that, whatever it comes to.

    A cancellation from before is none of its business: who has caught that one may still have something to send.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        reply = await awaited
    except Exception as error:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError from error
        raise
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
    return reply


async def cancelled(ending: Iterable[asyncio.Future[Any]]) -> None:
    """Cancels what is not done, and waits until all of it is."""
    futures = list(ending)
    for future in futures:
        future.cancel()
    await asyncio.gather(*futures, return_exceptions=True)
