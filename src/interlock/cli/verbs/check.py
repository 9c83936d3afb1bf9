"""Reads source and reports known hazards: one file in under 100 ms.

Without a PATH the current folder is read. Folders are searched for Python files as git sees them: what is ignored is not
read. With --base only what is new since then is reported. A team's own hazards ([hazards] folder in the settings) are run as
they are in the work tree; --hazards holds those to what every hazard promises.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.check.discovery import discover, shown
from interlock.check.inspect import Problem
from interlock.check.run import CheckSettings, Report, changed_sources, check_change, check_files, unread
from interlock.cli import formats
from interlock.cli.settings import project_around
from interlock.core.counting import counted
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
    parser.add_argument(
        "--force-exclude", action="store_true", help="leave out what the settings exclude, also where it is named"
    )
    parser.add_argument("--hazards", action="store_true", help="hold the team's own hazards to what a hazard promises, no more")
    parser.add_argument("--format", choices=formats.CHECK, default="text", help="how to print the result (default: text)")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Checks, prints, and answers with an exit code."""
    if arguments.hazards:
        from interlock.cli.own_hazards import held  # noqa: PLC0415 - a check does without.

        return held(project_around(Path.cwd()), console)
    report = _whole(arguments, console) if arguments.base is None else _since(arguments, console)
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
    named = set[str]() if arguments.force_exclude else {project.inside(path) for path in arguments.paths}
    files = {path: inside for path in found.files if (inside := project.inside(path)) in named or not excludes(inside)}
    report = check_files(files, project.hazards, console.progress("checked"))
    report.excluded = len(found.files) - len(files)
    if not found.files and not found.problems:
        report.problems.append(Problem(path=" ".join(arguments.paths), line=0, message="no Python file is there to check"))
    report.problems.extend(problem for problem in found.problems if not excludes(project.inside(problem.path)))
    return report


def _since(arguments: argparse.Namespace, console: Console) -> Report:
    from interlock.check.repository import Repository  # noqa: PLC0415 - needed with --base alone.

    repository = Repository.needed(Path.cwd(), f"--base {arguments.base}")
    project = project_around(Path.cwd())
    excludes = CheckSettings.of(project.document).excludes
    wanted = [_place(path, repository.root) for path in arguments.paths]

    def kept(contents: dict[str, bytes]) -> dict[str, bytes]:
        """The files that were asked for and are not excluded, by the path as it is seen from here."""
        places = {path: repository.root / path for path in contents}
        asked = {path: place for path, place in places.items() if any(around in wanted for around in (place, *place.parents))}
        return {shown(place): contents[path] for path, place in asked.items() if not excludes(project.inside(place))}

    start = repository.merge_base(arguments.base, "HEAD")
    before, after = (kept(contents) for contents in changed_sources(repository, start, None))
    console.note(f"{counted(len(after), 'changed file')} since {arguments.base}")
    report = check_change(before, after, project.hazards, lambda path: is_test_path(project.inside(path)))
    report.problems += [
        problem for problem in unread(repository, start, None) if not excludes(project.inside(repository.root / problem.path))
    ]
    return report


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
    """One line of what was done: how many files, and of them those that were not looked into."""
    tests = f" ({report.tests} of them test code, not looked at)" if report.tests else ""
    facts = [
        counted(report.files, "file") + tests,
        *([f"{report.excluded} excluded"] if report.excluded else []),
        counted(len(report.hazards), "hazard"),
        counted(len(report.findings), "finding"),
        f"{len(report.suppressed)} suppressed",
        *([counted(len(report.problems), "problem")] if report.problems else []),
        f"{console.elapsed_s:.2f} s",
    ]
    return ", ".join(facts)
