"""The change under judgement: which files, which lines, and what the base says of the project."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from interlock.check.run import CheckSettings
from interlock.core.settings import load
from interlock.gate.features import Feature

if TYPE_CHECKING:
    from interlock.check.repository import Repository
    from interlock.core.settings import Document


@dataclass(frozen=True)
class Change:
    """What lies between two commits, from where the head left the base."""

    repository: Repository
    base: str  # the commit whose settings are in force
    start: str  # where the head left the base
    head: str

    @classmethod
    def between(cls, repository: Repository, base: str, head: str) -> Change:
        """The change from one ref to another.

        Raises UsageError if a ref names no commit.
        """
        return cls(repository, repository.commit(base), repository.merge_base(base, head), repository.commit(head))

    @cached_property
    def paths(self) -> list[str]:
        """Every file that differs, deleted ones as well."""
        return [change.path for change in self.repository.changes(self.start, self.head)]

    @cached_property
    def before(self) -> dict[str, bytes]:
        """The changed files as they were."""
        return self.repository.contents(self.start, self.paths)

    @cached_property
    def after(self) -> dict[str, bytes]:
        """The changed files as they are now."""
        return self.repository.contents(self.head, self.paths)

    @cached_property
    def lines_added(self) -> dict[str, set[int]]:
        """For each file, its lines that are new or changed."""
        return {path: self.repository.added_lines(self.start, self.head, path) for path in self.after}

    @cached_property
    def lines_removed(self) -> dict[str, set[int]]:
        """For each file, the lines of its old text that are gone or changed."""
        return {path: self.repository.added_lines(self.head, self.start, path) for path in self.before}

    @cached_property
    def settings(self) -> Document:
        """The settings of the project, as the base has them. A change cannot loosen its own gate."""
        return load(lambda name: self.repository.contents(self.base, [name]).get(name))

    @property
    def check_settings(self) -> CheckSettings:
        """The settings of `check`, as the base has them."""
        return CheckSettings.of(self.settings)

    @property
    def features(self) -> tuple[Feature, ...]:
        """The features that the base declares."""
        return Feature.all_of(self.settings)
