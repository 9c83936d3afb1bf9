"""Reads source and reports known hazards, in milliseconds.

Without PATHS the current folder is read. Folders are searched for Python files as git sees them: what is ignored is not
read. With --base only what the change plants is reported: findings that were there before it are not.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.check.discovery import discover, shown
from interlock.check.run import CheckSettings, Report, changed_sources, check_change, check_files
from interlock.cli import formats
from interlock.cli.console import counted
from interlock.cli.settings import project_around
from interlock.core.errors import UsageError
from interlock.source.module import is_test_path

if TYPE_CHECKING:
    import argparse

    from interlock.cli.console import Console

HELP = "read source and report known hazards"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own arguments."""
    parser.add_argument("paths", nargs="*", default=["."], metavar="PATH", help="files and folders (default: this folder)")
    parser.add_argument("--base", metavar="REF", help="report only what is new since this commit, branch or tag")
    parser.add_argument("--format", choices=formats.CHECK, default="text", help="how to print the result (default: text)")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Checks, prints, and answers with an exit code."""
    report = _since(arguments, console) if arguments.base else _whole(arguments, console)
    report.findings.sort(key=lambda finding: (finding.location, finding.hazard))
    report.problems.sort(key=lambda problem: (problem.path, problem.line))
    for problem in report.problems:
        console.complain(str(problem))
    text = formats.check(arguments.format, report, console)
    if text:
        console.result(text)
    console.note(_facts(report, console))
    return exit_code(report)


def exit_code(report: Report) -> int:
    """A finding is a fail; a fault of ours is no verdict; anything unread is unknown."""
    if not report.findings and any(problem.is_ours for problem in report.problems):
        return 70
    return report.verdict.exit_code


def _whole(arguments: argparse.Namespace, console: Console) -> Report:
    project = project_around(Path.cwd())
    excludes = CheckSettings.of(project.document).excludes
    found = discover(arguments.paths)
    named = {project.inside(path) for path in arguments.paths}
    files = {path: inside for path in found.files if (inside := project.inside(path)) in named or not excludes(inside)}
    report = check_files(files, console.progress("checked"))
    report.problems.extend(problem for problem in found.problems if not excludes(project.inside(problem.path)))
    return report


def _since(arguments: argparse.Namespace, console: Console) -> Report:
    from interlock.check.repository import Repository  # noqa: PLC0415 - needed with --base alone.

    repository = Repository.around(Path.cwd())
    if repository is None:
        message = f"--base {arguments.base} needs a git repository, and {Path.cwd()} is in none"
        raise UsageError(message)
    project = project_around(Path.cwd())
    excludes = CheckSettings.of(project.document).excludes
    wanted = [_place(path, repository.root) for path in arguments.paths]

    def kept(contents: dict[str, bytes]) -> dict[str, bytes]:
        """The files that were asked for and are not excluded, by the path as it is seen from here."""
        places = {path: repository.root / path for path in contents}
        asked = {path: place for path, place in places.items() if any(around in wanted for around in (place, *place.parents))}
        return {shown(place): contents[path] for path, place in asked.items() if not excludes(project.inside(place))}

    before, after = (kept(contents) for contents in changed_sources(repository, arguments.base, None))
    console.note(f"{counted(len(after), 'changed file')} since {arguments.base}")
    return check_change(before, after, lambda path: is_test_path(project.inside(path)))


def _place(path: str, root: Path) -> Path:
    """Where a path of the command line is.

    Raises UsageError if it is not there, or not in the repository.
    """
    place = Path(os.path.normpath(Path(path).absolute()))
    if not os.path.lexists(place):
        message = f"{path}: no such file or folder"
        raise UsageError(message)
    if not place.is_relative_to(root):
        message = f"{path} is not in the repository {root}"
        raise UsageError(message)
    return place


def _facts(report: Report, console: Console) -> str:
    problems = f", {len(report.problems)} not checked" if report.problems else ""
    return (
        f"{counted(report.files, 'file')}, {counted(report.hazards, 'hazard')}, {counted(len(report.findings), 'finding')}, "
        f"{len(report.suppressed)} suppressed{problems}, {console.elapsed_s:.2f} s"
    )
