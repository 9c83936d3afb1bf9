"""Lists the payments in one state, one on each line; of each shard those first that are due or have been there longest.

With --format json each line is one payment as `inspect` prints it. Payments that move meanwhile may be missed or told twice.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from retryqueue.cli import connection, showing
from retryqueue.states import State

if TYPE_CHECKING:
    import argparse

    from retryqueue.cli.console import Console

HELP = "list the payments in one state"
LIMIT = 100


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
    with connection.opened(arguments) as queue:
        for item in islice(queue.items(state), limit or None):
            told += 1
            if arguments.format == "json":
                console.result(showing.as_json(showing.item_fields(item, show_payment=arguments.show_payment)))
            else:
                console.result(showing.item_line(item))
        total = queue.status().counts[state]
    more = "; --limit 0 lists all" if limit and total > told else ""
    console.note(f"{told} of {showing.counted(total, 'payment')} {state}{more}")
    return 0
