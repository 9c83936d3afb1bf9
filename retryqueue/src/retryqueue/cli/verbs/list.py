"""Lists the payments in one state, one on each line; of each shard those first that are due or have been there longest.

scheduled    waits for its next attempt, or until it is due
leased       a worker has it; when the lease ends unanswered, another one gets it
succeeded    was charged; its key is remembered for a while, so that a repeat is not charged
dead         was not charged, and is tried no more: `requeue` schedules it again, `purge` forgets it
reconcile    may have been charged: ask the provider, then tell `reconcile`
quarantined  cannot be read as a payment: look at its bytes with `inspect`, `purge` forgets it

With --format json each line is one payment as `inspect` prints it. Payments that move meanwhile may be missed or told twice.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from retryqueue.cli import connection, showing
from retryqueue.cli.console import safe
from retryqueue.states import State

if TYPE_CHECKING:
    import argparse

    from retryqueue.cli.console import Console
    from retryqueue.states import Item

HELP = "list the payments in one state"
LIMIT = 100
# Lines whose columns are aligned; it is also how many the server reads at once.
_ALIGNED_AT_ONCE = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own arguments."""
    parser.add_argument("state", choices=[str(state) for state in State], metavar="STATE", help=", ".join(State))
    parser.add_argument(
        "--limit", type=connection.count, default=LIMIT, metavar="N", help=f"at most so many; 0 for all (default: {LIMIT})"
    )
    parser.add_argument("--show-payment", action="store_true", help="show payment method and details too (json)")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print the result (default: text)")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Prints the payments as they are read."""
    state, limit, told = State(arguments.state), arguments.limit, 0
    with connection.existing(arguments) as queue:
        console.note(safe(f"queue {arguments.queue} on {connection.shown_address(arguments)}, {state}"))
        items = islice(queue.items(state), limit or None)
        while some := list(islice(items, _ALIGNED_AT_ONCE)):
            told += len(some)
            console.result("\n".join(_lines(some, arguments)))
        total = queue.status().counts[state]
    more = "; --limit 0 lists all" if limit and total > told else ""
    console.note(f"{told} of {showing.counted(total, 'payment')} {state.predicate}{more}")
    return 0


def _lines(items: list[Item], arguments: argparse.Namespace) -> list[str]:
    if arguments.format == "json":
        return [showing.as_json(showing.item_fields(item, show_payment=arguments.show_payment)) for item in items]
    return showing.aligned([showing.item_columns(item) for item in items])
