"""Reads source and reports known hazards, in milliseconds.

Without PATHS the current folder is read. Folders are searched for Python files as git sees them: what is ignored is not
read. With --base only what the change plants is reported: findings that were there before it are not.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from interlock.check.discovery import discover
from interlock.check.run import CheckSettings, Report, changed_sources, check_change, check_files
from interlock.cli import formats
from interlock.cli.settings import project_settings
from interlock.core.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from interlock.check.inspect import Problem
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
    found = discover(arguments.paths)
    root, document = project_settings()
    settings = CheckSettings.of(document)
    named = {_relative(Path(path), Path.cwd()) for path in arguments.paths}
    files = [path for path in found.files if path in named or not settings.excludes(_relative(Path(path), root))]
    report = check_files(files, console.progress("checked"))
    report.problems.extend(problem for problem in found.problems if not _excluded(problem, settings, root))
    return report


def _excluded(problem: Problem, settings: CheckSettings, root: Path) -> bool:
    return settings.excludes(_relative(Path(problem.path), root))


def _since(arguments: argparse.Namespace, console: Console) -> Report:
    from interlock.check.repository import Repository  # noqa: PLC0415 - needed with --base alone.

    repository = Repository.around(Path.cwd())
    if repository is None:
        message = f"--base {arguments.base} needs a git repository, and {Path.cwd()} is in none"
        raise UsageError(message)
    before, after = changed_sources(repository, arguments.base, None)
    settings = CheckSettings.of(project_settings()[1])
    wanted = [(repository.root / _relative(Path(path), repository.root)) for path in arguments.paths]
    kept = {
        path: content
        for path, content in after.items()
        if _is_wanted(repository.root / path, wanted) and not settings.excludes(path)
    }
    console.note(f"{len(kept)} changed files since {arguments.base}")
    return check_change(before, kept)


def _is_wanted(path: Path, wanted: list[Path]) -> bool:
    return any(path == place or place in path.parents for place in wanted)


def _relative(path: Path, root: Path) -> str:
    absolute = path.absolute()
    return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else path.as_posix()


def _facts(report: Report, console: Console) -> str:
    problems = f", {len(report.problems)} not checked" if report.problems else ""
    return (
        f"{report.files} files, {report.hazards} hazards, {len(report.findings)} findings, "
        f"{len(report.suppressed)} suppressed{problems}, {console.elapsed_s:.2f} s"
    )
