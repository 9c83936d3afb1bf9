"""From the command line to a queue; what every verb is told about it."""

from __future__ import annotations

import argparse
import math
import os
from typing import TYPE_CHECKING

from retryqueue.cli.console import safe, without_login
from retryqueue.cli.errors import NoQueue, UsageError

if TYPE_CHECKING:
    from retryqueue.conversation import Durability, Talk
    from retryqueue.policy import Policy
    from retryqueue.queue import RetryQueue

ENVIRONMENT = "RETRYQUEUE_SERVER"
PATIENCE_S = 5.0
_WITH_VALUE = {"--server", "--queue", "--patience-s"}


def add_arguments(parser: argparse.ArgumentParser, *, defaults: bool) -> None:
    """Which queue, and how patiently. Both the command and its verbs take these; only the command has their defaults."""

    def default(value: object) -> object:
        return value if defaults else argparse.SUPPRESS

    parser.add_argument(
        "--server",
        metavar="URL",
        default=default(None),
        help=f"the server's address; better in {ENVIRONMENT} if it holds a password, since others see arguments",
    )
    parser.add_argument("--queue", metavar="NAME", default=default("payments"), help="the queue's name (default: payments)")
    parser.add_argument(
        "--patience-s",
        type=seconds,
        metavar="S",
        default=default(PATIENCE_S),
        help=f"how long to wait for a server that does not answer, in seconds (default: {PATIENCE_S:g})",
    )
    parser.add_argument(
        "-q", "--quiet", action="store_true", default=default(value=False), help="print the result alone, and no progress"
    )


def verb_of(given: list[str]) -> str:
    """The verb of a command line; empty if there is none."""
    before = ["", *given]
    return next((word for last, word in zip(before, given, strict=False) if word[:1] != "-" and last not in _WITH_VALUE), "")


def opened(arguments: argparse.Namespace, *, policy: Policy | None = None, durability: Durability = "ignore") -> RetryQueue:
    """The queue that the command line names. The server is first asked by whatever is called on it.

    Args:
        arguments: What was given.
        policy: The queue's numbers, for a verb that needs them.
        durability: What to do if the server does not keep what it accepts; the operator is warned by `status`, not each time.

    Raises:
        UsageError: If no server is named, or by no address.
    """
    from retryqueue.queue import RetryQueue  # noqa: PLC0415 - not needed for the help.

    try:
        return RetryQueue(
            address(arguments), name=arguments.queue, policy=policy, durability=durability, patience_s=arguments.patience_s
        )
    except ValueError as error:
        raise UsageError(_unusable(arguments, error)) from None


def existing(arguments: argparse.Namespace, *, policy: Policy | None = None) -> RetryQueue:
    """The same, of a queue that is on the server already: a name that was mistyped makes no queue.

    Raises:
        NoQueue: If there is none of this name.
        QueueUnavailable, ServerRefused: If the server does not say.
        UsageError: As `opened`.
    """
    from retryqueue.conversation import Patience, patient  # noqa: PLC0415 - not needed for the help.
    from retryqueue.server import Server  # noqa: PLC0415 - likewise.

    queue, patience = opened(arguments, policy=policy), Patience(arguments.patience_s)
    server = Server(address(arguments), patience_s=arguments.patience_s, connections=1)
    try:
        if not server.carry(patient(lambda: _is_made(arguments.queue), patience, "looking for the queue")):
            raise NoQueue(f"there is no queue {safe(arguments.queue)} on this server: is the name right?")
    finally:
        server.close()
    return queue


def _is_made(name: str) -> Talk[bool]:
    """Whether whoever comes first to a queue has been there. Asked with a command that opening it needs, too."""
    from retryqueue.conversation import Send  # noqa: PLC0415 - not needed for the help.

    return (yield Send(("GET", f"{{{name}}}:shards"))) is not None


def address(arguments: argparse.Namespace) -> str:
    """The server's address.

    Raises:
        UsageError: If none is named.
    """
    named: str = arguments.server or os.environ.get(ENVIRONMENT) or ""
    if not named:
        raise UsageError(f"no server is named: give --server URL or set {ENVIRONMENT}, for example redis://localhost:6379/0")
    return named


def shown_address(arguments: argparse.Namespace) -> str:
    """The server's address without user and password."""
    return without_login(address(arguments))


def seconds(text: str) -> float:
    """An argument that is a number of seconds, 0 or more."""
    number = float(text)
    if not math.isfinite(number) or number < 0:
        raise argparse.ArgumentTypeError(f"must be a number of seconds, 0 or more, found {text}")
    return number


def count(text: str) -> int:
    """An argument that is a whole number, 0 or more."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"must be a whole number, 0 or more, found {text}")
    return number


def key(text: str) -> str:
    """An argument that is a payment's key."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError("must be text in UTF-8") from None
    return text


def _unusable(arguments: argparse.Namespace, error: ValueError) -> str:
    """What is wrong. What a parser says of an address may quote its password, and is not repeated."""
    if "queue's name" in str(error):
        return str(error)
    source = "--server" if arguments.server else ENVIRONMENT
    return (
        f"{source} holds no address of a Redis; expected redis://HOST:PORT/DB, rediss://..., unix://PATH, "
        "redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB or redis+cluster://HOST:PORT,HOST:PORT, with special characters of "
        "a password written as %XX"
    )
