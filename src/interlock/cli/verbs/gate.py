"""May this change ship? Asks a fixed set of questions and answers each from evidence.

The map of features and the settings are read from the base, so that a change cannot loosen its own gate. Where a Tier-1
feature is touched, an open question closes the gate.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from interlock.check.repository import Repository
from interlock.cli import formats
from interlock.core.counting import counted
from interlock.core.errors import UsageError
from interlock.gate.change import Change
from interlock.gate.decide import decide
from interlock.gate.reviews.approvals import read

if TYPE_CHECKING:
    import argparse

    from interlock.cli.console import Console
    from interlock.gate.reviews.approvals import Reviews

_WHERE: Final = re.compile(r"(?P<platform>github|gitlab):(?P<name>[\w./-]+)[#!](?P<number>\d+)")
HELP = "may this change ship? a verdict from evidence"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own arguments."""
    parser.add_argument("--base", metavar="REF", required=True, help="what the change is to be merged into")
    parser.add_argument("--head", metavar="REF", default="HEAD", help="the change (default: HEAD)")
    reviews = parser.add_mutually_exclusive_group()
    reviews.add_argument("--approvals", metavar="FILE", type=Path, help="a JSON file that tells who has approved what")
    reviews.add_argument(
        "--pull-request", metavar="WHERE", help="ask there who has approved: github:OWNER/NAME#7 or gitlab:GROUP/NAME!7"
    )
    parser.add_argument("--format", choices=formats.GATE, default="text", help="how to print the verdict (default: text)")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Asks, prints, and answers with an exit code."""
    repository = Repository.around(Path.cwd())
    if repository is None:
        message = f"gate needs a git repository, and {Path.cwd()} is in none"
        raise UsageError(message)
    if arguments.head == "HEAD" and repository.is_dirty():
        console.note("work that is not committed is no part of this verdict")
    change = Change.between(repository, arguments.base, arguments.head, _reviews(arguments))
    decision = decide(change)
    console.result(formats.gate(arguments.format, decision, change, console))
    console.note(
        f"{counted(len(change.paths), 'file')}, {counted(len(decision.asked), 'question')}, "
        f"{decision.open_count} unanswered, {console.elapsed_s:.2f} s"
    )
    return decision.verdict.exit_code


def _reviews(arguments: argparse.Namespace) -> Reviews | None:
    """What people said of the change, if it is told where to look."""
    if arguments.approvals is not None:
        return read(arguments.approvals)
    if arguments.pull_request is None:
        return None
    match = _WHERE.fullmatch(arguments.pull_request)
    if match is None:
        message = f"--pull-request: found {arguments.pull_request!r}, expected github:OWNER/NAME#7 or gitlab:GROUP/NAME!7"
        raise UsageError(message)
    # Only who asks a platform pays for the client.
    platform = import_module(f"interlock.gate.reviews.{match['platform']}")
    found: Reviews = platform.fetch(match["name"], int(match["number"]))
    return found
