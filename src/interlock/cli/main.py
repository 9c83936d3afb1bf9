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

import sys
import warnings
from typing import TYPE_CHECKING, NoReturn

from interlock.cli.console import Console
from interlock.core.errors import UsageError, WorldError

if TYPE_CHECKING:
    from collections.abc import Sequence

ASSISTANTS = ("claude", "cursor")
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
    if given[:1] == ["hook"] and given[1:] in ([name] for name in ASSISTANTS):
        from interlock.cli.verbs import hook  # noqa: PLC0415 - asked at every edit, and for two words a parser is too dear.

        return hook.answered(given[1], console)
    from interlock.cli.arguments import parser  # noqa: PLC0415 - likewise.

    try:
        options = parser(_verb(given)).parse_args(given)
    except SystemExit as end:  # argparse has printed the help, or what is wrong with the arguments.
        return int(end.code or 0)
    code: int = options.execute(options, console)
    return code


def _verb(given: list[str]) -> str:
    """The verb that was asked for, if there is one."""
    return next((word for word in given if not word.startswith("-")), "")
