"""Tries what a change does to the database, and leaves evidence for the gate.

interlock rehearse migrations --base main

Each migration that the change adds or edits goes up, down and up again on a Postgres of its own, with rows in it: what is lost?
Then the tests of the release before, [migrations] tests, run on the new schema: can the code go back alone? Nothing that is not
committed is tried, and no database of yours is touched. With --sign KEY the evidence is signed, for features of tier 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from interlock.check.repository import Repository
from interlock.core.evidence import write
from interlock.gate.change import Change
from interlock.gate.migrations import trial
from interlock.gate.migrations.answer import as_evidence
from interlock.gate.migrations.declared import Migrations
from interlock.gate.records.signers import sign

if TYPE_CHECKING:
    import argparse

    from interlock.cli.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `rehearse migrations`."""
    parser.add_argument("-q", "--quiet", action="store_true", help="print the result alone")
    parser.add_argument("--base", metavar="REF", required=True, help="what the change is to be merged into")
    parser.add_argument("--head", metavar="REF", default="HEAD", help="the change (default: HEAD)")
    parser.add_argument("--sign", type=Path, metavar="KEY", help="sign the evidence with this SSH key")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Tries, keeps the evidence, and answers with an exit code."""
    repository = Repository.needed(Path.cwd(), "rehearse")
    if arguments.head == "HEAD" and repository.is_dirty():
        console.note("work that is not committed is not tried")
    change = Change.between(repository, arguments.base, arguments.head)
    settings = Migrations.of(change.settings)
    if settings is None:
        raise change.settings.fail("migrations", "no [migrations] at the base: it says how they are run (alembic or django)")
    found = trial.tried(change, settings, console.note)
    names = (*found.names, *found.gone, *found.unlisted)
    if not names:
        console.result(f"{found.verdict(is_tier_1=False)}: the change adds, edits and removes no migration")
        return found.verdict(is_tier_1=False).exit_code
    verdict = found.verdict(is_tier_1=change.touches_tier_1)
    told = trial.in_short(found.names or names, found.round_trip, found.previous.verdict)
    path = write(as_evidence(found, change, ("interlock", "rehearse", "migrations", "--base", arguments.base)), repository.root)
    if arguments.sign is not None:
        sign(path, arguments.sign)
    lines = "".join(f"\n  {line}" for line in found.lines())
    console.result(f"{verdict}: {told}{lines}\nevidence: {path.relative_to(repository.root)}")
    return verdict.exit_code
