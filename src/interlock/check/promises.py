"""What every hazard promises, and what of it one does not keep.

Those of interlock and those of a team are held to the same promises: `interlock check --hazards`, and a test of ours.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from interlock.check.inspect import inspect
from interlock.hazards.catalogue import needles_in
from interlock.hazards.hazard import HEADINGS
from interlock.source.module import Module

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.hazards.hazard import Hazard

_NOW: Final = re.compile(r"# expect: (\S+)")
_LATER: Final = re.compile(r"# expect-later: (\S+)")
_NAME: Final = re.compile(r"[a-z]+/[a-z]+(-[a-z]+)*")
_PATH: Final = "shop/example.py"  # What an example is called: the path of code that reaches production.
_LONGEST_FAILURE: Final = 120
_FEWEST_FINDINGS: Final = 2


def broken_promises(hazard: Hazard, text: str | None = None) -> Iterator[str]:
    """What a hazard does not keep of what it promises, a line each; nothing, if it keeps everything.

    Args:
        hazard: The hazard, imported.
        text: Its file's text, if it is at hand: its needles must be readable there without importing it.
    """
    missing = [name for name in ("BAD", "GOOD") if not hazard.has_examples(name)]
    if missing:
        yield f"{' and '.join(missing)} should be a tuple of texts: the examples"
        return
    yield from _figures(hazard)
    yield from _story(hazard)
    yield from _needles(hazard, text)
    yield from _balance(hazard)
    for kind, examples in (("BAD", hazard.bad), ("GOOD", hazard.good)):
        for number, example in enumerate(examples):
            yield from _example(hazard, f"{kind}[{number}]", example)
    yield from _injected(hazard)


def _figures(hazard: Hazard) -> Iterator[str]:
    if not _NAME.fullmatch(hazard.name):
        yield f"it is called {hazard.name}; expected family/name in lower-case words, without figures"
    for figure in ("advice", "signal", "scenario"):
        if not getattr(hazard, figure).strip():
            yield f"its {figure} is empty"
    if not hazard.sources:
        yield "it names no sources; expected where it is known from"


def _story(hazard: Hazard) -> Iterator[str]:
    story = hazard.story
    if tuple(story.sections) != HEADINGS:
        yield f"its docstring has the headings {', '.join(story.sections) or 'none'}; expected {', '.join(HEADINGS)}"
    yield from (f"its docstring says nothing under {heading}" for heading, told in story.sections.items() if not told)
    if not story.failure.endswith(".") or len(story.failure) > _LONGEST_FAILURE:
        yield f"its docstring should begin with the failure, in one sentence of at most {_LONGEST_FAILURE} characters"


def _needles(hazard: Hazard, text: str | None) -> Iterator[str]:
    if not hazard.needles:
        yield "it has no needles, so it would be imported for every file; expected a tuple of tuples of bytes"
    if text is not None and needles_in(text) != hazard.needles:
        yield 'its needles cannot be read without importing it; expected `    needles=((b"...",), ...),` on lines of their own'
    if hazard.concerns(b"x = 1\n"):
        yield "its needles are in every file"


def _balance(hazard: Hazard) -> Iterator[str]:
    """Whether there is enough code that is bad, and as much that only looks it."""
    promised = sum(len(_expected(example, _NOW)) for example in hazard.bad)
    if promised < _FEWEST_FINDINGS:
        yield f"BAD marks {promised} lines with `# expect: {hazard.name}`; expected {_FEWEST_FINDINGS} or more"
    for number, example in enumerate(hazard.bad):
        if not _expected(example, _NOW) and not _expected(example, _LATER):
            yield f"BAD[{number}] marks no line with `# expect: {hazard.name}`"
    for number, example in enumerate(hazard.good):
        if _expected(example, _NOW):
            yield f"GOOD[{number}] marks a line with `# expect:`; expected code that only looks bad"
    bad = len([example for example in hazard.bad if _expected(example, _NOW)])
    if len(hazard.good) < bad:
        yield f"there are {bad} bad examples and {len(hazard.good)} good ones; expected at least as many"


def _example(hazard: Hazard, where: str, example: str) -> Iterator[str]:
    """Whether an example holds exactly what it says."""
    seen = inspect(_PATH, example.encode(), [hazard])
    yield from (f"{where}: {problem.message}" for problem in seen.problems)
    found = sorted((finding.location.line, finding.hazard) for finding in seen.findings)
    promised = [one for one in _expected(example, _NOW) if one[1] == hazard.name]
    lines = example.splitlines()
    for line, _ in (one for one in promised if one not in found):
        yield f"{where}, line {line}: nothing is found, and it is expected: {lines[line - 1].strip()}"
    for line, _ in (one for one in found if one not in promised):
        yield f"{where}, line {line}: is found, and not expected: {lines[line - 1].strip()}"
    for line, _ in (one for one in _expected(example, _LATER) if one in found):
        yield f"{where}, line {line}: is found by now; its mark becomes `# expect: {hazard.name}`"


def _injected(hazard: Hazard) -> Iterator[str]:
    """Whether what it plants in good code is found."""
    planted = 0
    for number, example in enumerate(hazard.good):
        try:
            mutants = [mutant for injector in hazard.injectors for mutant in injector(Module(_PATH, example))]
        except Exception as error:  # noqa: BLE001 - whatever a team's injector raises is told.
            yield f"its injector failed on GOOD[{number}]: {type(error).__name__}: {error}"
            continue
        for mutant in mutants:
            planted += 1
            where = f"in GOOD[{number}], line {mutant.line}"
            if mutant.text == example:
                yield f"its injector changes nothing {where}: {mutant.what}"
            elif not inspect(_PATH, mutant.text.encode(), [hazard]).findings:
                yield f"what its injector plants {where} is not found: {mutant.what}"
    if not planted:
        yield "its injector plants nothing in any good example"


def _expected(example: str, mark: re.Pattern[str]) -> list[tuple[int, str]]:
    """The findings that an example promises: line and hazard."""
    lines = enumerate(example.splitlines(), start=1)
    return [(number, name) for number, line in lines for name in mark.findall(line)]
