"""Tells all that is known of one payment. Exit code 1 if there is none with this key.

Payment method and details are masked unless --show-payment is given. The bytes of a quarantined item are shown in printable
ASCII; those of its fields that are recognised, and card numbers, are masked likewise. What never was JSON cannot be masked by
field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from retryqueue.cli import connection, showing
from retryqueue.cli.console import safe

if TYPE_CHECKING:
    import argparse

    from retryqueue.cli.console import Console

HELP = "tell all that is known of one payment"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own arguments."""
    parser.add_argument("key", type=connection.key, metavar="KEY", help="the payment's key")
    parser.add_argument("--show-payment", action="store_true", help="show payment method, details and raw bytes as they are")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print the result (default: text)")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Prints the payment."""
    with connection.existing(arguments) as queue:
        item = queue.inspect(arguments.key)
    if item is None:
        return console.fail(f"{safe(arguments.key)}: there is no such payment", 1)
    if arguments.format == "json":
        console.result(showing.as_json(showing.item_fields(item, show_payment=arguments.show_payment)))
    else:
        console.result("\n".join(showing.item_lines(item, show_payment=arguments.show_payment)))
    return 0
