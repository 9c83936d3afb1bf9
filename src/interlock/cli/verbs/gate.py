"""May this change ship? Asks a fixed set of questions and answers each from evidence.

The map of features and the settings are read from the base, so that a change cannot loosen its own gate. Where a Tier-1
feature is touched, an open question closes the gate.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from interlock.check.repository import Repository
from interlock.cli import formats
from interlock.core.counting import counted
from interlock.core.errors import UsageError
from interlock.gate.change import Change
from interlock.gate.decide import decide

if TYPE_CHECKING:
    import argparse

    from interlock.cli.console import Console

HELP = "may this change ship? a verdict from evidence"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own arguments."""
    parser.add_argument("--base", metavar="REF", required=True, help="what the change is to be merged into")
    parser.add_argument("--head", metavar="REF", default="HEAD", help="the change (default: HEAD)")
    parser.add_argument("--format", choices=formats.GATE, default="text", help="how to print the verdict (default: text)")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Asks, prints, and answers with an exit code."""
    repository = Repository.around(Path.cwd())
    if repository is None:
        message = f"gate needs a git repository, and {Path.cwd()} is in none"
        raise UsageError(message)
    if arguments.head == "HEAD" and repository.is_dirty():
        console.note("work that is not committed is no part of this verdict")
    change = Change.between(repository, arguments.base, arguments.head)
    decision = decide(change)
    console.result(formats.gate(arguments.format, decision, change, console))
    console.note(
        f"{counted(len(change.paths), 'file')}, {counted(len(decision.asked), 'question')}, "
        f"{decision.open_count} unanswered, {console.elapsed_s:.2f} s"
    )
    return decision.verdict.exit_code
