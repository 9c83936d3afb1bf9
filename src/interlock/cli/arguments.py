"""What can be written behind `interlock`: the verbs, and the arguments of the one that was asked for."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from interlock import __version__

_EPILOG = "exit codes: 0 pass, 1 fail, 2 usage or settings, 3 unknown, 70 a fault of interlock itself, 130 stopped"


def parser(asked: str) -> argparse.ArgumentParser:
    """The parser. Only the verb that was asked for is imported, so that `check` does not pay for the others; else all are."""
    found = argparse.ArgumentParser(prog="interlock", description="A machine guard for changes.", epilog=_EPILOG)
    found.add_argument("--version", action="version", version=f"interlock {__version__}")
    verbs = found.add_subparsers(dest="verb", required=True, metavar="VERB", prog="interlock")
    for name in _verbs():
        if asked not in {name, ""} and asked in _verbs():
            continue
        module = import_module(f"interlock.cli.verbs.{name}")
        verb = verbs.add_parser(name, help=module.HELP, description=module.__doc__, epilog=_EPILOG, formatter_class=_Plain)
        verb.add_argument("-q", "--quiet", action="store_true", help="print the result alone, no progress and no closing line")
        module.add_arguments(verb)
        verb.set_defaults(execute=module.execute)
    return found


def _verbs() -> list[str]:
    return sorted(path.stem for path in (Path(__file__).parent / "verbs").glob("[a-z]*.py"))


class _Plain(argparse.RawDescriptionHelpFormatter):
    """Keeps a verb's description as its author laid it out."""
