"""Writes what a project begins with. Asks nothing, and changes nothing that is there.

settings  interlock.toml with proposals, every line a comment until you decide (this is what happens without WHAT)
claude    entries in .claude/settings.json, so that Claude Code asks `interlock hook claude`
cursor    entries in .cursor/hooks.json, so that Cursor asks `interlock hook cursor`
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from interlock.check.discovery import discover
from interlock.check.repository import Repository, hold_to_files
from interlock.cli.init import assistants, first_settings
from interlock.cli.settings import project_around
from interlock.source.module import ENDINGS

if TYPE_CHECKING:
    import argparse

    from interlock.cli.console import Console

HELP = "write first settings, or the hooks of an assistant"
_WHAT: Final = ("settings", "claude", "cursor")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own arguments."""
    parser.add_argument("what", nargs="?", default="settings", choices=_WHAT, metavar="WHAT", help=", ".join(_WHAT))


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Writes, and says what was written."""
    hold_to_files(Path.cwd(), "init")
    match arguments.what:
        case "claude":
            console.result(assistants.claude(_top()))
        case "cursor":
            console.result(assistants.cursor(_top()))
        case _:
            project = project_around(Path.cwd())
            console.result(first_settings.write(project, _sources(project.root)))
    _warn_of_the_path(arguments.what, console)
    return 0


def _top() -> Path:
    """Where an assistant looks for its settings: at the top of the repository, or in the folder that one stands in."""
    here = Path.cwd()
    repository = Repository.around(here)
    return repository.root if repository else here


def _sources(root: Path) -> dict[str, str]:
    """The Python files below a folder, as text."""
    paths = {path: Path(path) for path in discover([str(root)]).files if path.lower().endswith(ENDINGS)}
    return {place.absolute().relative_to(root).as_posix(): place.read_text(errors="replace") for place in paths.values()}


def _warn_of_the_path(what: str, console: Console) -> None:
    from shutil import which  # noqa: PLC0415 - of this verb alone.

    if what != "settings" and which("interlock") is None:
        console.note("interlock is not on the PATH here; the assistant must find it, or nothing is asked")
