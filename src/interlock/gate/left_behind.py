"""What a change leaves behind: the content to which a verdict on it, or a waiver for it, is bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from interlock.core.evidence import git_blob, is_on_record

if TYPE_CHECKING:
    from interlock.gate.change import Change


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """All that differs, but for the evidence that a change brings along: else one that is committed would undo itself.

    Attributes:
        subjects: Path -> git blob, of each file that it adds or changes.
        deleted: The paths of those that are gone.
        bare: The paths of links and submodules, which have no content of their own.
    """

    subjects: dict[str, str]
    deleted: list[str]
    bare: list[str]

    @classmethod
    def by(cls, change: Change) -> Self:
        """What one leaves behind."""
        differences = [difference for difference in change.differences if not is_on_record(difference.path)]
        deleted = sorted(difference.path for difference in differences if difference.status == "D")
        left = sorted(difference.path for difference in differences if difference.status != "D")
        contents = change.repository.contents(change.head, left)
        subjects = {path: git_blob(content) for path, content in contents.items()}
        return cls(subjects, deleted, [path for path in left if path not in contents])
