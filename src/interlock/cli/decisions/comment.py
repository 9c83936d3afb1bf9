"""One comment on a pull request, edited in place: what is bad, what is missing and what answers it. A pass is a line.

The first line is a marker that nobody sees, by which whoever posts it finds the comment of the last time. The same text is good
as the summary of a CI job.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from interlock.cli.decisions.markdown import block, code
from interlock.core.counting import counted
from interlock.core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.cli.decisions.ruling import Ruling
    from interlock.gate.question import Asked

MARKER: Final = "<!-- interlock:gate -->"
_MOST_LINES: Final = 6
_MOST_REASONS: Final = 2


def told(ruling: Ruling) -> str:
    """The comment."""
    return "\n".join(_lines(ruling))


def _lines(ruling: Ruling) -> Iterator[str]:
    yield MARKER
    yield f"**interlock gate: {ruling.decision.verdict}** ({ruling.reason}), {code(ruling.range)}"
    yield ""
    if ruling.dry_run:
        yield f"{ruling.dry_run}."
        yield ""
    for asked in ruling.answered(Verdict.FAIL):
        yield from _bad(asked)
    missing = [
        line for asked in ruling.answered(Verdict.UNKNOWN) if asked.required and not asked.waiver for line in _missing(asked)
    ]
    missing += [f"- {code(line)}" for line in ruling.decision.set_aside]
    missing += [f"- **waived: {asked.question.text}** {code(waiver.told)}" for asked, waiver in ruling.waived]
    yield from [*missing, ""] if missing else ()
    yield _passed(ruling)


def _bad(asked: Asked) -> Iterator[str]:
    """A bad answer, with what was seen."""
    answer = asked.answer
    rest = len(answer.evidence) - _MOST_LINES
    yield f"**{answer.verdict}: {asked.question.text}**"
    yield block([answer.answer, *answer.evidence[:_MOST_LINES], *([f"and {rest} more"] if rest > 0 else [])])
    yield f"To see it again: {code(asked.question.prove_with)}"
    yield ""


def _missing(asked: Asked) -> Iterator[str]:
    """An open one, with what is missing."""
    answer = asked.answer
    yield f"- **{answer.verdict}: {asked.question.text}** {code(answer.answer)}"
    yield from (f"  - {code(line)}" for line in answer.evidence[:_MOST_REASONS])
    yield f"  - to answer it: {code(asked.question.prove_with)}"


def _passed(ruling: Ruling) -> str:
    passed = ruling.answered(Verdict.PASS)
    trusts = Counter(ground.trust for asked in passed for ground in asked.answer.grounds)
    resting = f", resting on {', '.join(f'{trust} ({count})' for trust, count in sorted(trusts.items()))}" if trusts else ""
    spared = sum(not asked.required for asked in ruling.answered(Verdict.UNKNOWN))
    open_ = f" {counted(spared, 'open question')} not needed for this change." if spared else ""
    return f"{len(passed)} of {counted(len(ruling.decision.asked), 'question')} pass{resting}.{open_}"
