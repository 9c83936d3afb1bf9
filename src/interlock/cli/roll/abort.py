"""Sends everybody to the old version now.

The router is told here and at once. Whoever runs the rollout sees it within a tick, and rolls back; if nobody runs it,
`interlock roll start` does when it is started next, in whatever phase the rollout was.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from interlock.cli.roll.start import FOLDER
from interlock.cli.settings import project_around
from interlock.roll.declared import load_declared
from interlock.roll.state import StateFile

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
    file = StateFile(project.root / FOLDER / "state.json")
    try:
        state = file.load()
        if state is not None and not state.phase.over:
            file.wish_abort()  # First: whoever is about to begin a step sees it, however late the router hears of it.
    finally:
        before = router.read()
        router.write(before.closed())
    console.result(f"nobody is on the canary any more; it was {before.share:.2%}")
    return 0
