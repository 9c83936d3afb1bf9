"""Gives workers nothing more, and waits until none of them holds a payment.

What is enqueued meanwhile, waits. `resume` ends it; without that the queue stays paused, also when the time is over (exit
code 3) or the command is stopped. A lease that has ended is taken back by the next worker that asks; with no worker there,
nobody does.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from retryqueue.cli import connection, showing
from retryqueue.cli.verbs.status import relative
from retryqueue.prometheus import workers_seen
from retryqueue.states import State

if TYPE_CHECKING:
    import argparse

    from retryqueue.cli.console import Console
    from retryqueue.queue import RetryQueue
    from retryqueue.states import Status

HELP = "pause, and wait until nothing is being charged"
TIMEOUT_S = 300.0
_EVERY_S = 0.2
_TELLS_EVERY_S = 2.0
_EXIT_NO, _EXIT_UNKNOWN = 1, 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own arguments."""
    parser.add_argument(
        "--timeout-s",
        type=connection.seconds,
        default=TIMEOUT_S,
        metavar="S",
        help=f"how long to wait, in seconds (default: {TIMEOUT_S:g})",
    )


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Pauses, and waits."""
    with connection.existing(arguments) as queue:
        queue.pause()
        console.note("paused; `retryqueue resume` ends it")
        try:
            return _waited(queue, arguments.timeout_s, console)
        except KeyboardInterrupt:
            console.complain("retryqueue: the queue stays paused")
            raise


def _waited(queue: RetryQueue, timeout_s: float, console: Console) -> int:
    began_s = time.monotonic()
    told_s = began_s - _TELLS_EVERY_S
    while (status := queue.status()).counts[State.LEASED] and status.paused:
        now_s = time.monotonic()
        if now_s - began_s >= timeout_s:
            return console.fail(f"the time is over and {_held(status)}; the queue stays paused", _EXIT_UNKNOWN)
        if now_s - told_s >= _TELLS_EVERY_S:
            told_s = now_s
            console.note(_held(status))
        time.sleep(min(_EVERY_S, began_s + timeout_s - now_s))
    if not status.paused:
        return console.fail("somebody has ended the pause", _EXIT_NO)
    console.result("drained: nothing is leased, and nothing is given out")
    return 0


def _held(status: Status) -> str:
    end = f"next lease end: {relative(status.next_lease_end_ms, status.now_ms)}"
    held = f"{showing.counted(status.counts[State.LEASED], 'payment')} still leased ({end})"
    if workers_seen(status) or status.next_lease_end_ms is None or status.next_lease_end_ms > status.now_ms:
        return held
    return f"{held}, and no worker has asked lately that could take back what has ended"
