"""May this change ship? Asks a fixed set of questions and answers each from evidence.

The map of features and the settings are read from the base, so that a change cannot loosen its own gate. Where a Tier-1
feature is touched, an open question closes the gate.

--format markdown is one comment for a pull request, checklist is DEPLOY_CHECKLIST.md, sarif is for code scanning. --write
FORMAT=FILE writes further ones in the same run. --dry-run tells the real verdict and blocks nothing: for getting to know it.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from interlock.check.repository import Repository
from interlock.cli.decisions import FORMATS, told
from interlock.cli.decisions.ruling import Ruling
from interlock.core import evidence
from interlock.core.counting import counted
from interlock.core.errors import UsageError, WorldError
from interlock.gate.change import Change
from interlock.gate.decide import decide
from interlock.gate.records.signers import sign
from interlock.gate.records.verdicts import recorded
from interlock.gate.reviews.approvals import read

if TYPE_CHECKING:
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
    parser.add_argument("--dry-run", action="store_true", help="tell the verdict, and end with 0 whatever it is")
    parser.add_argument("--keep", action="store_true", help="keep the verdict as evidence (an in-toto statement)")
    parser.add_argument("--sign", type=Path, metavar="KEY", help="keep it, and sign it with this SSH key")
    parser.add_argument("--format", choices=FORMATS, default="text", help="how to print the verdict (default: text)")
    parser.add_argument(
        "--write",
        metavar="FORMAT=FILE",
        action="append",
        default=[],
        type=_written,
        help="write it to a file as well, such as checklist=DEPLOY_CHECKLIST.md; may be given several times",
    )


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Asks, prints, and answers with an exit code."""
    repository = Repository.needed(Path.cwd(), "gate")
    if arguments.head == "HEAD" and repository.is_dirty():
        console.note("work that is not committed is no part of this verdict")
    change = Change.between(repository, arguments.base, arguments.head, _reviews(arguments))
    decision = decide(change)
    ruling = Ruling(decision=decision, change=change, is_dry_run=arguments.dry_run)
    keeps = arguments.keep or arguments.sign is not None
    kept = _kept(ruling, arguments.sign) if keeps else None
    for form, path in arguments.write:
        _write(told(form, ruling), path)
    # Last, for whatever goes wrong before ends with another exit code than this.
    console.result(told(arguments.format, replace(ruling, paint=console.paint)))
    if kept:
        console.note(f"evidence: {kept}")
    elif keeps:
        console.complain("the verdict is not kept: the change leaves no file behind, so there is nothing to bind it to")
    console.note(
        f"{counted(len(change.paths), 'file')}, {counted(len(decision.asked), 'question')}, "
        f"{decision.open_count} unanswered, {console.elapsed_s:.2f} s"
    )
    return 0 if arguments.dry_run else decision.verdict.exit_code


def _kept(ruling: Ruling, key: Path | None) -> Path | None:
    """Leaves the verdict as evidence, and answers with its path in the project; None if there is nothing to bind it to.

    Raises:
        UsageError: If the key cannot be used.
        WorldError: If it cannot be written.
    """
    root = ruling.change.repository.root
    claim = recorded(ruling.decision, ruling.change)
    if claim is None:
        return None
    path = evidence.write(claim, root)
    if key is not None:
        sign(path, key)
    return path.relative_to(root)


def _written(text: str) -> tuple[str, Path]:
    """`markdown=comment.md`: a form, and where it goes."""
    form, _, path = text.partition("=")
    if form not in FORMATS or not path:
        message = f"found {text!r}, expected FORMAT=FILE with a format of {', '.join(FORMATS)}"
        raise argparse.ArgumentTypeError(message)
    return form, Path(path)


def _write(text: str, path: Path) -> None:
    """Raises WorldError if it cannot be written."""
    try:
        path.write_text(f"{text}\n", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        message = f"{path}: cannot be written: {error.strerror}"
        raise WorldError(message) from error


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
