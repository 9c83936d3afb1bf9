"""Which approvals count: those of distinct people who did not write the change, of exactly what is to be shipped.

{
  "version": 1,
  "author": "ada",
  "reviews": [{"by": "bo", "state": "approved", "commit": "0a1b2c..."}, {"by": "ci[bot]", "is_person": false, ...}]
}
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from interlock.core.errors import UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

APPROVED: Final = "approved"
REFUSED: Final = "changes requested"
WITHDRAWN: Final = "withdrawn"
STATES: Final = (APPROVED, REFUSED, WITHDRAWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What somebody said of a change, in the order in which it was said."""

    by: str
    state: str  # one of STATES
    commit: str  # what was looked at; empty where that is not known
    is_person: bool = True
    at: datetime | None = None  # when it was said; None where that is not known
    may_merge: bool = True  # whether the platform gives them a say at all


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviews:
    """All that was said of a change."""

    source: str  # where it comes from, for people
    authors: frozenset[str]  # whoever opened it, or asked an assistant for it
    reviews: tuple[Review, ...] = field(default=())
    platform: str = ""  # that vouches for what was said; empty if it comes from a file
    file: Path | None = None  # that it comes from, with its signature beside it if it has one

    def approving(self, head: str) -> list[Review]:
        """The approvals that hold for a commit, one of each person."""
        return [review for review in self._last() if not self._flaw(review, head) and review.state == APPROVED]

    def counting(self, head: str) -> set[str]:
        """The people whose approval holds for a commit."""
        return {review.by for review in self.approving(head)}

    def refusing(self) -> set[str]:
        """The people who asked for changes, and have not approved since. What they looked at does not matter."""
        return {review.by for review in self._last() if review.state == REFUSED and review.is_person}

    def set_aside(self, head: str) -> list[str]:
        """The approvals that do not count, with the reason."""
        return [
            f"{review.by}'s approval does not count: {flaw}"
            for review in self._last()
            if review.state == APPROVED and (flaw := self._flaw(review, head))
        ]

    def _last(self) -> Iterator[Review]:
        """The last word of each."""
        yield from {_same(review.by): review for review in self.reviews}.values()

    def _flaw(self, review: Review, head: str) -> str:
        if not review.is_person:
            return "it is not a person"
        if not review.may_merge:
            return "whoever gave it may not write to the repository"
        if _same(review.by) in {_same(author) for author in self.authors}:
            return "its own author's"
        if not review.commit:
            return "which commit it is of is not known"
        return "" if review.commit == head else f"it is of {review.commit[:10]}, and {head[:10]} came later"


def _same(name: str) -> str:
    """What two spellings of one person have in common: no platform tells names apart by their case."""
    return name.strip().removeprefix("@").casefold()


def read(path: Path) -> Reviews:
    """The reviews that a file tells of.

    Raises:
        UsageError: If it cannot be read, or is not of the form above.
    """
    try:
        document: object = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        message = f"{path}: no approvals can be read from it: {error}"
        raise UsageError(message) from error
    table = cast("dict[str, Any]", document) if isinstance(document, dict) else {}
    if table.get("version") != 1:
        message = f"{path}: expected an object with version 1, author and reviews"
        raise UsageError(message)
    _check_keys(table, {"version", "author", "asked_by", "reviews"}, str(path))
    if "author" not in table:
        message = f"{path}: no author: whose approval would not count?"
        raise UsageError(message)
    authors = frozenset(_name(table[key], key, str(path)) for key in ("author", "asked_by") if key in table)
    reviews: object = table.get("reviews", [])
    if not isinstance(reviews, list):
        message = f"{path}: reviews is {type(reviews).__name__}; expected a list"
        raise UsageError(message)
    said = cast("list[object]", reviews)
    return Reviews(source=str(path), authors=authors, reviews=tuple(_review(one, str(path)) for one in said), file=path)


def _name(value: object, key: str, where: str) -> str:
    if not isinstance(value, str) or not _same(value):
        message = f"{where}: {key} is {value!r}; expected a name"
        raise UsageError(message)
    return value


def _review(value: object, where: str) -> Review:
    if not isinstance(value, dict):
        message = f"{where}: a review is {type(value).__name__}; expected an object"
        raise UsageError(message)
    table = cast("dict[str, Any]", value)
    _check_keys(table, {"by", "state", "commit", "is_person"}, where)
    by = _name(table.get("by"), "by", where)
    if table.get("state") not in STATES:
        message = f"{where}: a review by {by!r} is {table.get('state')!r}; expected {', '.join(STATES)}"
        raise UsageError(message)
    is_person = table.get("is_person", not by.endswith("[bot]"))
    return Review(by=by, state=str(table["state"]), commit=str(table.get("commit", "")), is_person=is_person is True)


def _check_keys(table: dict[str, Any], known: set[str], where: str) -> None:
    for name in table:
        if name not in known:
            message = f"{where}: unknown key {name!r}; {nearest(name, known)}"
            raise UsageError(message)
