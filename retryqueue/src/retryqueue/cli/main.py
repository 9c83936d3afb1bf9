"""Reads the command line, runs one verb, and turns every way to end into an exit code.

0  done       what was asked is done, or told
1  no         the answer is no: there is no such queue or payment, or it is in another state
2  usage      an argument or a setting is not right, such as the server's password
3  unknown    the server does not answer, or something else outside did not do its part
70 ours       a fault of retryqueue itself: please report it
130           stopped with Ctrl-C
"""

from __future__ import annotations

import argparse
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from retryqueue import __version__
from retryqueue.cli import connection
from retryqueue.cli.console import Console, without_login
from retryqueue.cli.errors import NoQueue, UsageError, WorldError
from retryqueue.errors import InvalidPayment, InvalidPolicy, QueueUnavailable, RetryQueueError, ServerRefused, ShardMismatch

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPILOG = "exit codes: 0 done, 1 the answer is no, 2 usage, 3 unknown, 70 a fault of retryqueue itself, 130 stopped"
_EXIT_NO, _EXIT_USAGE, _EXIT_UNKNOWN, _EXIT_OURS, _EXIT_STOPPED = 1, 2, 3, 70, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    console = Console()
    try:
        return _ended(given, console)
    except BrokenPipeError:
        return console.abandoned()


def run() -> NoReturn:
    """The entry point of the `retryqueue` command."""
    sys.exit(main())


def _ended(given: list[str], console: Console) -> int:
    """Runs the command and turns every way to end into an exit code, but that nobody reads the output any more."""
    try:
        return _executed(given, console)
    except (UsageError, InvalidPolicy, InvalidPayment, ShardMismatch, ServerRefused) as error:
        return console.fail(str(error), _EXIT_USAGE)
    except (WorldError, QueueUnavailable) as error:
        return console.fail(f"unknown: {error}", _EXIT_UNKNOWN)
    except (NoQueue, RetryQueueError) as error:
        return console.fail(str(error), _EXIT_NO)
    except KeyboardInterrupt:
        return console.fail("stopped", _EXIT_STOPPED)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - what escapes is the server's word, or else our own fault.
        return _of_the_server(error, console) if _is_servers(error) else console.ours(_EXIT_OURS)


def _is_servers(error: Exception) -> bool:
    """Whether this is the server's word, or that of the way there."""
    from redis.exceptions import RedisError  # noqa: PLC0415 - not needed for the help.

    return isinstance(error, RedisError)


def _of_the_server(error: Exception, console: Console) -> int:
    """What redis-py says without asking again: a refusal, which is a matter of settings, or no answer."""
    from redis.exceptions import AuthenticationError, AuthorizationError, ResponseError  # noqa: PLC0415 - likewise.

    if isinstance(error, (AuthenticationError, AuthorizationError, ResponseError)):
        return console.fail(f"the server refuses: {error}", _EXIT_USAGE)
    return console.fail(f"unknown: {error}", _EXIT_UNKNOWN)


def _executed(given: list[str], console: Console) -> int:
    try:
        options = _parser(given).parse_args(given)
    except SystemExit as end:  # argparse has printed the help, or what is wrong with the arguments.
        return int(end.code or 0)
    console.quiet = options.quiet
    code: int = options.execute(options, console)
    return code


def _parser(given: list[str]) -> argparse.ArgumentParser:
    """The parser. Only the verb that was asked for is imported."""
    parser = _Parser(
        prog="retryqueue", description="Looks at a payment retry queue, and works on it.", epilog=_EPILOG, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"retryqueue {__version__}")
    connection.add_arguments(parser, defaults=True)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", prog="retryqueue")
    asked = connection.verb_of(given)
    for name in [asked] if asked in _verbs() else _verbs():
        module = import_module(f"retryqueue.cli.verbs.{name}")
        verb = verbs.add_parser(
            name,
            help=module.HELP,
            description=module.__doc__,
            epilog=_EPILOG,
            formatter_class=_Plain,
            allow_abbrev=False,
        )
        connection.add_arguments(verb, defaults=False)
        module.add_arguments(verb)
        verb.set_defaults(execute=module.execute)
    return parser


def _verbs() -> list[str]:
    return sorted(path.stem for path in (Path(__file__).parent / "verbs").glob("[a-z]*.py"))


class _Parser(argparse.ArgumentParser):
    """Tells what is wrong with the arguments, but for those that may be an address with its password."""

    def error(self, message: str) -> NoReturn:
        super().error(re.sub(r"\S+@", "***@", without_login(message)))


class _Plain(argparse.RawDescriptionHelpFormatter):
    """Keeps a verb's description as its author laid it out."""
