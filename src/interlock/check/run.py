"""Holds files, or what changed between two versions of them, against the catalogue."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from interlock.check.inspect import Inspection, Problem, inspect
from interlock.core.errors import WorldError
from interlock.core.globs import matches
from interlock.core.settings import Document, strict
from interlock.core.verdict import Verdict
from interlock.source.module import ENDINGS, is_test_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from interlock.check.repository import Change, Repository
    from interlock.core.finding import Finding
    from interlock.hazards.catalogue import Listing

    Progress = Callable[[int, int], None]

Alike: TypeAlias = tuple[str, str, str]  # hazard, symbol, line of code


_COMPILED: Final = (".pyc", ".so", ".pyd")  # What `import` takes without a source beside it.
_WORTH_A_POOL: Final = 200  # Files; starting processes costs about as much as checking this many.
_CHUNK: Final = 16  # Files that a process takes at a time.


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """Files that are not checked, and why."""

    path: str  # a glob over the path relative to the project
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSettings:
    """The section `[check]`."""

    exclude: tuple[Exclusion, ...] = ()

    @classmethod
    def of(cls, document: Document) -> CheckSettings:
        """The settings of a project. Raises UsageError if one is not right."""
        section = strict(document, _Section, document.tables.get("check", {}), "check")
        exclude = tuple(strict(document, Exclusion, entry, "exclude") for entry in section.exclude)
        for rule in exclude:
            if not rule.reason.strip():
                raise document.fail("exclude", f"the exclusion of {rule.path!r} gives no reason")
        return cls(exclude=exclude)

    def excludes(self, path: str) -> bool:
        """Whether a file, named relative to the settings, is left out."""
        return any(matches(path, rule.path) for rule in self.exclude)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Section:
    """What `[check]` may hold."""

    exclude: list[object] = field(default_factory=list[object])  # its entries are read as Exclusion.


@dataclass(slots=True)
class Report:
    """What a run of `check` saw."""

    findings: list[Finding] = field(default_factory=list["Finding"])
    suppressed: list[Finding] = field(default_factory=list["Finding"])
    problems: list[Problem] = field(default_factory=list["Problem"])
    files: int = 0
    tests: int = 0  # of the files, those that are test code and were only parsed
    excluded: int = 0  # files that the settings leave out
    hazards: tuple[Listing, ...] = ()  # what was looked for

    @property
    def verdict(self) -> Verdict:
        """`fail` if there is a finding, `unknown` if something could not be read, else `pass`."""
        if self.findings:
            return Verdict.FAIL
        return Verdict.UNKNOWN if self.problems else Verdict.PASS

    def add(self, seen: Inspection) -> None:
        """Takes in what was seen in one more file."""
        self.files += 1
        self.tests += seen.is_test
        self.findings.extend(seen.findings)
        self.suppressed.extend(seen.suppressed)
        self.problems.extend(problem for problem in seen.problems if problem not in self.problems)


def check_files(paths: Mapping[str, str], hazards: Sequence[Listing], progress: Progress) -> Report:
    """Every finding in these files, which are read from disk. Each path is given with the same path within the project."""
    report = Report(hazards=tuple(hazards))
    for number, seen in enumerate(_each(paths, report.hazards), start=1):
        report.add(seen)
        progress(number, len(paths))
    return report


def _each(paths: Mapping[str, str], hazards: tuple[Listing, ...]) -> Iterator[Inspection]:
    """What is seen in each file. Many files are shared out to as many processes as there are processors."""
    if len(paths) < _WORTH_A_POOL:
        yield from (_read(hazards, *path) for path in paths.items())
        return
    from concurrent.futures import ProcessPoolExecutor  # noqa: PLC0415 - a few files do not pay for it.
    from concurrent.futures.process import BrokenProcessPool  # noqa: PLC0415 - likewise.
    from functools import partial  # noqa: PLC0415 - likewise.
    from multiprocessing import active_children  # noqa: PLC0415 - likewise.

    with ProcessPoolExecutor(initializer=_leave_interrupts_to_the_parent) as pool:
        try:
            yield from pool.map(partial(_read, hazards), paths.keys(), paths.values(), chunksize=_CHUNK)
        except BrokenProcessPool as error:
            message = "a process of the check was killed, for example for want of memory; what it had in hand is not known"
            raise WorldError(message) from error
        except BaseException:
            for process in active_children():  # Whoever stops us does not wait for what they have in hand.
                process.kill()
            pool.shutdown(wait=True, cancel_futures=True)  # Its thread must be gone before the interpreter is.
            raise


def _leave_interrupts_to_the_parent() -> None:
    from signal import SIG_IGN, SIGINT, signal  # noqa: PLC0415 - in worker processes alone.

    signal(SIGINT, SIG_IGN)


def _read(hazards: tuple[Listing, ...], path: str, inside: str) -> Inspection:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        return Inspection(problems=[Problem(path=path, line=0, message=f"cannot be read: {error.strerror}")])
    return inspect(path, content, hazards, is_test=is_test_path(inside))


def check_change(
    before: Mapping[str, bytes],
    after: Mapping[str, bytes],
    hazards: Sequence[Listing],
    is_test: Callable[[str], bool] = is_test_path,
    code: AbstractSet[str] = frozenset(),
) -> Report:
    """The findings that a change plants: those of the files as they are after it, less those they had before.

    A file that is only in `before` is gone. What it held is no news where it turns up again in a new file.

    Args:
        before: The changed files as they were.
        after: The changed files as they are.
        hazards: What is looked for.
        is_test: Whether a file is test code, by its path.
        code: The files that are none, whatever they look like.
    """
    report = Report(hazards=tuple(hazards))

    def held(paths: AbstractSet[str]) -> tuple[Counter[Alike], Counter[Alike]]:
        """What was found in files as they were before, and what was found and accepted by a suppression."""
        seen = [inspect(path, before[path], hazards, is_test=is_test(path), is_code=path in code) for path in paths]
        found = Counter(_alike(finding) for inspection in seen for finding in inspection.findings)
        return found, Counter(_alike(finding) for inspection in seen for finding in inspection.suppressed)

    gone = held(before.keys() - after.keys())[0] if after.keys() - before.keys() else Counter[Alike]()
    for path, content in after.items():
        seen = inspect(path, content, hazards, is_test=is_test(path), is_code=path in code)
        has_past = bool(path in before and (seen.findings or seen.suppressed))
        found, accepted = (gone, Counter[Alike]()) if path not in before else held({path} if has_past else set())
        report.add(
            Inspection(_fresh(seen.findings, found), _fresh(seen.suppressed, found + accepted), seen.problems, seen.is_test)
        )
    return report


def _alike(finding: Finding) -> Alike:
    """What two findings have in common that are one and the same before and after a change."""
    return finding.hazard, finding.symbol, finding.code


def _fresh(findings: list[Finding], known: Counter[Alike]) -> list[Finding]:
    """The findings that are not known; as many as there are more of, where several look alike. Takes from `known`."""
    fresh: list[Finding] = []
    for finding in findings:
        known[_alike(finding)] -= 1
        if known[_alike(finding)] < 0:
            fresh.append(finding)
    return fresh


def changed_sources(repository: Repository, start: str, head: str | None) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The Python files that differ between a commit and a later one (or the work tree), as they were and as they are."""
    plain = [change.path for change in repository.changes(start, head) if not change.is_link and not change.is_submodule]
    paths = [path for path in plain if may_be_python(path)]
    before = repository.contents(start, paths)
    after = _on_disk(repository, paths) if head is None else repository.contents(head, paths)
    return (
        {path: content for path, content in before.items() if is_python(path, content)},
        {path: content for path, content in after.items() if is_python(path, content)},
    )


def unread(repository: Repository, start: str, head: str | None) -> list[Problem]:
    """What differs and is code, perhaps, that nobody reads here: links to modules, other repositories, compiled modules."""
    there = (change for change in repository.changes(start, head) if change.status != "D")
    return [Problem(path=change.path, line=0, message=why) for change in there if (why := _why_unread(change))]


def _why_unread(change: Change) -> str:
    if change.is_submodule:
        return "is a submodule; what it holds is not read"
    if change.is_link:
        is_module = change.path.lower().endswith((*ENDINGS, *_COMPILED))
        return "is a symbolic link; what it leads to is not read as this module" if is_module else ""
    return "is compiled, and Python imports it as it is; what it does is not read" if change.path.endswith(_COMPILED) else ""


def may_be_python(path: str) -> bool:
    """Whether a file's name lets it be Python: by its ending, or as a program without one."""
    name = path.rpartition("/")[2]
    return name.lower().endswith(ENDINGS) or "." not in name


def is_python(path: str, content: bytes) -> bool:
    """Whether a file is Python: by its ending, or by the first line of a program without one."""
    return path.lower().endswith(ENDINGS) or (content.startswith(b"#!") and b"python" in content.split(b"\n", 1)[0])


def _on_disk(repository: Repository, paths: list[str]) -> dict[str, bytes]:
    """The files of the work tree. Raises WorldError if one cannot be read."""
    found: dict[str, bytes] = {}
    for path in paths:
        place = repository.root / path
        try:
            if place.is_file():
                found[path] = place.read_bytes()
        except OSError as error:
            message = f"{path} cannot be read: {error.strerror}"
            raise WorldError(message) from error
    return found
