"""Prints the lines that the frontend of your haproxy.cfg needs, or says what is wrong with those that are there.

interlock roll haproxy                        print the lines, as [roll.router] and [[roll.source]] say
interlock roll haproxy --lint haproxy.cfg     look at a configuration and its map file
interlock roll haproxy --write-map            write the map file, in which nobody is on the canary
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from interlock.cli.settings import project_around
from interlock.core.errors import UsageError
from interlock.roll.declared import load_declared
from interlock.roll.routers.haproxy_config import MAP_TEXT

if TYPE_CHECKING:
    import argparse

    from interlock.cli.console import Console

HELP = "print or check the lines that haproxy.cfg needs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("--lint", type=Path, metavar="HAPROXY_CFG", help="say what is wrong with this configuration")
    parser.add_argument("--write-map", action="store_true", help="write the map file, unless it is there")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Prints the lines or the faults. Exit 1 if there are faults."""
    project = project_around(Path.cwd())
    declared = load_declared(project.document, project.root)
    if declared.router.kind != "haproxy":
        message = f"[roll.router] is of kind {declared.router.kind!r}; expected 'haproxy'"
        raise UsageError(message)
    section = declared.section()
    if arguments.write_map and not section.map.exists():
        section.map.write_text(MAP_TEXT, encoding="utf-8")
    if arguments.lint is None:
        console.result(section.text().rstrip())
        return 0
    faults = section.lint(arguments.lint)
    for fault in faults:
        console.result(fault)
    return 1 if faults else 0
