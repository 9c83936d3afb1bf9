"""Holds files, or what changed between two versions of them, against the catalogue."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.check.inspect import Inspection, Problem, inspect
from interlock.core.settings import Document, strict
from interlock.core.verdict import Verdict
from interlock.hazards.catalogue import listings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from interlock.check.repository import Repository
    from interlock.core.finding import Finding

    Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """Files that are not checked, and why."""

    path: str  # a glob over the path relative to the settings file; `**` and `*` both cross folders
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSettings:
    """The section `[check]`."""

    exclude: tuple[Exclusion, ...] = ()

    @classmethod
    def of(cls, document: Document) -> CheckSettings:
        """The settings of a project. Raises UsageError if one is not right."""
        section = strict(document, _Section, document.tables.get("check", {}), "check")
        return cls(exclude=tuple(strict(document, Exclusion, entry, "exclude") for entry in section.exclude))

    def excludes(self, path: str) -> bool:
        """Whether a file, named relative to the settings, is left out."""
        return any(fnmatchcase(path, rule.path) for rule in self.exclude)


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
    hazards: int = 0

    @property
    def verdict(self) -> Verdict:
        """`fail` if there is a finding, `unknown` if something could not be read, else `pass`."""
        if self.findings:
            return Verdict.FAIL
        return Verdict.UNKNOWN if self.problems else Verdict.PASS

    def add(self, seen: Inspection) -> None:
        """Takes in what was seen in one more file."""
        self.files += 1
        self.findings.extend(seen.findings)
        self.suppressed.extend(seen.suppressed)
        self.problems.extend(seen.problems)


def check_files(paths: Iterable[str], progress: Progress) -> Report:
    """Every finding in these files, which are read from disk."""
    report = Report(hazards=len(listings()))
    names = list(paths)
    for number, path in enumerate(names, start=1):
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            report.problems.append(Problem(path=path, line=0, message=f"cannot be read: {error.strerror}"))
            continue
        report.add(inspect(path, content, listings()))
        progress(number, len(names))
    return report


def check_change(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> Report:
    """The findings that a change plants: those of the files as they are after it, less those they had before."""
    report = Report(hazards=len(listings()))
    for path, content in after.items():
        seen = inspect(path, content, listings())
        known = (
            inspect(path, before[path], listings()) if path in before and (seen.findings or seen.problems) else Inspection()
        )
        report.add(Inspection(_fresh(seen.findings, known.findings), seen.suppressed, seen.problems))
    return report


def _fresh(findings: list[Finding], known: list[Finding]) -> list[Finding]:
    """The findings that were not there before; as many as there are more of, where several look alike."""
    left = Counter(finding.identity for finding in known)
    fresh: list[Finding] = []
    for finding in findings:
        left[finding.identity] -= 1
        if left[finding.identity] < 0:
            fresh.append(finding)
    return fresh


def changed_sources(repository: Repository, base: str, head: str | None) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The Python files that differ between a commit and a later one (or the work tree), as they were and as they are.

    The comparison starts where the head left the base, so that what others merged meanwhile is not counted as the change's.
    """
    start = repository.merge_base(base, head or "HEAD")
    paths = [change.path for change in repository.changes(start, head) if change.path.endswith((".py", ".pyw"))]
    before = repository.contents(start, paths)
    if head is not None:
        return before, repository.contents(repository.commit(head), paths)
    on_disk = {path: repository.root / path for path in paths}
    return before, {path: place.read_bytes() for path, place in on_disk.items() if place.is_file()}
