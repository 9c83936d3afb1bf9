"""Schedules dead payments again, at once and with a full set of attempts, under new keys at the provider.

With --all-dead, those are meant whose note holds the text of --reason (upper and lower case are the same). They are counted
first; nothing is done without --yes, and the exit code is then 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from retryqueue.cli import connection, policy_options, showing
from retryqueue.cli.console import safe
from retryqueue.cli.errors import UsageError
from retryqueue.errors import WrongState
from retryqueue.states import State

if TYPE_CHECKING:
    import argparse

    from retryqueue.cli.console import Console
    from retryqueue.queue import RetryQueue

HELP = "schedule dead payments again"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own arguments."""
    parser.add_argument("keys", nargs="*", type=connection.key, metavar="KEY", help="the payments' keys")
    parser.add_argument("--all-dead", action="store_true", help="all dead payments that match --reason, instead of keys")
    parser.add_argument("--reason", metavar="SUBSTRING", help="what their notes hold; an empty text matches every one")
    parser.add_argument("--yes", action="store_true", help="do it, and do not only count (--all-dead)")
    policy_options.add_arguments(parser)


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Requeues, and prints each key that is scheduled now."""
    _check(arguments)
    with connection.existing(arguments, policy=policy_options.policy_of(arguments)) as queue:
        if not arguments.all_dead:
            return _requeue(queue, arguments.keys, console)
        keys = _matching(queue, arguments.reason)
        console.note(f"{showing.counted(len(keys), 'dead payment')} with {arguments.reason!r} in the note")
        if keys and not arguments.yes:
            return console.fail(f"{showing.counted(len(keys), 'payment')} to requeue; nothing was done without --yes", 1)
        return _requeue(queue, keys, console)


def _check(arguments: argparse.Namespace) -> None:
    if bool(arguments.keys) == arguments.all_dead:
        raise UsageError("say either which KEYs, or --all-dead")
    if arguments.all_dead != (arguments.reason is not None):
        raise UsageError("--all-dead and --reason go together; --reason '' means all dead payments")


def _matching(queue: RetryQueue, reason: str) -> list[str]:
    """All keys, before the first of them moves: pages shift when payments leave."""
    wanted = reason.casefold()
    return list(dict.fromkeys(item.key for item in queue.items(State.DEAD) if wanted in item.note.casefold()))


def _requeue(queue: RetryQueue, keys: list[str], console: Console) -> int:
    refused = 0
    for key in keys:
        try:
            queue.requeue(key)
        except WrongState as error:
            console.complain(f"retryqueue: {safe(str(error))}")
            refused += 1
        else:
            console.result(safe(key))
    console.note(f"{showing.counted(len(keys) - refused, 'payment')} scheduled again, {refused} refused")
    return 1 if refused else 0
