"""What is said to an assistant: facts, one line each, and no orders. Orders from outside look like an attack to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from interlock.core.counting import counted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interlock.check.run import Report

_MOST_CHARACTERS: Final = 10_000  # Claude Code puts what is longer into a file, and shows the assistant its path.
_ROOM: Final = 100  # For the line that says that there is more.


def facts(report: Report, where: str) -> str:
    """Each finding and each problem, with what the catalogue advises; as much of it as an assistant is shown.

    Args:
        report: What was seen.
        where: What it was seen in, as the end of a sentence: `that this edit adds`.
    """
    found = sorted(report.findings, key=lambda finding: (finding.location, finding.hazard))
    advised = {finding.hazard: finding.advice for finding in found}
    opening = [f"interlock sees {counted(len(found), 'known hazard')} {where}:"] if found else []
    return cut(
        [
            *opening,
            *(f"{finding.location}: {finding.hazard} {finding.message}" for finding in found),
            *(
                f"The catalogue's advice for {name}: {advice} (the story: interlock explain {name})"
                for name, advice in advised.items()
            ),
            *(f"Not checked: {problem}" for problem in report.problems),
        ]
    )


def cut(lines: Iterable[str]) -> str:
    """The lines, as many as fit into what an assistant is shown."""
    given = list(lines)
    text = "\n".join(given)
    if len(text) <= _MOST_CHARACTERS:
        return text
    kept: list[str] = []
    room = _MOST_CHARACTERS - _ROOM
    for line in given:
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    return "\n".join([*kept, f"... and {counted(len(given) - len(kept), 'more line')}; `interlock check` prints them all"])
