"""Sends everybody to the old version now.

The router is told here and at once. Whoever runs the rollout sees it within a tick, and rolls back; if nobody runs it,
`interlock roll start` does when it is started next.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from interlock.cli.settings import project_around
from interlock.roll.declared import load_declared

if TYPE_CHECKING:
    import argparse

    from interlock.cli.console import Console

HELP = "send everybody to the old version, now"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """There are none."""


def execute(arguments: argparse.Namespace, console: Console) -> int:  # noqa: ARG001 - there are none.
    """Tells the router."""
    project = project_around(Path.cwd())
    router = load_declared(project.document, project.root).open_router()
    before = router.read()
    router.write(before.closed())
    console.result(f"nobody is on the canary any more; it was {before.share:.2%}")
    return 0
