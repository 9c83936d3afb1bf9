"""An incident as a course: how many requests there were, and which part of them succeeded, from the moment it began."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from interlock.core.errors import UsageError, nearest
from interlock.core.settings import Document, strict

if TYPE_CHECKING:
    from collections.abc import Sequence

_BUILT_IN: Final = Path(__file__).parent / "incidents"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What the success was at a moment; between two of them it changes evenly."""

    at_s: float  # from the beginning of the incident
    success: float  # 0 to 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """What happened."""

    story: str
    per_s: float  # requests a second, before and during
    course: tuple[Point, ...]
    harm_per_s: float = 0.0  # what went wrong twice over, such as double charges, while success was low
    history_s: float = 3600.0  # how long all was well before

    @property
    def lasts_s(self) -> float:
        """From its beginning to the last that is known of it."""
        return self.course[-1].at_s

    def success(self, at_s: float) -> float:
        """Which part succeeds at a moment, counted from the beginning; before it, what was usual."""
        if at_s <= self.course[0].at_s:
            return self.course[0].success
        for before, after in pairwise(self.course):
            if at_s <= after.at_s:
                share = (at_s - before.at_s) / (after.at_s - before.at_s)
                return before.success + share * (after.success - before.success)
        return self.course[-1].success

    def harm(self, at_s: float) -> float:
        """How much harm a second is done at a moment."""
        return self.harm_per_s if at_s > 0 and self.success(at_s) < self.course[0].success else 0.0

    @classmethod
    def dropping(cls, falls_to: float, per_s: float) -> Incident:
        """A declared failure: within a minute, success falls to a part of what it was, and stays there for two hours."""
        course = (Point(at_s=0, success=1.0), Point(at_s=60, success=falls_to), Point(at_s=7200, success=falls_to))
        return cls(story=f"success falls to {falls_to:.0%}", per_s=per_s, course=course, history_s=90_000.0)


@dataclass(frozen=True, slots=True)
class _Record:
    """An incident's file, as it is written."""

    story: str
    per_s: float
    course: list[object]
    harm_per_s: float = 0.0
    history_s: float = 3600.0


def built_in() -> list[str]:
    """The names of the incidents that come with interlock."""
    return sorted(path.stem for path in _BUILT_IN.glob("*.toml"))


def incident(name: str, files: dict[str, bytes]) -> Incident:
    """A built-in incident by its name, or the one in a file of the project.

    Raises:
        UsageError: If there is none, or its file is not right.
    """
    if name in built_in():
        return _parsed(name, (_BUILT_IN / f"{name}.toml").read_bytes())
    if name not in files:
        message = f"no incident {name!r}, and no such file; {nearest(name, built_in())}"
        raise UsageError(message)
    return _parsed(name, files[name])


def _parsed(name: str, content: bytes) -> Incident:
    try:
        text = content.decode()
        document = Document(name, text, tomllib.loads(text))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{name}: is not TOML: {error}"
        raise UsageError(message) from error
    record = strict(document, _Record, document.tables, "incident")
    points = tuple(strict(document, Point, table, "course") for table in record.course)
    _check(document, points)
    return Incident(
        story=record.story, per_s=record.per_s, course=points, harm_per_s=record.harm_per_s, history_s=record.history_s
    )


def _check(document: Document, points: Sequence[Point]) -> None:
    """Raises UsageError unless the course tells of two moments or more, in their order, and of parts of a whole."""
    if len(points) < 2 or any(after.at_s <= before.at_s for before, after in pairwise(points)):  # noqa: PLR2004 - a beginning and an end.
        raise document.fail("course", "the course needs two moments or more, each later than the one before")
    if any(not 0 <= point.success <= 1 for point in points):
        raise document.fail("course", "success is a part of all requests: expected 0 to 1")
