"""What an answer rests on: how old it is, and whose word it is.

A file of evidence in a change is written by whoever is being judged. So each piece says how far it can be trusted: its author's
own word, a key of CI's, a person's word, or that the gate has just worked it out itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, Self

from interlock.gate.records.signers import Trust

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """One piece of evidence that an answer rests on."""

    what: str  # "rehearsal in staging"
    trust: Trust
    by: str  # who vouches for it: a signer, a platform, nobody
    made_at: datetime | None  # None where that is not known
    expires_at: datetime | None = None  # None: it holds as long as the code is what it is
    path: str = ""  # of the file that holds it, relative to the project

    @classmethod
    def recomputed(cls, what: str, moment: datetime) -> Self:
        """What the gate has worked out itself, in this very run."""
        return cls(what=what, trust=Trust.RECOMPUTED, by="this run of the gate", made_at=moment)

    def age(self, now: datetime) -> timedelta | None:
        """How old it is; None where that is not known. Of what clocks that disagree make of the future, nothing."""
        return None if self.made_at is None else max(now - self.made_at, timedelta())

    def as_facts(self) -> dict[str, Any]:
        """As JSON has it: times in ISO 8601, null where there is none."""
        return {
            "what": self.what,
            "trust": self.trust,
            "by": self.by,
            "made_at": _iso(self.made_at),
            "expires_at": _iso(self.expires_at),
            "path": self.path or None,
        }

    def told(self, now: datetime) -> str:
        """One line for people."""
        if self.trust is Trust.RECOMPUTED:
            return f"recomputed: {self.what}"
        age = self.age(now)
        old = "of unknown age" if age is None else f"{_span(age)} old"
        left = "" if self.expires_at is None else f", good for {_span(max(self.expires_at - now, timedelta()))} more"
        return f"{self.what}, {old}{left}, vouched for by {self.by} ({self.trust})"


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds")


def _span(time: timedelta) -> str:
    """`3 days`, `5 h`, `12 min`: the largest unit of which there is one."""
    if time.days:
        return f"{time.days} day{'s' if time.days > 1 else ''}"
    minutes = time.seconds // 60
    return f"{minutes // 60} h" if minutes >= 60 else f"{minutes} min"  # noqa: PLR2004 - minutes in an hour.
