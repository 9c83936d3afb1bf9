"""Settles a payment in reconcile, once a person has asked the provider what became of it.

--paid REFERENCE: it was charged, under this reference of the provider. It has succeeded.
--not-paid: it was not charged, and never will be under the keys sent so far. It is scheduled again, under a new key at the
provider, with a full set of attempts. If it was charged after all, this charges it twice.

To say once more that it was paid, under the same reference, changes nothing and is no error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from retryqueue.cli import connection, policy_options
from retryqueue.cli.console import safe
from retryqueue.cli.errors import UsageError
from retryqueue.errors import WrongState
from retryqueue.states import State

if TYPE_CHECKING:
    import argparse

    from retryqueue.cli.console import Console
    from retryqueue.queue import RetryQueue

HELP = "settle a payment whose outcome is unknown"
LONGEST_REFERENCE = 255


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own arguments."""
    parser.add_argument("key", type=connection.key, metavar="KEY", help="the payment's key")
    answer = parser.add_mutually_exclusive_group(required=True)
    answer.add_argument("--paid", type=connection.key, metavar="REFERENCE", help="it was charged: the provider's reference")
    answer.add_argument("--not-paid", action="store_true", help="it was not charged: try again")
    policy_options.add_arguments(parser)


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Settles it, and prints the state that it is in now."""
    paid_as: str | None = arguments.paid
    if paid_as is not None and not (0 < len(paid_as.strip()) <= LONGEST_REFERENCE and paid_as.isprintable()):
        raise UsageError(f"--paid needs the provider's reference: 1 to {LONGEST_REFERENCE} printable characters")
    with connection.existing(arguments, policy=policy_options.policy_of(arguments)) as queue:
        try:
            queue.resolve(arguments.key, paid_as=paid_as, not_paid=arguments.not_paid)
        except WrongState:
            if paid_as is None or not _is_paid_as(queue, arguments.key, paid_as):
                raise
            console.note("already so: nothing was changed")
    console.result(f"{safe(arguments.key)}  {'scheduled' if arguments.not_paid else 'succeeded'}")
    return 0


def _is_paid_as(queue: RetryQueue, key: str, reference: str) -> bool:
    item = queue.inspect(key)
    return item is not None and item.state is State.SUCCEEDED and item.note == reference
