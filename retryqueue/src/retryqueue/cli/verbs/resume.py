"""Ends a pause: workers are given payments again. If there is none, that is told, and is no error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retryqueue.cli import connection

if TYPE_CHECKING:
    import argparse

    from retryqueue.cli.console import Console

HELP = "end a pause or a drain"


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """The verb has no arguments of its own."""


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Resumes."""
    with connection.existing(arguments) as queue:
        was_paused = queue.status().paused
        queue.resume()
    console.result(f"{'resumed' if was_paused else 'was not paused'}: what is due is given out")
    return 0
