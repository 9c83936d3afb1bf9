"""A violation as people read it: who did what, when, what came of it, in which line, and where the fault struck.

A story has 15 lines at most, because it is read by somebody who is tired. What has to do with what was broken is told; the
rest is folded into lines that say how much it is. The effect that a fault strikes, and both sides of each switch, are always
told: without them there would be no violation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.core.counting import counted
from interlock.prove.worker import LOOKING, SETTING_UP, index_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from interlock.prove.effect import Step
    from interlock.prove.proof import Violation

LINES_MAX = 15
_BROKEN_MAX = 3
_COLUMN, _COLUMNS_MAX = 3, 12
_MARGIN = " " * 12

# How much a step tells. What has to be told has to be, however much there is.
_HAS_TO_BE = 100
_REACHES_OUT, _ENDS, _TOUCHES, _SPEAKS, _WRITES, _CROSSES, _AGAIN = 30, 25, 20, 10, 5, 5, -12


@dataclass(frozen=True, slots=True)
class _Beat:
    """What is told in one line, or not at all.

    Attributes:
        line: How.
        weight: How much it tells.
        who: Whose effects they are.
        steps: How many.
        touches: Whether they touch what was broken.
    """

    line: str
    weight: int
    who: str
    steps: int = 1
    touches: bool = False


_NOT_CLEARED_UP = _Beat("-- it goes no further, and nobody comes to clear up", _HAS_TO_BE, "", 0)


@dataclass(frozen=True, slots=True)
class _Broken:
    """What was broken.

    Attributes:
        words: Those in which it is told.
        names: The names of everything that a step which speaks of it touches.
        called: What people call it, if it has one name.
    """

    words: AbstractSet[str]
    names: AbstractSet[str]
    called: str

    def is_touched_by(self, step: Step) -> bool:
        """Whether a step looks at it or changes it. All do, if none speaks of it."""
        return not self.names or not self.names.isdisjoint(_touched(step))


def story(violation: Violation) -> list[str]:
    """The lines of the story, 15 at most, unless there is more that has to be told."""
    before, workers, afterwards = _parts(violation)
    broken = _broken(violation)
    cleared_up = _cleared_up(afterwards, broken) if violation.is_cleared_up else [_NOT_CLEARED_UP]
    acts = [_set_up(before, broken), _done(workers, broken), cleared_up]
    end = [f"BROKEN: {told}" for told in violation.broken[:_BROKEN_MAX]]
    if more := len(violation.broken) - _BROKEN_MAX:
        end += [f"BROKEN: and {counted(more, 'more promise')}"] * (more > 0)
    lines = _fitting(acts, broken, LINES_MAX - len(end))
    return [*lines, *end]


def _parts(violation: Violation) -> tuple[list[Step], list[Step], list[Step]]:
    """What the contract has set up, what the workers did, and what was done to clear up."""
    early, late = violation.steps[: violation.recovery_at], violation.steps[violation.recovery_at :]
    before = [step for step in early if step.worker.startswith(SETTING_UP)]
    workers = [step for step in early if not step.worker.startswith(SETTING_UP)]
    return before, workers, [step for step in late if not step.worker.startswith(LOOKING)]


def _broken(violation: Violation) -> _Broken:
    words = {word for told in violation.broken for word in _words(told)}
    speaking = [(step, words & _words(f"{step.effect.said} {step.answer}")) for step in violation.steps]
    names = {name for step, spoken in speaking if spoken for name in _touched(step)}
    called = {word for _, spoken in speaking for word in spoken if not word.isdigit()}
    return _Broken(words, names, called.pop() if len(called) == 1 else "")


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


def _touched(step: Step) -> frozenset[str]:
    return step.effect.reads | step.effect.writes


def _set_up(steps: Sequence[Step], broken: _Broken) -> list[_Beat]:
    return [
        _Beat(
            f"  before  {_told(step)}",
            _TOUCHES * broken.is_touched_by(step) - _CROSSES,
            step.worker,
            1,
            broken.is_touched_by(step),
        )
        for step in steps
    ]


def _done(steps: Sequence[Step], broken: _Broken) -> list[_Beat]:
    """What the workers did."""
    crossing = {place for place, (one, other) in enumerate(pairwise(steps)) if one.worker != other.worker}
    switched = {place - 1 for place, step in enumerate(steps) if step.preempts and place}
    told: set[object] = set()
    beats: list[_Beat] = []
    for place, step in enumerate(steps):
        weight = _weight(step, broken) + _CROSSES * bool({place, place - 1} & crossing)
        weight += _AGAIN * ((step.worker, _gist(step)) in told)
        has_to_be = step.fault or step.preempts or place in switched
        told.add((step.worker, _gist(step)))
        beats.append(_Beat(_line(step), _HAS_TO_BE if has_to_be else weight, step.worker, 1, broken.is_touched_by(step)))
    return beats


def _weight(step: Step, broken: _Broken) -> int:
    """How much a step tells by itself: what reaches the world outside most, then what is about what was broken."""
    kinds = {"http": _REACHES_OUT, "end": _ENDS}
    is_spoken_of = bool(broken.words & _words(f"{step.effect.said} {step.answer}"))
    touches = _TOUCHES * broken.is_touched_by(step) + _SPEAKS * is_spoken_of
    return kinds.get(step.effect.kind, 0) + touches + _WRITES * bool(step.effect.writes)


def _cleared_up(steps: Sequence[Step], broken: _Broken) -> list[_Beat]:
    """What was done to clear up: each time of it once, however often it is the same."""
    beats = [_Beat("-- afterwards, a worker that nothing happens to clears up", _HAS_TO_BE, "", 0)]
    polls = [list(poll) for _, poll in groupby(steps, key=lambda step: step.at_s)]
    for said, alike in groupby(polls, key=lambda poll: tuple(_gist(step) for step in poll if step.effect.writes)):
        some = list(alike)
        steps_of = sum(map(len, some))
        if not said:
            told = f"{counted(len(some), 'poll')} that {'change' if len(some) > 1 else 'changes'} nothing"
            beats.append(_Beat(f"{_MARGIN}... {told}", 0, some[0][0].worker, steps_of))
            continue
        writing = [step for step in some[0] if step.effect.writes]
        beats += [_Beat(_line(step), _weight(step, broken), step.worker, 1, broken.is_touched_by(step)) for step in writing]
        if len(some) > 1:
            told = f"{counted(len(some) - 1, 'more poll')} with the same result"
            beats.append(_Beat(f"{_MARGIN}... {told}", _CROSSES, writing[0].worker, steps_of - len(some[0]), touches=True))
    return beats if steps else [*beats, _Beat("   it finds nothing to do", _HAS_TO_BE, "", 0)]


def _fitting(acts: Sequence[Sequence[_Beat]], broken: _Broken, lines_max: int) -> list[str]:
    """The lines of the acts, with as many of the most telling beats as there is room for."""
    beats = [(act, place, beat) for act, beats in enumerate(acts) for place, beat in enumerate(beats)]
    ranked = sorted(beats, key=lambda found: (-found[2].weight, found[0], found[1]))
    least = sum(beat.weight >= _HAS_TO_BE for _, _, beat in ranked)
    lines: list[str] = []
    for count in range(len(ranked), least - 1, -1):
        kept = {(act, place) for act, place, _ in ranked[:count]}
        lines = [
            line for act, beats in enumerate(acts) for line in _folded(beats, {at for of, at in kept if of == act}, broken)
        ]
        if len(lines) <= lines_max:
            break
    return lines


def _folded(beats: Sequence[_Beat], kept: AbstractSet[int], broken: _Broken) -> Iterator[str]:
    """The lines of one act, with one line for each run of what is not kept."""
    for is_kept, run in groupby(range(len(beats)), key=kept.__contains__):
        some = [beats[place] for place in run]
        if is_kept or len(some) == 1:  # Which would take a line in any case.
            yield from (beat.line for beat in some)
        else:
            yield _fold(some, broken)


def _fold(beats: Sequence[_Beat], broken: _Broken) -> str:
    whose = sorted({beat.who for beat in beats})
    of = f" of {whose[0]}" if len(whose) == 1 and whose[0][0].isupper() else ""
    about = "" if any(beat.touches for beat in beats) or not broken.called else f", none of which touches {broken.called}"
    margin = "  before  " if whose[0].startswith(SETTING_UP) else _MARGIN
    return f"{margin}... {counted(sum(beat.steps for beat in beats), 'more step')}{of}{about}"


def _gist(step: Step) -> tuple[str, frozenset[str], str]:
    """What a step comes to: a token that is drawn anew for each try makes it no other step."""
    return step.effect.said.partition(" ")[0], step.effect.writes, step.answer


def _line(step: Step) -> str:
    # Each worker has its own column, so that one sees where they cross.
    if not step.worker[0].isupper():
        return f"{step.at_s:8.1f} s  {_told(step)}"
    column = " " * _COLUMN * min(index_of(step.worker.partition(".")[0]), _COLUMNS_MAX)
    return f"{step.at_s:8.1f} s  {column}{step.worker}  {_told(step)}"


def _told(step: Step) -> str:
    answer = f" -> {step.answer}" if step.answer else ""
    fault = f"   ** {step.fault}" if step.fault else ""
    path, _, line = step.where.rpartition(":")
    return f"{step.effect.said}{answer}{fault}" + (f"   ({Path(path).name}:{line})" if path else "")
