"""`DEPLOY_CHECKLIST.md`: boxes that only evidence ticks. Nobody ticks one by hand: the next run writes the page anew."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Final

from interlock.cli.decisions.markdown import code
from interlock.core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.cli.decisions.ruling import Ruling
    from interlock.gate.question import Asked

# The three that a team asks itself in the ten minutes before a deployment.
FIRST: Final = ("rollback", "canary", "alerts")


def told(ruling: Ruling) -> str:
    """The page."""
    return "\n".join(_lines(ruling))


def _lines(ruling: Ruling) -> Iterator[str]:
    made = f"{ruling.change.moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    yield "# Deploy checklist"
    yield ""
    yield f"Made by `interlock gate` at {made}, of the change {code(ruling.range)}. Only evidence ticks a box."
    yield ""
    yield f"**{ruling.decision.verdict}**: {ruling.reason}"
    first = [asked for name in FIRST for asked in ruling.decision.asked if asked.name == name]
    rest = [asked for asked in ruling.decision.asked if asked.name not in FIRST]
    for heading, group in (("In ten minutes", first), ("And", rest)):
        yield from ("", f"## {heading}", "")
        for asked in group:
            yield from _box(asked, ruling)
    yield from ("", *(f"- {code(line)}" for line in ruling.decision.set_aside)) if ruling.decision.set_aside else ()


def _box(asked: Asked, ruling: Ruling) -> Iterator[str]:
    answer = asked.answer
    tick = "x" if answer.verdict is Verdict.PASS else " "
    yield f"- [{tick}] **{asked.question.text}** {asked.word}: {code(answer.answer)}"
    yield from (f"  - {code(waiver.told)}" for waiver in [asked.waiver] if waiver)
    yield from (f"  - {code(ground.told(ruling.change.moment))}" for ground in answer.grounds)
    if answer.verdict is Verdict.FAIL:
        yield from (f"  - {code(line)}" for line in answer.evidence)
    if answer.verdict is Verdict.UNKNOWN:
        yield f"  - to answer it: {code(asked.question.prove_with)}{'' if asked.required else ' (not needed for this change)'}"
