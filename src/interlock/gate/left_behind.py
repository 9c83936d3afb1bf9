"""What a change leaves behind: the content to which a verdict on it, or a waiver for it, is bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from interlock.core.evidence import git_blob, is_on_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interlock.gate.change import Change

_MOST_PATHS: Final = 3


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """All that differs, but for the evidence that a change brings along: else one that is committed would undo itself.

    Attributes:
        subjects: Path -> git blob, of each file that it adds or changes.
        executable: The paths of those among them that may be executed.
        deleted: The paths of those that are gone.
        bare: The paths of links and submodules, which have no content of their own.
    """

    subjects: dict[str, str]
    executable: list[str]
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
        executable = [difference.path for difference in differences if difference.is_executable]
        return cls(subjects, executable, deleted, [path for path in left if path not in contents])

    @property
    def beside(self) -> dict[str, list[str]]:
        """What no content tells, as evidence has it."""
        return {"deleted": self.deleted, "executable": self.executable}

    def departure(self, subjects: Mapping[str, str], found: Mapping[str, Any]) -> str:
        """How evidence is about something else than exactly this; nothing, if it is not.

        Args:
            subjects: Of the evidence.
            found: Its own facts, among them what no content tells.
        """
        unknown = [path for path in self.subjects if path not in subjects]
        beyond = [path for path in subjects if path not in self.subjects]
        other = [path for path, blob in self.subjects.items() if path not in unknown and subjects[path] != blob]
        if other:
            return f"it is about other code: {', '.join(sorted(other)[:_MOST_PATHS])} changed"
        if unknown:
            return f"it knows nothing of {min(unknown)}"
        if beyond:
            return f"it reaches beyond this change: {min(beyond)}"
        if found.get("deleted") != self.deleted:
            return "the change deletes other files"
        return "the change makes other files executable" if found.get("executable", []) != self.executable else ""
