"""A finding: one place where a known hazard is in the code."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much harm is done in production when the hazard strikes."""

    CRITICAL = "critical"  # money, identity or data, for many users at once
    HIGH = "high"  # an outage, or damage to some
    MEDIUM = "medium"  # trouble that someone has to clean up


class Confidence(StrEnum):
    """How sure the detector is that the hazard is there."""

    HIGH = "high"
    MEDIUM = "medium"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Location:
    """A place in a file. Lines and columns count from 1, as editors do."""

    path: str  # relative to where the run started, with forward slashes
    line: int
    column: int
    end_line: int

    def __str__(self) -> str:
        """`path:line:column`, the form that editors jump to."""
        return f"{printable(self.path)}:{self.line}:{self.column}"


def printable(path: str) -> str:
    """A path in which no character can move the cursor or end the line: whoever names a file does not write our output."""
    return "".join(character if character.isprintable() or _is_byte(character) else repr(character)[1:-1] for character in path)


def _is_byte(character: str) -> bool:
    """Whether a character stands for a byte that is no text (PEP 383); the console escapes it."""
    return "\udc80" <= character <= "\udcff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One hazard, seen at one place."""

    hazard: str  # family/name
    location: Location
    severity: Severity
    confidence: Confidence
    message: str  # what breaks here, with this code's own names and figures
    advice: str  # what to write instead, one line
    symbol: str  # the dotted name of the definition around it
    code: str  # what it is about, white space folded, without comments

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What stays the same when lines above are added or removed: two findings with one identity are one and the same."""
        return self.hazard, self.location.path, self.symbol, self.code
