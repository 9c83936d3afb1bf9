"""Counts the payments in each state, and tells how the queue is.

Workers are those that have asked for work within the last minute. Succeeded payments are counted as long as their keys live.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from retryqueue.cli import connection, showing
from retryqueue.cli.console import safe
from retryqueue.prometheus import workers_seen
from retryqueue.states import State

if TYPE_CHECKING:
    import argparse

    from retryqueue.cli.console import Console
    from retryqueue.queue import RetryQueue
    from retryqueue.states import Status

HELP = "count the payments, and tell how the queue is"
WORKERS = "workers seen in the last minute"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own arguments."""
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print the result (default: text)")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Prints the status once."""
    with connection.existing(arguments) as queue:
        status, shards, dangers = queue.status(), queue.shards(), dangers_of(queue)
    if arguments.format == "json":
        fields = showing.status_fields(status, queue=arguments.queue, shards=shards)
        console.result(showing.as_json({**fields, "durability": {"durable": not dangers, "dangers": dangers}}))
        return 0
    head = f"queue {arguments.queue} on {connection.shown_address(arguments)}, {showing.counted(shards, 'shard')}"
    console.result("\n".join([console.paint(safe(head), "bold"), *lines(status, console), *durability(dangers, console)]))
    return 0


def lines(status: Status, console: Console) -> list[str]:
    """The counts and times, for people."""
    facts = {
        "work": console.paint("paused", "yellow") if status.paused else "given out",
        "lag": showing.duration(status.lag_ms),
        "next due": relative(status.next_due_ms, status.now_ms),
        "next lease end": relative(status.next_lease_end_ms, status.now_ms),
        WORKERS: workers(status),
    }
    counts = [f"{state:15} {status.counts[state]:>12,}" for state in State]
    return [*counts, *(f"{name:15} {fact}" for name, fact in facts.items())]


def relative(time_ms: int | None, now_ms: int) -> str:
    """A time as seen from now."""
    if time_ms is None:
        return "none"
    return f"in {showing.duration(time_ms - now_ms)}" if time_ms > now_ms else f"{showing.duration(now_ms - time_ms)} ago"


def workers(status: Status) -> str:
    """How many workers there are, and of those that are gone when the last one asked."""
    seen = len(workers_seen(status))
    if seen or not status.workers:
        return str(seen)
    return f"0 (the last one asked {showing.duration(status.now_ms - max(status.workers.values()))} ago)"


def dangers_of(queue: RetryQueue) -> list[str]:
    """How the server could lose payments, a sentence each."""
    found = queue.dangers()
    return [*found.of_a_restart, *found.of_a_crash]


def durability(dangers: list[str], console: Console) -> list[str]:
    """Whether the server keeps what it accepts, for people."""
    if not dangers:
        return [f"{'durability':15} the server keeps what it accepts"]
    return [f"{'durability':15} {console.paint('payments may be lost', 'red')}: {danger}" for danger in dangers]
