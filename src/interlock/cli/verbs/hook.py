"""Answers an assistant's own hooks: is there a known hazard in what it is about to write, or has written?

Reads one event as JSON from stdin, and answers as the assistant's contract says (docs/integrations.md). `interlock init claude`
and `interlock init cursor` write the settings that make an assistant ask.

A hook that could not do its work never blocks an editor: it says why on stderr and ends with 3 or 70, which both assistants
pass over. It never ends with 2, which both of them take for a refusal.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

from interlock.cli.hook.event import Answer, Event
from interlock.cli.main import ASSISTANTS

if TYPE_CHECKING:
    import argparse

    from interlock.cli.console import Console

HELP = "answer the hooks of an assistant"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own arguments."""
    parser.add_argument("assistant", choices=ASSISTANTS, help="whose hooks: claude (Claude Code) or cursor")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Answers, and ends with an exit code."""
    return answered(arguments.assistant, console)


def answered(assistant: str, console: Console) -> int:
    """Reads, looks, answers. Whatever the answer is, it is given, and that is all that the exit code 0 says."""
    contract = import_module(f"interlock.cli.hook.{assistant}")
    given: Answer = contract.answer(Event.read(sys.stdin.buffer.read()))
    if given.told:
        console.complain(f"interlock: {given.told}")
    if given.output is not None:
        import json  # noqa: PLC0415 - reading the event has imported it already.

        console.result(json.dumps(given.output))
    return 0
