"""Empties the sorted set of another queue into this one. Without --yes it only looks, and changes nothing.

Stop the old producers and workers first. Members that may have been charged by an old worker, that name the same payment as
another one, and that cannot be read, are set aside for a person; the report tells which. It may be stopped at any moment and
run again with the same options. What went to quarantine because of wrong options is read once more with --again.

Exit codes: 0 nothing needs a person; 1 something does; 2 wrong options, such as those with which most members cannot be read,
and nothing was moved; 3 a server did not answer, and what is reported was done.
"""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from retryqueue.cli import connection, policy_options, showing
from retryqueue.cli.console import safe
from retryqueue.cli.errors import UsageError
from retryqueue.errors import QueueUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from retryqueue.cli.console import Console
    from retryqueue.migration import Migration, Plan
    from retryqueue.migration.foreign_payment import Reading
    from retryqueue.migration.report import Report


HELP = "empty the sorted set of another queue into this one"
_TELLS_EVERY_S = 2.0
_EXIT_NO, _EXIT_UNKNOWN = 1, 3
_GO_ON = "correct the options and look without --yes; --accept-unreadable moves all the same, these to quarantine"
_DOUBTFUL = ("reconcile", "schedule")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own arguments."""
    parser.add_argument("source", metavar="KEY", help="the sorted set: JSON objects by their due time in seconds since 1970")
    parser.add_argument("--yes", action="store_true", help="migrate; otherwise it is a dry run")
    parser.add_argument("--dry-run", action="store_true", help="only look, which is what happens without --yes")
    parser.add_argument("--accept-unreadable", action="store_true", help="migrate though most members go to quarantine")
    parser.add_argument("--again", action="store_true", help="read what earlier migrations put into quarantine once more")
    parser.add_argument("--from", dest="old_server", metavar="URL", help="the old queue's server, if it is another one")
    parser.add_argument("--dead-letters", metavar="KEY", help="a list of dead letters, to migrate to reconcile")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print the report (default: text)")
    _add_reading(parser)
    _add_doubts(parser)
    policy_options.add_arguments(parser)


def _add_reading(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how a member is read")
    group.add_argument("--key", metavar="FIELD", help="the field that is the payment's key, such as order_id")
    group.add_argument(
        "--identity",
        type=_names,
        default=(),
        metavar="FIELD,..",
        help="or the fields that name the purchase, as in Payment.identified_by; with neither, equal members are one payment",
    )
    group.add_argument(
        "--field",
        action="append",
        type=_pair,
        default=[],
        metavar="OURS=THEIRS",
        help="what a field is called: user_id, amount, currency, payment_method_id or retry_count (repeatable)",
    )
    group.add_argument("--amount-unit", choices=("minor", "major"), default="minor", help="4999 or 49.99 (default: minor)")
    group.add_argument(
        "--context",
        type=_names,
        default=(),
        metavar="FIELD,..",
        help="fields that do not say what is paid for, such as trace ids",
    )


def _add_doubts(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what may have been charged")
    group.add_argument(
        "--workers-stopped-at",
        type=_moment_ms,
        metavar="TIME",
        help="when the last old worker stopped, such as 2026-01-31T03:12:00Z; what was due by then is overdue (default: now)",
    )
    group.add_argument(
        "--overdue", choices=_DOUBTFUL, default="reconcile", help="where overdue members go (default: reconcile)"
    )
    group.add_argument(
        "--attempted", choices=_DOUBTFUL, default="reconcile", help="where members go that were tried (default: reconcile)"
    )
    group.add_argument(
        "--hold-all", action="store_true", help="everything to reconcile: the old queue was given payments of unknown outcome"
    )
    group.add_argument(
        "--accepted", metavar="PATTERN", help="the old idempotency keys, such as 'retry:idempotency:*', to find what is missing"
    )
    group.add_argument(
        "--accepted-value",
        metavar="FIELD",
        help="the field that their values hold (default: their names end in USER:TIME)",
    )


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Migrates, or looks, and prints the report."""
    with _opened(arguments, _Progress(console)) as migration:
        try:
            refusal = _refusal(migration, arguments)
            report = migration.run()
        except ValueError as error:
            raise UsageError(safe(str(error))) from None
        except (QueueUnavailable, KeyboardInterrupt):
            _print(migration.report, arguments.format, console)
            raise
    _print(report, arguments.format, console)
    if report.dry_run:
        console.note(f"dry run: nothing was changed; --yes {f'would refuse: {refusal}' if refusal else 'migrates'}")
    return _EXIT_NO if report.needs_a_person else 0


def _refusal(migration: Migration, arguments: argparse.Namespace) -> str:
    """Why --yes moves nothing, on several lines; empty if it does. --again needs no such look: nothing can be lost by it.

    Raises:
        UsageError: Instead, with --yes.
    """
    looks = [] if arguments.again or arguments.accept_unreadable else migration.looks()
    bad = [safe(line) for look in looks if look.is_bad for line in look.lines()]
    text = "\n".join([*bad, _GO_ON]) if bad else ""
    if bad and arguments.yes:
        raise UsageError(f"nothing was moved: {text}")
    return text


def _opened(arguments: argparse.Namespace, progress: Callable[[Report], None]) -> Migration:
    from retryqueue.migration import Migration  # noqa: PLC0415 - not needed for the help.

    if arguments.yes and arguments.dry_run:
        raise UsageError("say either --yes or --dry-run")
    policy = policy_options.policy_of(arguments)
    connection.opened(arguments).close()  # Tells what is wrong with address and name, if anything is.
    try:
        plan = _plan(arguments)
    except ValueError as error:
        raise UsageError(safe(str(error))) from None
    try:
        return Migration(
            connection.address(arguments),
            plan,
            name=arguments.queue,
            policy=policy,
            old_server=arguments.old_server,
            dry_run=not arguments.yes,
            patience_s=arguments.patience_s,
            progress=progress,
        )
    except ValueError:  # What a parser says of an address may quote its password.
        raise UsageError("--from holds no address of a Redis") from None


def _plan(arguments: argparse.Namespace) -> Plan:
    from retryqueue.migration import Plan  # noqa: PLC0415 - not needed for the help.

    if arguments.accepted_value and not arguments.accepted:
        raise UsageError("--accepted-value needs --accepted")
    return Plan(
        source=arguments.source,
        reading=_reading(arguments),
        dead_letters=arguments.dead_letters,
        overdue=arguments.overdue,
        attempted=arguments.attempted,
        hold_all=arguments.hold_all,
        stopped_at_ms=arguments.workers_stopped_at,
        accepted=arguments.accepted,
        accepted_value=arguments.accepted_value,
        again=arguments.again,
    )


def _reading(arguments: argparse.Namespace) -> Reading:
    from retryqueue.migration.foreign_payment import Reading  # noqa: PLC0415 - not needed for the help.

    return Reading(
        key=arguments.key,
        identity=arguments.identity,
        fields=dict(arguments.field),
        amount_unit=arguments.amount_unit,
        context=arguments.context,
    )


def _print(report: Report, form: str, console: Console) -> None:
    if form == "json":
        console.result(showing.as_json(report.fields()))
    else:
        console.result("\n".join(safe(line) for line in report.lines()))


class _Progress:
    """Tells how far it is, once it takes longer."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told_s = time.monotonic()

    def __call__(self, report: Report) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s >= _TELLS_EVERY_S:
            self._told_s = now_s
            self._console.note(f"{report.read:,} read")


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError(f"expected FIELD,FIELD, found {text!r}")
    return names


def _pair(text: str) -> tuple[str, str]:
    ours, _, theirs = text.partition("=")
    if not ours or not theirs:
        raise argparse.ArgumentTypeError(f"expected OURS=THEIRS, found {text!r}")
    return ours, theirs


def _moment_ms(text: str) -> int:
    """A time in ISO 8601, in ms since 1970. Without an offset nobody knows which hour is meant."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a time such as 2026-01-31T03:12:00Z, found {text!r}") from None
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text} names no offset from UTC; end it with Z or +01:00")
    if moment > datetime.now(tz=UTC):
        raise argparse.ArgumentTypeError(f"{text} has not come yet")
    return int(moment.timestamp() * 1000)
