"""Runs the charge function: in the loop if it is a coroutine function, in threads if not; and always comes to an outcome."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from retryqueue.card_numbers import safe_reason
from retryqueue.outcome import Ambiguous, Outcome
from retryqueue.states import Lease

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

logger = logging.getLogger("retryqueue")

Charge = Callable[[Lease], Outcome] | Callable[[Lease], Awaitable[Outcome]]


def charger(charge: Charge, threads: ThreadPoolExecutor) -> Callable[[Lease], Awaitable[Outcome]]:
    """The charge function as a coroutine function that never raises, unless it is cancelled."""
    if inspect.iscoroutinefunction(charge) or inspect.iscoroutinefunction(getattr(charge, "__call__", None)):  # noqa: B004 - an object whose call is a coroutine function.
        return lambda lease: _in_loop(charge, lease)
    return lambda lease: asyncio.get_running_loop().run_in_executor(threads, _in_thread, charge, lease)


async def _in_loop(charge: Callable[[Lease], Any], lease: Lease) -> Outcome:
    try:
        return await charge(lease)  # type: ignore[no-any-return]
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        return _unknown(lease, "the charge function was cancelled")
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, money may have moved.
        return _unknown(lease, _named(error))


def _in_thread(charge: Callable[[Lease], Any], lease: Lease) -> Outcome:
    try:
        return charge(lease)  # type: ignore[no-any-return]
    except BaseException as error:  # noqa: BLE001 - likewise, and a thread of ours is nobody's to end.
        return _unknown(lease, _named(error))


def _named(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - an error that cannot be shown must not end the worker.
        return type(error).__name__


def _unknown(lease: Lease, reason: str) -> Ambiguous:
    logger.warning("attempt %d of %s: outcome unknown, %s", lease.attempt, lease.key, safe_reason(reason))
    return Ambiguous(reason)
