"""Shows the queue, and redraws it once a second until Ctrl-C. Only on a terminal; elsewhere it prints one status.

enqueued/s is how fast the number of all payments grows, succeeded/s how fast that of the succeeded ones does. Keys whose life
ends are subtracted by that, so both may be low, and are unknown while a number falls. While the server does not answer, this
is shown, and no number.
"""

from __future__ import annotations

import shutil
import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from retryqueue.cli import connection, showing
from retryqueue.cli.console import safe, without_login
from retryqueue.cli.verbs.status import WORKERS, dangers_of, durability, lines, relative, workers
from retryqueue.errors import QueueUnavailable
from retryqueue.states import State

if TYPE_CHECKING:
    import argparse
    from collections.abc import Generator

    from retryqueue.cli.console import Console
    from retryqueue.queue import RetryQueue
    from retryqueue.states import Status

HELP = "show the queue, redrawn once a second"
EVERY_S = 1.0
_WIDEST_BAR = 40
_COLOURS = {
    State.SCHEDULED: "cyan",
    State.LEASED: "yellow",
    State.SUCCEEDED: "green",
    State.DEAD: "red",
    State.RECONCILE: "red",
    State.QUARANTINED: "red",
}


@dataclass(frozen=True, slots=True)
class Rates:
    """Payments per second, between two looks; none if that cannot be told."""

    enqueued: float | None = None
    succeeded: float | None = None


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """The verb has no arguments of its own."""


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Draws until it is stopped."""
    with connection.existing(arguments) as queue:
        status, dangers = queue.status(), dangers_of(queue)
        if not console.is_terminal:
            console.note("stdout is no terminal: this is one status, not redrawn")
            console.result("\n".join([*lines(status, console), *durability(dangers, console)]))
        else:
            head = safe(f"queue {arguments.queue} on {connection.shown_address(arguments)}")
            with _hidden_cursor(console):
                _redraw(queue, status, dangers, head, console)
    return 0


def rates(before: Status, now: Status) -> Rates:
    """How fast payments came and succeeded between two looks, on the server's clock."""
    passed_s = (now.now_ms - before.now_ms) / 1000
    if passed_s <= 0:
        return Rates()
    grown = sum(now.counts.values()) - sum(before.counts.values())
    succeeded = now.counts[State.SUCCEEDED] - before.counts[State.SUCCEEDED]
    return Rates(*(change / passed_s if change >= 0 else None for change in (grown, succeeded)))


def frame(status: Status, rate: Rates, dangers: list[str], head: str, console: Console) -> list[tuple[str, str]]:
    """What is drawn: lines without control characters, each with its colour (or none)."""
    most = max(*status.counts.values(), 1)
    drawn = [(f"{head}{'  PAUSED' if status.paused else ''}", "bold")]
    for state in State:
        count = status.counts[state]
        drawn.append((f"{state:12} {count:>12,}  {_bar(count, most, console)}", _COLOURS[state] if count else ""))
    oldest = f", the oldest due {relative(status.next_due_ms, status.now_ms)}" if status.lag_ms else ""
    facts = {
        "rates": f"enqueued {_per_second(rate.enqueued)}, succeeded {_per_second(rate.succeeded)}",
        "lag": f"{showing.duration(status.lag_ms)}{oldest}",
        "next due": relative(status.next_due_ms, status.now_ms),
        "lease ends": relative(status.next_lease_end_ms, status.now_ms),
        WORKERS: workers(status),
    }
    warnings = [(f"payments may be lost: {danger}", "red") for danger in dangers]
    return [*drawn, *((f"{name:12} {fact}", "") for name, fact in facts.items()), *warnings]


def _redraw(queue: RetryQueue, status: Status, dangers: list[str], head: str, console: Console) -> NoReturn:
    drawn, rate = 0, Rates()
    while True:
        drawn = _draw(frame(status, rate, dangers, head, console), drawn, console)
        while True:
            time.sleep(EVERY_S)
            try:
                before, (status, dangers) = status, (queue.status(), dangers_of(queue))
            except QueueUnavailable as error:
                told = f"{head}  NO ANSWER", safe(without_login(str(error)))
                drawn = _draw([(told[0], "red"), (told[1], "")], drawn, console)
            else:
                rate = rates(before, status)
                break


def _draw(content: list[tuple[str, str]], drawn: int, console: Console) -> int:
    """Draws over what was drawn before; tells how many lines there are now."""
    width, height = shutil.get_terminal_size()
    content = content[: max(1, height - 1)]
    painted = [console.paint(text[:width], style) if style else text[:width] for text, style in content]
    up = f"\r\033[{drawn}A" if drawn else "\r"
    console.draw(up + "".join(f"{line}\033[K\n" for line in painted) + "\033[J")
    return len(content)


def _bar(count: int, most: int, console: Console) -> str:
    """A bar as long as this share of the longest; something, if there is anything."""
    return ("█" if console.has_blocks else "#") * (-(-count * _WIDEST_BAR // most))


def _per_second(rate: float | None) -> str:
    return "unknown" if rate is None else f"{rate:,.1f}/s"


def _end(*_: object) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)


@contextmanager
def _hidden_cursor(console: Console) -> Generator[None]:
    """No cursor while drawing; it is back however this ends, short of a kill."""
    before = signal.signal(signal.SIGTERM, _end)
    console.draw("\033[?25l")
    try:
        yield
    finally:
        console.draw("\033[?25h")
        signal.signal(signal.SIGTERM, before)
