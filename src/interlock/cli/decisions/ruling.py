"""A decision, with what is needed to print it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.core.counting import counted
from interlock.core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.gate.change import Change
    from interlock.gate.decide import Decision
    from interlock.gate.question import Asked
    from interlock.gate.waivers.waiver import Waiver


def _plain(text: str, *_: str) -> str:
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What is printed."""

    decision: Decision
    change: Change
    is_dry_run: bool = False  # whether nothing is to be blocked by it
    paint: Callable[..., str] = field(default=_plain)  # a text in styles, where styles can be seen

    @property
    def range(self) -> str:
        """`1a2b3c4d5e..6f7a8b9c0d, 3 files`."""
        return f"{self.change.start[:10]}..{self.change.head[:10]}, {counted(len(self.change.paths), 'file')}"

    @property
    def reason(self) -> str:
        """The verdict's meaning, in a few words."""
        match self.decision.verdict:
            case Verdict.FAIL:
                return f"may not ship, {counted(len(self.answered(Verdict.FAIL)), 'bad answer')}"
            case Verdict.UNKNOWN:
                return f"may not ship yet, {counted(self.decision.open_count, 'required question')} unanswered"
            case Verdict.PASS:
                waived = f", {counted(len(self.waived), 'question')} waived" if self.waived else ""
                return f"may ship{waived}"

    @property
    def dry_run(self) -> str:
        """What a dry run says of itself; nothing, if it is none."""
        if not self.is_dry_run:
            return ""
        return f"dry run: nothing is blocked, the exit code is 0; without --dry-run it is {self.decision.verdict.exit_code}"

    @property
    def waived(self) -> list[tuple[Asked, Waiver]]:
        """The questions that a waiver settles, each with it."""
        return [(asked, asked.waiver) for asked in self.decision.asked if asked.waiver]

    def answered(self, *verdicts: Verdict) -> list[Asked]:
        """The questions with these answers."""
        return [asked for asked in self.decision.asked if asked.answer.verdict in verdicts]
