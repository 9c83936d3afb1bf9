"""Forgets dead or quarantined payments, after each is written to a file: their keys are free again.

Each payment is one line of JSON, as `inspect --show-payment --format json` prints it, at the end of the file. It is on the
disk (fsync) before the payment is removed. The file holds payment methods, so a new one is made for its owner alone.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from retryqueue.cli import connection, showing
from retryqueue.cli.console import safe
from retryqueue.cli.errors import UsageError, WorldError
from retryqueue.errors import WrongState
from retryqueue.states import State

if TYPE_CHECKING:
    import argparse
    from collections.abc import Generator

    from retryqueue.cli.console import Console
    from retryqueue.queue import RetryQueue
    from retryqueue.states import Item

HELP = "write dead or quarantined payments to a file, and forget them"
_PURGEABLE = (State.DEAD, State.QUARANTINED)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own arguments."""
    parser.add_argument("keys", nargs="+", type=connection.key, metavar="KEY", help="the payments' keys")
    parser.add_argument("--to", required=True, metavar="FILE", help="where to write them first")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Writes and removes one payment after the other, and prints the keys of those that are gone."""
    keys = list(dict.fromkeys(arguments.keys))
    with connection.existing(arguments) as queue, _opened(Path(arguments.to)) as file:
        gone = [key for key in keys if _purged(queue, key, file, console)]
    console.note(f"{showing.counted(len(gone), 'payment')} purged, {len(keys) - len(gone)} refused")
    return 0 if len(gone) == len(keys) else 1


def _purged(queue: RetryQueue, key: str, file: int, console: Console) -> bool:
    item = queue.inspect(key)
    if item is None or item.state not in _PURGEABLE:
        found = f"is {item.state.predicate}" if item else "there is no such payment"
        console.complain(f"retryqueue: {safe(key)}: it must be dead or quarantined for this, and {found}")
        return False
    _write(file, item)
    try:
        queue.purge(key)
    except WrongState as error:
        console.complain(f"retryqueue: {safe(str(error))}; it was written to the file, and is still in the queue")
        return False
    console.result(safe(key))
    return True


@contextmanager
def _opened(path: Path) -> Generator[int]:
    """The file, to add to its end."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError as error:
        raise UsageError(f"--to {safe(str(path))}: {error.strerror}") from error
    try:
        _keep_name(path)
        yield file
    finally:
        os.close(file)


def _keep_name(path: Path) -> None:
    """A new file's name is on the disk only when its folder is."""
    try:
        folder = os.open(path.parent, os.O_RDONLY)
    except PermissionError:  # A folder may be written and not read; what is in the file is kept all the same.
        return
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write(file: int, item: Item) -> None:
    line = f"{showing.as_json(showing.item_fields(item, show_payment=True))}\n".encode()
    try:
        while line:
            line = line[os.write(file, line) :]
        os.fsync(file)
    except OSError as error:
        raise WorldError(f"the payment {safe(item.key)} cannot be written, and is not removed: {error.strerror}") from error
