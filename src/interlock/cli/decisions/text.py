"""One page: what is known, with its proof; what is open, with the command that answers it; the verdict, with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from interlock.core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.cli.decisions.ruling import Ruling
    from interlock.gate.question import Asked

_COLOURS: Final = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.UNKNOWN: "yellow"}
_MARGIN: Final = " " * 11


def told(ruling: Ruling) -> str:
    """The page."""
    decision = ruling.decision
    lines = [line for asked in decision.asked for line in _answered(asked, ruling)]
    lines += [f"{_MARGIN}{line}" for line in decision.set_aside]
    verdict = ruling.paint(f"verdict: {decision.verdict}", _COLOURS[decision.verdict], "bold")
    ending = [ruling.dry_run] if ruling.dry_run else []
    return "\n".join([f"interlock gate: {ruling.range}", "", *lines, "", f"{verdict} ({ruling.reason})", *ending])


def _answered(asked: Asked, ruling: Ruling) -> Iterator[str]:
    answer = asked.answer
    mark = ruling.paint(f"{asked.word:8}", _COLOURS[answer.verdict], "bold")
    yield f"{mark} {asked.question.text} {ruling.paint(answer.answer, 'bold')}"
    if asked.waiver:
        yield f"{_MARGIN}{ruling.paint(asked.waiver.told, 'bold')}"
    yield from (f"{_MARGIN}{line}" for line in answer.evidence)
    yield from (ruling.paint(f"{_MARGIN}{ground.told(ruling.change.moment)}", "dim") for ground in answer.grounds)
    if answer.verdict is Verdict.UNKNOWN:
        yield f"{_MARGIN}{asked.question.prove_with}{'' if asked.required else '  (not needed here)'}"
