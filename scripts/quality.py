"""Measures `interlock check` on real projects, and writes what it found to `docs/quality.md`.

    python scripts/quality.py --projects DIR                      # every folder of DIR
    python scripts/quality.py --projects DIR celery netbox        # these of them
    python scripts/quality.py --projects DIR --to-judge           # prints entries for docs/quality-judged.toml

DIR holds checkouts. What a person thought of a finding is read from `docs/quality-judged.toml`; a finding that is not in there
is shown as not judged. One that was judged and is no longer found is listed too, because a real one that is gone is a loss.
Exit 0 if every file was checked or the page says why not, 1 if a detector failed, 2 if something given is not right.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
import tomllib
import warnings
from collections import Counter
from contextlib import chdir
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from interlock import __version__
from interlock.check.discovery import discover
from interlock.check.repository import Repository
from interlock.check.run import check_files
from interlock.core.errors import InterlockError, UsageError, WorldError, nearest
from interlock.core.settings import Document, strict, tables
from interlock.hazards.catalogue import catalogue, listings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from interlock.check.inspect import Problem
    from interlock.core.finding import Finding

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
PAGE: Final = DOCS / "quality.md"
JUDGEMENTS: Final = DOCS / "quality-judged.toml"
ENTRY: Final = "finding"  # the table of the judgement file
UNVERSIONED: Final = "unversioned"
WORDS: Final = {True: "real", False: "waved away", None: "not judged"}

ABOUT: Final = """\
`interlock check` on open source projects, as they are, with no settings and nothing suppressed by us. Test code is not looked
at. A person reads each finding and says whether it is real, or whether a good engineer would wave it away; the reasons are in
[quality-judged.toml](quality-judged.toml). A finding that nobody has read yet counts as neither. These projects were also read
while the detectors were written, and what was noise in them was mended: on code that nobody has seen, expect more. What `check`
misses in these projects is not known: nobody has read all of their code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What names a finding: stable when lines above it come and go."""

    project: str
    hazard: str
    path: str
    symbol: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a person thought of a finding; an entry of the judgement file."""

    project: str
    hazard: str
    path: str
    symbol: str
    code: str
    real: bool
    why: str

    @property
    def key(self) -> Key:
        """The finding that was judged."""
        return Key(project=self.project, hazard=self.hazard, path=self.path, symbol=self.symbol, code=self.code)


Judgements = dict[Key, Judgement]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One finding, with what was thought of it."""

    key: Key
    finding: Finding
    judgement: Judgement | None

    @property
    def word(self) -> str:
        """`real`, `waved away` or `not judged`."""
        return WORDS[self.judgement.real if self.judgement else None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One project, measured."""

    name: str
    version: str
    files: int
    lines: int
    seen: list[Seen]
    problems: list[Problem]
    seconds: float


def main() -> int:
    """Measures, and writes the page or prints what is to be judged."""
    warnings.simplefilter("ignore")  # Python warns of the code that is read.
    options = _arguments()
    catalogue()  # Its start is not what is measured.
    try:
        judgements = read_judgements(JUDGEMENTS)
        versions = read_versions(options.versions) if options.versions else {}
        projects = [measure(place, versions, judgements) for place in chosen(options.projects, options.names)]
    except InterlockError as error:
        print(f"quality: {error}", file=sys.stderr)
        return 2
    if options.to_judge:
        print("\n".join(to_judge(projects)))
    else:
        PAGE.write_text(page(projects, judgements), encoding="utf-8", newline="\n")
    return told(projects)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--projects", metavar="DIR", type=Path, required=True, help="a folder of checkouts")
    parser.add_argument("--versions", metavar="FILE", type=Path, help="lines of `name commit`, for checkouts without a commit")
    parser.add_argument(
        "--to-judge", action="store_true", help="print entries for the findings nobody has judged, and write nothing"
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help="the folders to measure (default: all)")
    return parser.parse_args()


def chosen(folder: Path, names: list[str]) -> list[Path]:
    """The projects to measure, by name. Raises UsageError for one that is not there."""
    if not folder.is_dir():
        message = f"{folder}: no such folder"
        raise UsageError(message)
    there = {place.name: place for place in sorted(folder.iterdir()) if place.is_dir() and not place.name.startswith(".")}
    for name in names:
        if name not in there:
            message = f"there is no project {name!r} in {folder}"
            raise UsageError(message)
    return [there[name] for name in names or there]


def read_versions(file: Path) -> dict[str, str]:
    """A project's version by its name: its line's second column, columns being set apart by a tab or else by white space."""
    found: dict[str, str] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        columns = [column.strip() for column in line.split("\t" if "\t" in line else None)]
        if len(columns) > 1 and not line.startswith("#"):
            found[columns[0]] = columns[1]
    return found


def read_judgements(file: Path) -> Judgements:
    """What was thought of findings. Raises UsageError if an entry is not right, or if a finding has two."""
    text = file.read_text(encoding="utf-8")
    try:
        document = Document(file.name, text, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        message = f"{file.name}: is not TOML: {error}"
        raise UsageError(message) from error
    for name in document.tables:
        if name != ENTRY:
            raise document.fail(name, f"unknown section {name!r}; {nearest(name, (ENTRY,))}")
    found: Judgements = {}
    for table in tables(document, ENTRY):
        judgement = strict(document, Judgement, table, ENTRY)
        if judgement.key in found:
            message = (
                f"{file.name}: {judgement.path}: {judgement.hazard} on {judgement.code!r} is judged twice; expected one entry"
            )
            raise UsageError(message)
        found[judgement.key] = judgement
    return found


def measure(place: Path, versions: dict[str, str], judgements: Judgements) -> Measured:
    """Checks one project as if the command had been run at its top. The time is that of reading its files and checking them."""
    with chdir(place):
        started_s = time.perf_counter()
        found = discover(["."])
        report = check_files({path: path for path in found.files}, listings(), lambda _done, _all: None)
        seconds = time.perf_counter() - started_s
        lines = sum(Path(path).read_bytes().count(b"\n") for path in found.files)
    findings = sorted(report.findings, key=lambda finding: (finding.location, finding.hazard))
    seen = [_judged(place.name, finding, judgements) for finding in findings]
    return Measured(
        name=place.name,
        version=versions.get(place.name) or commit(place),
        files=len(found.files),
        lines=lines,
        seen=seen,
        problems=[*found.problems, *report.problems],
        seconds=seconds,
    )


def commit(place: Path) -> str:
    """The commit that is checked out, if the folder is a repository of its own that has one."""
    repository = Repository.around(place)
    if repository is None or repository.root.resolve() != place.resolve():
        return UNVERSIONED
    try:
        return repository.commit("HEAD")
    except (UsageError, WorldError):
        return UNVERSIONED


def _judged(project: str, finding: Finding, judgements: Judgements) -> Seen:
    hazard, path, symbol, code = finding.identity
    key = Key(project=project, hazard=hazard, path=path, symbol=symbol, code=code)
    return Seen(key=key, finding=finding, judgement=judgements.get(key))


def told(projects: list[Measured]) -> int:
    """Says on stderr how it went, with whatever is a fault of ours, and answers with the exit code."""
    ours = [problem for project in projects for problem in project.problems if problem.is_ours]
    for problem in ours:
        print(problem, file=sys.stderr)
    total = sum(len(project.seen) for project in projects)
    print(f"{len(projects)} projects, {total} findings, {len(ours)} detectors failed", file=sys.stderr)
    return 1 if ours else 0


def to_judge(projects: list[Measured]) -> Iterator[str]:
    """An entry for each finding that nobody has judged, with its place and message, and `real` and `why` left to fill in."""
    for project in projects:
        for key, alike in _alike(seen for seen in project.seen if seen.judgement is None).items():
            yield from (f"# {seen.finding.location}: {seen.finding.message}" for seen in alike)
            yield "[[finding]]"
            # A text in JSON's notation is one in TOML's too.
            yield from (f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in asdict(key).items())
            yield 'real = \nwhy = ""\n'


def _alike(found: Iterable[Seen]) -> dict[Key, list[Seen]]:
    groups: dict[Key, list[Seen]] = {}
    for seen in found:
        groups.setdefault(seen.key, []).append(seen)
    return groups


def page(projects: list[Measured], judgements: Judgements) -> str:
    """The page of figures."""
    blocks = [
        "<!-- Generated by scripts/quality.py; do not edit. -->",
        "# How often it is right",
        ABOUT,
        _measured_with(projects),
    ]
    blocks += ["## By project", _by_project(projects), "## By hazard", _by_hazard(projects)]
    blocks += ["## Every finding", *(block for project in projects for block in _section(project))]
    gone = list(_gone(projects, judgements))
    blocks += ["## Judged, and no longer found", "\n".join(gone) or "None."]
    return "\n\n".join(blocks) + "\n"


def _measured_with(projects: list[Measured]) -> str:
    names = " ".join(project.name for project in projects)
    machine = f"Python {platform.python_version()}"
    return (
        f"Measured on {datetime.now(tz=UTC):%d %B %Y} with interlock {__version__} and {len(catalogue())} hazards ({machine}). "
        "The seconds are seconds of one run: reading the files and checking them, without the start of the program.\n\n"
        f"    python scripts/quality.py --projects DIR {names}"
    )


def _by_project(projects: list[Measured]) -> str:
    heads = [
        "project",
        "commit",
        "Python files",
        "lines",
        "not read",
        "findings",
        "real",
        "waved away",
        "not judged",
        "seconds",
    ]
    rows = [_project_row(project) for project in projects]
    return _table(heads, [*rows, _total_row(projects)])


def _project_row(project: Measured) -> list[str]:
    version = project.version[:12] if project.version.isalnum() else project.version
    figures = [f"{project.files:,}", f"{project.lines:,}", str(len(project.problems))]
    return [project.name, version, *figures, *_tally(project.seen), f"{project.seconds:.1f}"]


def _total_row(projects: list[Measured]) -> list[str]:
    files, lines = sum(project.files for project in projects), sum(project.lines for project in projects)
    unread = sum(len(project.problems) for project in projects)
    figures = [f"{files:,}", f"{lines:,}", str(unread)]
    return ["all", "", *figures, *_tally(_all_seen(projects)), f"{sum(project.seconds for project in projects):.1f}"]


def _by_hazard(projects: list[Measured]) -> str:
    heads = ["hazard", "findings", "real", "waved away", "not judged", "where"]
    everything = _all_seen(projects)
    rows: list[list[str]] = []
    for hazard in catalogue():
        seen = [one for one in everything if one.key.hazard == hazard.name]
        where = Counter(one.key.project for one in seen)
        rows.append([hazard.name, *_tally(seen), ", ".join(f"{name} {count}" for name, count in where.items())])
    return _table(heads, rows)


def _all_seen(projects: list[Measured]) -> list[Seen]:
    return [seen for project in projects for seen in project.seen]


def _tally(found: list[Seen]) -> list[str]:
    """How many there are: in all, real, waved away, not judged."""
    words = Counter(seen.word for seen in found)
    return [str(len(found)), *(str(words[word]) for word in WORDS.values())]


def _table(heads: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows))


def _section(project: Measured) -> Iterator[str]:
    """The project's findings, and the files of it that could not be read."""
    yield f"### {project.name}"
    lines = [_finding_line(seen) for seen in project.seen]
    lines += [f"- not read: {str(problem).splitlines()[0]}" for problem in project.problems]
    yield "\n".join(lines) or "Nothing."


def _finding_line(seen: Seen) -> str:
    place = seen.finding.location
    why = f" ({seen.judgement.why})" if seen.judgement else ""
    return f"- {seen.word}: `{place}` **{seen.finding.hazard}** {seen.finding.message}{why}"


def _gone(projects: list[Measured], judgements: Judgements) -> Iterator[str]:
    """What was judged in these projects and is not found any more."""
    names = {project.name for project in projects}
    found = {seen.key for seen in _all_seen(projects)}
    for key, judgement in judgements.items():
        if key.project in names and key not in found:
            yield f"- {WORDS[judgement.real]}: {key.project} `{key.path}` **{key.hazard}** `{key.code}` ({judgement.why})"


if __name__ == "__main__":
    sys.exit(main())
