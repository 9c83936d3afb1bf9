"""Runs the tests that must exist on the change as it is, and again with each hazard that can be planted in what it changed.

The tests are run in a copy of the commit, never in the work tree. A test that guards something passes on the code and fails on
the mutant; a mutant on which all of them pass shows what nobody would notice.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from interlock.core.errors import WorldError
from interlock.core.evidence import TEST_RESULT, Frame
from interlock.core.verdict import Verdict
from interlock.gate.test_audit.before import Before, before, impostors
from interlock.gate.test_audit.running import NOT_THERE, flaw, noticed, run
from interlock.hazards.own import is_own
from interlock.source.module import Module, is_test_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from interlock.gate.change import Change
    from interlock.gate.test_audit.declared import MustTest, TestSettings
    from interlock.hazards.hazard import Hazard, Mutant


_COMMENT: Final = b"\n# It changes nothing.\n"
_IMPOSTOR: Final = "is imported where pytest means another module: a person has to agree"


@dataclass(frozen=True, slots=True)
class Planted:
    """One hazard, planted in one place, and what the tests said."""

    hazard: str
    path: str
    line: int
    what: str
    is_noticed: bool | None  # None if it cannot be told
    how: str  # how it was noticed, or why it cannot be told


@dataclass(slots=True)
class Audit:
    """What came of it.

    Attributes:
        missing: Tests that do not run or do not pass on the change as it is: id, and why.
        planted: Every mutant that was tried.
        before: The same tests as they were before the change altered them; None if it did not.
        deceived: Why what the tests say is not to be relied upon.
        reason: Why it was not finished.
    """

    ran: list[str] = field(default_factory=list[str])
    missing: dict[str, str] = field(default_factory=dict[str, str])
    planted: list[Planted] = field(default_factory=list[Planted])
    before: Before | None = None
    deceived: list[str] = field(default_factory=list[str])
    reason: str = ""

    @property
    def survivors(self) -> list[Planted]:
        """What nobody noticed."""
        return [one for one in self.planted if one.is_noticed is False]

    @property
    def doubts(self) -> list[str]:
        """What is not known, a line each."""
        unclear = [f"{one.path}:{one.line}: {one.hazard}: {one.how}" for one in self.planted if one.is_noticed is None]
        return [*self.deceived, *unclear, *(self.before.doubts if self.before else ()), *([self.reason] if self.reason else [])]

    @property
    def verdict(self) -> Verdict:
        """Fail if something is missing or was not noticed; unknown if something is in doubt, or nothing was to be run."""
        if self.missing or self.survivors:
            return Verdict.FAIL
        return Verdict.UNKNOWN if self.doubts or not self.ran else Verdict.PASS

    def as_facts(self) -> dict[str, Any]:
        """For the evidence."""
        shown = [
            {"hazard": one.hazard, "at": f"{one.path}:{one.line}", "what": one.what, "noticed": one.is_noticed, "how": one.how}
            for one in self.planted
        ]
        facts = {"ran": self.ran, "missing": self.missing, "planted": shown, "doubts": self.doubts, "reason": self.reason}
        return {**facts, "before": self.before.as_facts() if self.before else None}


def test_result(found: Audit, uncovered: Sequence[str], verdict: Verdict, change: Change) -> Frame | None:
    """An audit as in-toto's test result; it has no word for what is unknown.

    Args:
        found: The audit. Each planted hazard is a test, too: that of the tests.
        uncovered: The files of which the tests run too little, a line each; such a line is a test that failed.
        verdict: On all of it.
        change: What was audited, by the settings of its base.
    """
    if verdict is Verdict.UNKNOWN:
        return None
    noticing = dict[str, bool]()
    for one in found.planted:  # There may be two ways to plant it in one line.
        name = f"{one.hazard} in {one.path}:{one.line} is noticed"
        noticing[name] = noticing.get(name, True) and one.is_noticed is not False
    results = {**{test: test not in found.missing for test in found.ran}, **noticing, **dict.fromkeys(uncovered, False)}
    unclear = {f"{one.hazard} in {one.path}:{one.line} is noticed" for one in found.planted if one.is_noticed is None}
    fields = {
        "result": "PASSED" if verdict is Verdict.PASS else "FAILED",
        "configuration": change.policies,
        "passedTests": [test for test, is_good in results.items() if is_good and test not in unclear],
        "warnedTests": [test for test, is_good in results.items() if is_good and test in unclear],
        "failedTests": [test for test, is_good in results.items() if not is_good],
    }
    return Frame(TEST_RESULT, fields)


def audit(change: Change, musts: Sequence[MustTest], settings: TestSettings, say: Callable[[str], None]) -> Audit:
    """Audits the tests of what a change touches.

    Args:
        change: The change; what it altered is what hazards are planted in.
        musts: The tests that must exist.
        settings: How they are run.
        say: Is told how far it is.
    """
    found, ends_s = Audit(), time.monotonic() + settings.within_s

    def tried(ids: Sequence[str], place: Path) -> tuple[int, str]:
        return run(settings.command, ids, place, ends_s)

    with TemporaryDirectory(prefix="interlock-audit-") as name:
        folder = Path(name)
        change.repository.lay_out(change.head, folder)
        try:
            for must, why in _as_it_is(change, musts, lambda id_: tried([id_], folder), say):
                found.ran.append(must.id)
                if why:
                    found.missing[must.id] = f"{must.guards}: {why}"
            found.before = before(change, musts, tried)
            found.deceived += (f"{path} {_IMPOSTOR}" for path in impostors(change))
            good = [must.id for must in musts if must.id not in found.missing]
            _plant(found, list(mutants(change)) if good else [], folder, lambda: tried(good, folder), say)
        except TimeoutError:
            found.reason = f"not finished within {settings.within_s:g} s"
    return found


def _as_it_is(
    change: Change, musts: Sequence[MustTest], tried: Callable[[str], tuple[int, str]], say: Callable[[str], None]
) -> Iterator[tuple[MustTest, str]]:
    """Why each test does not pass on the change; nothing, if it does."""
    there = change.repository.contents(change.head, {must.path for must in musts})
    for must in musts:
        say(f"running {must.id}")
        # A link leads wherever the change likes, and evidence cannot be bound to that.
        yield must, flaw(tried(must.id)) if must.path in there else NOT_THERE


def _plant(
    found: Audit,
    planted: Sequence[tuple[str, str, Mutant]],
    folder: Path,
    tried: Callable[[], tuple[int, str]],
    say: Callable[[str], None],
) -> None:
    """Tries each hazard; but first a comment, on which no test must fail."""
    found.deceived += _moved_by_comments(folder, sorted({path for _, path, _ in planted}), tried)
    for hazard, path, mutant in planted:
        say(f"planting {hazard} in {path}:{mutant.line}")
        done = _with_planted(folder / path, mutant, tried)
        found.planted.append(Planted(hazard, path, mutant.line, mutant.what, *noticed(path, folder, done)))


def _moved_by_comments(folder: Path, paths: Sequence[str], tried: Callable[[], tuple[int, str]]) -> Iterator[str]:
    """Whether the tests fail on a comment: they look at the text then, and would notice whatever is planted."""
    were = {path: (folder / path).read_bytes() for path in paths}
    for path, content in were.items():
        (folder / path).write_bytes(content + _COMMENT)
    if were and tried()[0] != 0:
        yield f"the tests do not pass with a comment added to {', '.join(paths)}, so that they notice a hazard says nothing"
    for path, content in were.items():
        (folder / path).write_bytes(content)


def run_one(settings: TestSettings, name: str, folder: Path) -> str:
    """Why a test in a folder does not count as one that passes; nothing, if it does.

    Raises:
        TimeoutError: If it takes too long.
    """
    return flaw(run(settings.command, [name], folder, time.monotonic() + settings.within_s))


def mutants(change: Change) -> Iterator[tuple[str, str, Mutant]]:
    """Every hazard that an injector can plant in a line that the change wrote: its name, the file, the mutant."""
    _, after = change.sources
    for path, (_, fresh) in sorted(change.lines.items()):
        text = after.get(path, b"").decode(errors="replace")
        if not text or is_test_path(path):
            continue
        try:
            module = Module(path, text)
        except (SyntaxError, ValueError, RecursionError):
            continue  # The question about hazards tells of it.
        for hazard in (listing.load() for listing in change.hazards):
            yield from ((hazard.name, path, mutant) for mutant in _injected(hazard, module) if mutant.line in fresh)


def _injected(hazard: Hazard, module: Module) -> list[Mutant]:
    """What a hazard plants in a module.

    Raises:
        WorldError: If it is a team's own, and its injector fails.
    """
    try:
        return [mutant for injector in hazard.injectors for mutant in injector(module)]
    except Exception as error:
        if not is_own(hazard.module_name):
            raise
        message = f"the injector of {hazard.name} failed on {module.path}: {type(error).__name__}: {error}"
        raise WorldError(message) from error


def _with_planted(path: Path, mutant: Mutant, tried: Callable[[], tuple[int, str]]) -> tuple[int, str]:
    as_it_is = path.read_bytes()
    path.write_text(mutant.text, encoding="utf-8")
    try:
        return tried()
    finally:
        path.write_bytes(as_it_is)
