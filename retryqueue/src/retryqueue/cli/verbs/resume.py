"""Ends a pause: workers are given payments again."""

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
    with connection.opened(arguments) as queue:
        queue.resume()
    console.result("resumed: what is due is given out")
    return 0
