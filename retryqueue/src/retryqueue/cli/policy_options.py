"""The numbers of a queue as options, for the verbs that need them: one for each attribute of `Policy`."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from retryqueue.cli import connection
from retryqueue.policy import Policy

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """An option for each number."""
    group = parser.add_argument_group("policy", "Must be the same for everybody who shares the queue.")
    for field in fields(Policy):
        group.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=connection.count,
            metavar="N",
            default=field.default,
            help=f"default: {'derived from the others' if field.default is None else field.default}",
        )


def policy_of(arguments: argparse.Namespace) -> Policy:
    """The policy that the options give.

    Raises:
        InvalidPolicy: If they would break a promise.
    """
    return Policy(**{field.name: getattr(arguments, field.name) for field in fields(Policy)})
