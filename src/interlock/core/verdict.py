"""Three answers, never two.

The order is the one that Jepsen's checkers use: the worst answer wins, and `unknown` never becomes `pass`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Verdict(StrEnum):
    """What a guard says of a change."""

    PASS = "pass"  # noqa: S105 - an answer, not a password.
    UNKNOWN = "unknown"
    FAIL = "fail"

    @property
    def exit_code(self) -> int:
        """The process exit code that tells this verdict to a script."""
        return {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.UNKNOWN: 3}[self]


_WORST_LAST = (Verdict.PASS, Verdict.UNKNOWN, Verdict.FAIL)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of several verdicts. Of none at all it is `unknown`: nothing was asked, so nothing is known."""
    return max(verdicts, key=_WORST_LAST.index, default=Verdict.UNKNOWN)
