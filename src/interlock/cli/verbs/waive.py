"""Writes a waiver: a person answers for one open question of one change, with a reason and until a day.

interlock waive touched --base main --owner bo@shop.example --until 2026-12-01 --reason "the map only grows" --sign ~/.ssh/bo

It counts once its owner has signed it with a key that the base trusts as human, and as long as the change and the settings
of the base stay what they are. A bad answer cannot be waived, nor can reviews. The question is asked first, so that its owner
sees what is open.
"""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.check.repository import Repository
from interlock.core import evidence
from interlock.core.errors import UsageError
from interlock.core.verdict import Verdict
from interlock.gate.change import Change
from interlock.gate.decide import answered, questions
from interlock.gate.question import Asked
from interlock.gate.records.signers import NAMESPACE, sign
from interlock.gate.waivers.settling import settled
from interlock.gate.waivers.waiver import made

if TYPE_CHECKING:
    from interlock.cli.console import Console

HELP = "answer for an open question of the gate, with an owner, a reason and a last day"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own arguments."""
    names = [name for name, question in questions().items() if not question.no_waiver]
    parser.add_argument("question", choices=names, metavar="QUESTION", help=f"which question: {', '.join(names)}")
    parser.add_argument("--base", metavar="REF", required=True, help="what the change is to be merged into")
    parser.add_argument("--head", metavar="REF", default="HEAD", help="the change (default: HEAD)")
    parser.add_argument(
        "--owner", metavar="NAME", required=True, help="who answers for it: the name of a [[signer]] of the base"
    )
    parser.add_argument("--reason", metavar="TEXT", required=True, help="why it need not be answered")
    parser.add_argument("--until", metavar="DATE", required=True, type=_day, help="the last day on which it counts, in UTC")
    parser.add_argument("--sign", type=Path, metavar="KEY", help="sign it with this SSH key, the owner's")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Asks, writes, signs, and answers with 0 if the gate will count it, and 3 if it will not yet."""
    repository = Repository.needed(Path.cwd(), "waive")
    change = Change.between(repository, arguments.base, arguments.head)
    asked = _open(arguments.question, change)
    console.note("\n".join([f"{asked.question.text} {asked.answer.answer}", *(f"  {line}" for line in asked.answer.evidence)]))
    told = {"owner": arguments.owner, "reason": arguments.reason, "until": arguments.until}
    path = evidence.write(made(change, asked, **told), repository.root)
    if arguments.sign is not None:
        sign(path, arguments.sign)
    console.result(f"waiver: {path.relative_to(repository.root)}")
    (now,), set_aside = settled((asked,), change)
    if now.waiver:
        console.note(now.waiver.told)
        return 0
    console.complain("\n".join(["it does not count yet:", *(f"  {line}" for line in set_aside)]))
    console.note(f"to sign it: ssh-keygen -Y sign -n {NAMESPACE} -f KEY {path.relative_to(repository.root)}")
    return Verdict.UNKNOWN.exit_code


def _open(name: str, change: Change) -> Asked:
    """The question with its answer. Raises UsageError if nothing is open about it."""
    question = questions()[name]
    answer = answered(question, change)
    if answer.verdict is not Verdict.UNKNOWN:
        message = f"{question.text} {answer.verdict}: {answer.answer}; only what is unknown can be waived"
        raise UsageError(message)
    return Asked(name=name, question=question, answer=answer)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        message = f"found {text!r}, expected a day such as 2026-12-01"
        raise argparse.ArgumentTypeError(message) from None
