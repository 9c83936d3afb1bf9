"""Says where the rollout is, and what the router really does."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.cli.roll.start import FOLDER
from interlock.cli.settings import project_around
from interlock.roll.declared import load_declared
from interlock.roll.state import StateFile

if TYPE_CHECKING:
    import argparse

    from interlock.cli.console import Console

HELP = "say where the rollout is, and what the router does"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print it (default: text)")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Prints it."""
    project = project_around(Path.cwd())
    setting = load_declared(project.document, project.root).open_router().read()
    state = StateFile(project.root / FOLDER / "state.json").load()
    share = setting.share if time.time() < setting.until_s else 0.0
    told = {
        "version": 1,
        "share": share,
        "phase": state.phase if state else None,
        "step": state.step + 1 if state else None,
        "seen_s": round(time.time() - state.at_s, 1) if state else None,
        "reason": state.reason if state else "",
    }
    if arguments.format == "json":
        console.result(json.dumps(told, indent=2))
        return 0
    where = f"step {told['step']}, {told['phase']}, seen {told['seen_s']} s ago" if state else "no rollout"
    console.result(f"{where}; the router sends {share:.2%} to the canary")
    return 0
