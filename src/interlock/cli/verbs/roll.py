"""Releases behind a canary, and stops at the first sound sign of harm."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import interlock.cli.roll

if TYPE_CHECKING:
    from interlock.cli.console import Console

HELP = "release behind a canary that stops harm in seconds"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-commands, each of which is a file of `interlock.cli.roll` with HELP, add_arguments and execute."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in sorted(path.stem for path in Path(interlock.cli.roll.__path__[0]).glob("[a-z]*.py")):
        module = import_module(f"interlock.cli.roll.{name}")
        command = commands.add_parser(
            name, help=module.HELP, description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        command.add_argument("-q", "--quiet", action="store_true", help="print the result alone")
        module.add_arguments(command)
        command.set_defaults(execute_command=module.execute)


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the sub-command."""
    code: int = arguments.execute_command(arguments, console)
    return code
