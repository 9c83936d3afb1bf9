"""Reads the command line, runs one verb, and turns every way to end into an exit code.

0  pass       every question was answered, and well
1  fail       a hazard was found, a question was answered badly
2  usage      an argument or a setting is not right
3  unknown    something could not be read, run or answered
70 ours       a fault of interlock itself: please report it
130           stopped with Ctrl-C

`hook` answers 3 instead of 2: to assistants 2 means that they may not go on, and a mistake in the settings is no
reason for that.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from interlock import __version__
from interlock.cli.console import Console
from interlock.core.errors import UsageError, WorldError

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPILOG = "exit codes: 0 pass, 1 fail, 2 usage or settings, 3 unknown, 70 a fault of interlock itself, 130 stopped"
_EXIT_USAGE, _EXIT_UNKNOWN, _EXIT_OURS, _EXIT_STOPPED = 2, 3, 70, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    console = Console(quiet="--quiet" in given or "-q" in given)
    try:
        code = _ended(given, console)
        return _EXIT_UNKNOWN if code == _EXIT_USAGE and _verb(given) == "hook" else code
    except BrokenPipeError:
        return console.abandoned()


def run() -> NoReturn:
    """The entry point of the `interlock` command."""
    warnings.simplefilter("ignore")  # Python warns of the code that is read, as if we had written it.
    sys.exit(main())


def _ended(given: list[str], console: Console) -> int:
    """Runs the command and turns every way to end into an exit code, but that nobody reads the output any more."""
    try:
        code = _executed(given, console)
        console.flush()
    except UsageError as error:
        return console.fail(str(error), _EXIT_USAGE)
    except WorldError as error:
        return console.fail(f"unknown: {error}", _EXIT_UNKNOWN)
    except KeyboardInterrupt:
        return console.fail("stopped; nothing was written", _EXIT_STOPPED)
    except BrokenPipeError:
        raise
    except Exception:  # noqa: BLE001 - whatever else escapes is our own fault, and must not look like a verdict.
        return console.ours(_EXIT_OURS)
    return code


def _executed(given: list[str], console: Console) -> int:
    try:
        options = _parser(given).parse_args(given)
    except SystemExit as end:  # argparse has printed the help, or what is wrong with the arguments.
        return int(end.code or 0)
    code: int = options.execute(options, console)
    return code


def _parser(given: list[str]) -> argparse.ArgumentParser:
    """The parser. Only the verb that was asked for is imported, so that `check` does not pay for the others."""
    parser = argparse.ArgumentParser(prog="interlock", description="A machine guard for changes.", epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"interlock {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", prog="interlock")
    asked = _verb(given)
    for name in _verbs():
        if asked not in {name, ""} and asked in _verbs():
            continue
        module = import_module(f"interlock.cli.verbs.{name}")
        verb = verbs.add_parser(name, help=module.HELP, description=module.__doc__, epilog=_EPILOG, formatter_class=_Plain)
        verb.add_argument("-q", "--quiet", action="store_true", help="print the result alone, no progress and no closing line")
        module.add_arguments(verb)
        verb.set_defaults(execute=module.execute)
    return parser


def _verb(given: list[str]) -> str:
    """The verb that was asked for, if there is one."""
    return next((word for word in given if not word.startswith("-")), "")


def _verbs() -> list[str]:
    return sorted(path.stem for path in (Path(__file__).parent / "verbs").glob("[a-z]*.py"))


class _Plain(argparse.RawDescriptionHelpFormatter):
    """Keeps a verb's description as its author laid it out."""
