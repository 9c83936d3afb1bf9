"""Carries a rollback out in an environment, times and verifies it, and leaves evidence for the gate.

interlock rehearse rollback --env staging -- kubectl rollout undo deployment/shop
interlock rehearse migrations --base main

Several steps are parted by `--then`. The environment's version and health are read before and after. The evidence holds as
long as the files that [rollback] covers stay what they are. With --sign KEY it is signed, for features of tier 1.
"""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.check.repository import Repository
from interlock.cli import trial
from interlock.cli.settings import project_around
from interlock.core.errors import UsageError
from interlock.core.evidence import Evidence, git_blob, write
from interlock.gate.records.signers import sign
from interlock.gate.rehearsals.declared import Environment, Rollback
from interlock.gate.rehearsals.rehearse import rehearse

if TYPE_CHECKING:
    from interlock.cli.console import Console
    from interlock.cli.settings import Project

HELP = "carry a rollback out in an environment, and keep evidence that it works"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own arguments."""

    def about(text: str | None) -> dict[str, Any]:
        return {"description": text, "formatter_class": argparse.RawDescriptionHelpFormatter}

    kinds = parser.add_subparsers(dest="what", required=True, metavar="rollback|migrations")
    trial.add_arguments(
        kinds.add_parser("migrations", help="that what it does to the database can be undone", **about(trial.__doc__))
    )
    parser = kinds.add_parser("rollback", help="that the old version can be brought back", **about(__doc__))
    parser.add_argument("-q", "--quiet", action="store_true", help="print the result alone")
    parser.add_argument("--env", required=True, metavar="NAME", help="an [[environment]] of the settings")
    parser.add_argument("--to", default="", metavar="VERSION", help="what must serve afterwards (default: another than before)")
    parser.add_argument("--sign", type=Path, metavar="KEY", help="sign the evidence with this SSH key")
    parser.add_argument("command", nargs="*", metavar="-- COMMAND", help="the steps, parted by --then")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Rehearses, keeps the evidence, and answers with an exit code."""
    if arguments.what == "migrations":
        return trial.execute(arguments, console)
    project = project_around(Path.cwd())
    rollback = Rollback.of(project.document)
    if rollback is None:
        raise project.document.fail("rollback", "no [rollback] in the settings: which files does a rollback depend on?")
    environment = Environment.named(project.document, arguments.env)
    commands = _steps(arguments.command)
    subjects = _subjects(project, rollback)
    done = rehearse(environment, commands, rollback.within_s, arguments.to, console.note)
    evidence = Evidence(
        kind="rehearsal",
        verdict=done.verdict,
        subjects=subjects,
        made_at=datetime.now(UTC),
        command=("interlock", "rehearse", "rollback", "--env", environment.name, "--", *arguments.command),
        found={**done.as_facts(), "executable": [path for path in subjects if os.access(project.root / path, os.X_OK)]},
    )
    path = write(evidence, project.root)
    if arguments.sign is not None:
        sign(path, arguments.sign)
    told = done.flaw or f"{done.after.version} serves again and is well after {done.seconds:.1f} s"
    if not done.before.version:
        told = f"{environment.name} tells no version, so nothing was run"
    console.result(f"{done.verdict}: {told}\nevidence: {path.relative_to(project.root)}")
    return done.verdict.exit_code


def _steps(words: list[str]) -> list[list[str]]:
    """The commands, parted by `--then`."""
    steps: list[list[str]] = [[]]
    for word in words:
        if word == "--then":
            steps.append([])
        else:
            steps[-1].append(word)
    if not all(steps):
        message = "rehearse: no command; expected interlock rehearse rollback --env NAME -- COMMAND [--then COMMAND]"
        raise UsageError(message)
    return steps


def _subjects(project: Project, rollback: Rollback) -> dict[str, str]:
    """The files that the rollback depends on, as they are now."""
    covered = rollback.covered(Repository.needed(project.root, "rehearse").files(project.root))
    if not covered:
        raise project.document.fail(
            "covers", f"no file is in {', '.join(rollback.covers)}: what would the rehearsal be bound to?"
        )
    odd = [path for path in covered if (project.root / path).is_symlink() or not (project.root / path).is_file()]
    if odd:
        message = f"{odd[0]} is in covers and is no plain file (a link, a submodule, or gone): it has no content to be bound to"
        raise project.document.fail("covers", message)
    return {path: git_blob((project.root / path).read_bytes()) for path in covered}
