"""Which modules of a change an assistant wrote, as far as marks tell: a lower bound, like the marks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.gate.reviews.provenance import provenance
from interlock.gate.reviews.traces import traced
from interlock.source.module import is_test_path

if TYPE_CHECKING:
    from interlock.gate.change import Change


def written_by_assistants(change: Change) -> dict[str, str]:
    """The modules of the change (no test code) in which an assistant wrote something, and which it was.

    A mark on the branch is one on everything; a mark on a commit is one on all that the commit touches.
    """
    modules = [path for path in sorted(change.sources[1]) if not is_test_path(path)]
    found = {path: mark.tool for mark in provenance([], change.branch) for path in modules}
    for commit in change.commits:
        marks = provenance([commit])
        touched = change.repository.touched(commit.name) if marks else []
        found |= {path: mark.tool for mark in marks for path in touched if path in modules and path not in found}
    return found | {mark.place: mark.tool for mark in traced(change) if mark.place in modules and mark.place not in found}
