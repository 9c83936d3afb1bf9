"""A violation as people read it: who did what, when, what came of it, in which line, and where the fault struck.

What has nothing to do with what was broken is left out, and what happens again and again is told once: a story is to be read by
somebody who is tired.
"""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.core.counting import counted
from interlock.prove.scheduler import LOOKING, SETTING_UP

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from interlock.prove.proof import Violation
    from interlock.prove.scheduler import Step

LINES_MAX = 12  # Of steps; with what stands around them, a story has 15 lines.
_COLUMN = 3


def story(violation: Violation) -> list[str]:
    """The lines of the story."""
    before, workers, afterwards = _parts(violation)
    lines = [f"  before  {_told(step)}" for step in before]
    lines += list(_shortened(_about(workers, violation.broken)))
    lines += ["-- afterwards, a worker that nothing happens to clears up"]
    lines += list(_polls(afterwards)) or ["   it finds nothing to do"]
    return [*lines, *(f"BROKEN: {broken}" for broken in violation.broken)]


def _parts(violation: Violation) -> tuple[list[Step], list[Step], list[Step]]:
    """What the contract has set up, what the workers did, and what was done to clear up."""
    early, late = violation.steps[: violation.recovery_at], violation.steps[violation.recovery_at :]
    before = [step for step in early if step.worker.startswith(SETTING_UP)]
    workers = [step for step in early if not step.worker.startswith(SETTING_UP)]
    return before, workers, [step for step in late if not step.worker.startswith(LOOKING)]


def _about(steps: Sequence[Step], broken: Sequence[str]) -> list[Step]:
    """The steps that touch what was broken: whatever is named in a command that speaks of it; all of them, if none does."""
    words = {word for told in broken for word in _words(told)}
    names = {
        name
        for step in steps
        if words & _words(f"{step.effect.said} {step.answer}")
        for name in step.effect.reads | step.effect.writes
    }
    touching = [step for step in steps if step.fault or not names.isdisjoint(step.effect.reads | step.effect.writes)]
    return touching if names else list(steps)


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


def _shortened(steps: Sequence[Step]) -> Iterator[str]:
    """The steps, with only the most telling ones if they are too many."""
    places = range(len(steps))
    kept = set(sorted(places, key=lambda place: (-_weight(steps, place), place))[:LINES_MAX])
    for is_kept, run in groupby(places, key=kept.__contains__):
        some = list(run)
        if is_kept:
            yield from (_line(steps[place]) for place in some)
        else:
            yield f"            ... {counted(len(some), 'more effect')}"


def _weight(steps: Sequence[Step], place: int) -> int:
    """How much a step tells: a fault most, then what reaches the world outside, then where the worker changes."""
    step = steps[place]
    if step.fault:
        return 4
    if step.effect.kind == "http":
        return 3
    beside = steps[max(0, place - 1) : place + 2]
    return (2 if any(other.worker != step.worker for other in beside) else 0) + bool(step.effect.writes)


def _polls(steps: Sequence[Step]) -> Iterator[str]:
    """What was done to clear up: each time of it once, however often it is the same."""
    polls = [list(poll) for _, poll in groupby(steps, key=lambda step: step.at_s)]
    for said, alike in groupby(polls, key=lambda poll: tuple(_gist(step) for step in poll if step.effect.writes)):
        some = list(alike)
        if not said:
            yield f"            ... {counted(len(some), 'poll')} that {'change' if len(some) > 1 else 'changes'} nothing"
            continue
        yield from (_line(step) for step in some[0] if step.effect.writes)
        if len(some) > 1:
            yield f"            ... {counted(len(some) - 1, 'more poll')} with the same result"


def _gist(step: Step) -> tuple[str, frozenset[str], str]:
    """What a step comes to: a token that is drawn anew for each try makes it no other step."""
    return step.effect.said.partition(" ")[0], step.effect.writes, step.answer


def _line(step: Step) -> str:
    # Each worker has its own column, so that one sees where they cross.
    if not step.worker[0].isupper():
        return f"{step.at_s:8.1f} s  {_told(step)}"
    column = " " * _COLUMN * (ord(step.worker[0]) - ord("A"))
    return f"{step.at_s:8.1f} s  {column}{step.worker}  {_told(step)}"


def _told(step: Step) -> str:
    answer = f" -> {step.answer}" if step.answer else ""
    fault = f"   ** {step.fault}" if step.fault else ""
    path, _, line = step.where.rpartition(":")
    return f"{step.effect.said}{answer}{fault}" + (f"   ({Path(path).name}:{line})" if path else "")
