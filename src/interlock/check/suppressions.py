"""A finding can be accepted where it stands, by a person who says why.

    token = uuid4().hex[:8]  # interlock: ignore[identity/truncated-random]: shown to people, the row has its own key

The comment stands on a line of the finding, or alone on the line above. Without a reason it does not count: a gate that can be
silenced without a word is no gate.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from interlock.core.errors import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from interlock.core.finding import Finding
    from interlock.source.module import Module

MARK: Final = "interlock: ignore"
_FORM: Final = re.compile(r"#\s*interlock: ignore\[(?P<hazards>[^\]]*)\](?:\s*:\s*(?P<reason>\S.*))?")


@dataclass(frozen=True, slots=True)
class Suppression:
    """One comment that accepts findings."""

    line: int
    covers: int  # the line whose findings it accepts
    hazards: frozenset[str]
    reason: str


class Suppressions:
    """The suppressions of one file."""

    def __init__(self, module: Module) -> None:
        self._all = list(_written(module)) if MARK in module.text else []

    def cover(self, finding: Finding) -> bool:
        """Whether a person has accepted this finding, with a reason."""
        lines = range(finding.location.line, finding.location.end_line + 1)
        return any(found.covers in lines and finding.hazard in found.hazards and found.reason for found in self._all)

    def problems(self, names: Iterable[str]) -> Iterator[tuple[int, str]]:
        """What is wrong with the comments themselves, by line. Hazards of these names are known, beside those of interlock."""
        from interlock.hazards.catalogue import listings  # noqa: PLC0415 - names are needed only where there is a comment.

        known = {*names, *(listing.name for listing in listings())}
        for found in self._all:
            if not found.hazards:
                yield found.line, "this suppression names no hazard; write # interlock: ignore[family/name]: the reason"
            elif not found.reason:
                yield (
                    found.line,
                    "this suppression gives no reason and does not count; write # interlock: ignore[family/name]: the reason",
                )
            for name in sorted(found.hazards - known):
                yield found.line, f"this suppression names {name!r}, which is no hazard; {nearest(name, known)}"


def _written(module: Module) -> Iterator[Suppression]:
    import io  # noqa: PLC0415 - needed only where there is a comment of ours.
    import tokenize  # noqa: PLC0415 - likewise.

    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type == tokenize.COMMENT and MARK in token.string:
            form = _FORM.search(token.string)
            names = frozenset(name.strip() for name in form["hazards"].split(",") if name.strip()) if form else frozenset[str]()
            line = token.start[0]
            alone = token.line.lstrip().startswith("#")
            yield Suppression(line, line + 1 if alone else line, names, (form["reason"] or "").strip() if form else "")
