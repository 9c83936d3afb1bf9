"""The change under judgement: which files, which lines, and what the base says of the project."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import SequenceMatcher
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from interlock.check.run import CheckSettings, changed_sources
from interlock.core.errors import UsageError
from interlock.core.evidence import git_blob
from interlock.core.settings import load
from interlock.gate.features import Block, Feature, change_blocks
from interlock.gate.left_behind import LeftBehind
from interlock.gate.test_audit.declared import MustTest
from interlock.hazards.catalogue import listings
from interlock.hazards.own import OwnHazards

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interlock.check.repository import Change as Difference
    from interlock.check.repository import Commit, Repository
    from interlock.core.settings import Document
    from interlock.gate.question import Answer, Question
    from interlock.gate.reviews.approvals import Reviews
    from interlock.hazards.catalogue import Listing

_MOST_COST: Final = 4_000_000  # Pairs of lines; about a second.
_LINES_AT_ONCE: Final = 100  # Lines with nothing in common cost little, but not nothing.


@dataclass(frozen=True)
class Change:
    """What lies between two commits, from where the head left the base."""

    repository: Repository
    base: str  # the commit whose settings are in force
    start: str  # where the head left the base
    head: str
    branch: str = ""  # what the head is called, as far as that is known
    reviews: Reviews | None = None  # what people said of it; None if that is not known
    moment: datetime = field(default_factory=lambda: datetime.now(UTC))  # of judgement
    _answers: dict[str, Answer | Exception] = field(default_factory=dict[str, "Answer | Exception"], compare=False, repr=False)

    @classmethod
    def between(
        cls, repository: Repository, base: str, head: str, reviews: Reviews | None = None, moment: datetime | None = None
    ) -> Change:
        """The change from one ref to another, judged now, or at another moment.

        Raises UsageError if a ref names no commit.
        """
        commits = repository.commit(base), repository.merge_base(base, head), repository.commit(head)
        branch = repository.branch() if head == "HEAD" else head
        return cls(repository, *commits, branch, reviews, moment or datetime.now(UTC))

    def answer(self, question: Question) -> Answer:
        """A question's answer. It is asked once, also where another question builds on it, and where it cannot be asked.

        Raises whatever keeps it from being asked, each time.
        """
        if question.text not in self._answers:
            try:
                self._answers[question.text] = question.ask(self)
            except Exception as error:  # noqa: BLE001 - it is raised below, this time and the next.
                self._answers[question.text] = error
        known = self._answers[question.text]
        if isinstance(known, Exception):
            raise known
        return known

    @cached_property
    def differences(self) -> list[Difference]:
        """Every file that differs, deleted ones as well."""
        return self.repository.changes(self.start, self.head)

    @cached_property
    def left_behind(self) -> LeftBehind:
        """What it leaves behind, evidence on record apart."""
        return LeftBehind.by(self)

    @property
    def paths(self) -> list[str]:
        """The paths of all that differs."""
        return [difference.path for difference in self.differences]

    @cached_property
    def sources(self) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """The changed Python files, as they were and as they are now."""
        return changed_sources(self.repository, self.start, self.head)

    @cached_property
    def lines(self) -> dict[str, tuple[set[int], set[int]]]:
        """For each changed Python file, the lines of its old text that are gone and those of its new text that are new.

        Worked out from the contents: what git says of lines, a `.gitattributes` can keep it from saying.
        """
        before, after = self.sources
        return {path: changed_lines(before.get(path, b""), after.get(path, b"")) for path in before.keys() | after.keys()}

    @cached_property
    def settings(self) -> Document:
        """The settings of the project, as the base has them. A change cannot loosen its own gate."""
        return load(lambda name: self.repository.contents(self.base, [name]).get(name))

    @property
    def policies(self) -> list[dict[str, Any]]:
        """The file of these settings, by name and content, as in-toto describes a resource; nothing if there is none."""
        name = self.settings.name
        blob = git_blob(self.repository.contents(self.base, [name]).get(name))
        return [{"name": name, "digest": {"gitBlob": blob}}] if blob else []

    @cached_property
    def alters_settings(self) -> bool:
        """Whether the change leaves the project with other settings than it found, or with some that cannot be read."""
        try:
            changed = load(lambda name: self.repository.contents(self.head, [name]).get(name))
            started = load(lambda name: self.repository.contents(self.start, [name]).get(name))
            CheckSettings.of(changed)
            Feature.all_of(changed)
        except UsageError:
            return True
        return changed.tables != started.tables

    @cached_property
    def must_tests(self) -> tuple[MustTest, ...]:
        """The tests that must exist, as the base has the list."""
        return MustTest.all_of(self.settings)

    @cached_property
    def own_hazards(self) -> OwnHazards | None:
        """The team's own hazards, as the base has them: they are code that is run, and the change must not write it."""
        return OwnHazards.of(self.settings, self._files_of_the_base)

    def _files_of_the_base(self, folder: str) -> dict[str, bytes]:
        wanted = [path for path in self.repository.tree(self.base) if path.startswith(f"{folder}/") and path.endswith(".py")]
        return self.repository.contents(self.base, wanted)

    @cached_property
    def hazards(self) -> tuple[Listing, ...]:
        """Every hazard that it is held against: those of interlock, and the team's own."""
        return listings(self.own_hazards)

    @cached_property
    def blocks(self) -> list[Block]:
        """The pieces of Python files that the change touches."""
        return change_blocks(self)

    @cached_property
    def commits(self) -> list[Commit]:
        """The commits that it is made of, the newest first."""
        return self.repository.commits(self.start, self.head)

    @cached_property
    def executable(self) -> set[str]:
        """The files of its head that may be executed."""
        return self.repository.executable(self.head)

    @cached_property
    def line_count(self) -> int:
        """How many lines there are to read."""
        return self.repository.line_count(self.start, self.head)

    @cached_property
    def touched(self) -> dict[Feature, list[str]]:
        """The declared features that it touches, with the reasons."""
        reasons = {feature: list(dict.fromkeys(feature.touched_by(self))) for feature in self.features}
        return {feature: told for feature, told in reasons.items() if told}

    @property
    def touches_tier_1(self) -> bool:
        """Whether it touches what must never fail."""
        return any(feature.tier == 1 for feature in self.touched)

    @property
    def check_settings(self) -> CheckSettings:
        """The settings of `check`, as the base has them."""
        return CheckSettings.of(self.settings)

    @cached_property
    def features(self) -> tuple[Feature, ...]:
        """The features that the base declares."""
        return Feature.all_of(self.settings)


def changed_lines(before: bytes, after: bytes) -> tuple[set[int], set[int]]:
    """The lines of an old text that are gone, and those of a new text that are new; counted from 1.

    Where to find that out would take minutes, all of them are, but those that are alike at both ends.
    """
    old, new = before.splitlines(), after.splitlines()
    top = _alike(old, new)
    bottom = _alike(old[top:][::-1], new[top:][::-1])
    old_end, new_end = len(old) - bottom, len(new) - bottom
    if _cost(old[top:old_end], new[top:new_end]) > _MOST_COST:
        return set(range(top + 1, old_end + 1)), set(range(top + 1, new_end + 1))
    gone: set[int] = set()
    fresh: set[int] = set()
    matcher = SequenceMatcher(None, old[top:old_end], new[top:new_end], autojunk=False)
    for tag, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if tag != "equal":
            gone |= set(range(top + old_from + 1, top + old_to + 1))
            fresh |= set(range(top + new_from + 1, top + new_to + 1))
    return gone, fresh


def _alike(one: Sequence[bytes], other: Sequence[bytes]) -> int:
    """How many lines two texts have in common at their beginning."""
    return next(
        (number for number, (mine, theirs) in enumerate(zip(one, other, strict=False)) if mine != theirs),
        min(len(one), len(other)),
    )


def _cost(old: Sequence[bytes], new: Sequence[bytes]) -> int:
    """How many pairs of lines are looked at: those that are alike, for each line that is not."""
    times = Counter(new)
    return sum(times[line] for line in old) + max(len(old), len(new)) ** 2 // _LINES_AT_ONCE
