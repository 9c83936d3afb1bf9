"""Records of incidents, without blame: what happened when, what it cost, and whether it has taught the guards.

One file a record, in the team's repository:

title = "The payment retry queue drops payments"
started_at = 2024-10-17T14:42:00Z
detected_at = 2024-10-17T14:47:00Z
mitigated_at = 2024-10-17T15:29:00Z
resolved_at = 2024-10-17T16:12:00Z
users = 200_412
cause = "the idempotency key was the user's id and the clock in whole seconds"
hazard = "identity/coarse-clock"
drill = "payments"

[regression]
test = "tests/test_queue.py::test_two_payments_in_one_second_are_two"
bad = "v41"
fixed = "v42"

[[money]]
kind = "lost sales and credits"
amount = 182_000
currency = "USD"

[[timeline]]
at = 2024-10-17T14:52:00Z
what = "cause found"

There is no field for who. A record is open until it links a hazard that `check` knows, a test that fails on the bad version and
passes on the fixed one, both executed, and a drill that would have woken somebody.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, cast

from interlock.check.promises import broken_promises
from interlock.core.errors import UsageError, WorldError, nearest
from interlock.core.settings import Document, strict, tables
from interlock.core.verdict import Verdict
from interlock.gate.drills.drill import Drill, Monitoring, is_needed, replay
from interlock.gate.test_audit.audit import run_one
from interlock.gate.test_audit.declared import TestSettings
from interlock.hazards.catalogue import listings, named
from interlock.hazards.own import OwnHazards, is_own, on_disk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.check.repository import Repository

FOLDER: Final = "incidents"
_MOMENTS: Final = ("started_at", "detected_at", "mitigated_at", "resolved_at")
_TABLES: Final = ("regression", "money", "timeline")


@dataclass(frozen=True, slots=True)
class Regression:
    """A test that knows the failure."""

    test: str
    bad: str  # a version that has it
    fixed: str  # one that has not


@dataclass(frozen=True, slots=True)
class Money:
    """What it cost, by kind."""

    kind: str
    amount: int  # whole units of the currency, as such figures are known
    currency: str = "USD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One incident."""

    path: str
    title: str
    started_at: datetime
    detected_at: datetime
    mitigated_at: datetime
    resolved_at: datetime
    cause: str
    users: int = 0
    hazard: str = ""
    drill: str = ""
    regression: Regression | None = None
    money: tuple[Money, ...] = ()
    timeline: tuple[tuple[datetime, str], ...] = field(default=())

    @property
    def to_detect(self) -> timedelta:
        """From its beginning until somebody knew."""
        return self.detected_at - self.started_at

    @property
    def to_repair(self) -> timedelta:
        """From its beginning until users were well again."""
        return self.mitigated_at - self.started_at


@dataclass(frozen=True, slots=True)
class _Plain:
    """The plain fields, as they are written."""

    title: str
    cause: str
    users: int = 0
    hazard: str = ""
    drill: str = ""


@dataclass(frozen=True, slots=True)
class _Event:
    what: str


def record(path: str, content: bytes) -> Record:
    """One record.

    Raises:
        UsageError: If it is not right.
    """
    try:
        text = content.decode()
        document = Document(path, text, tomllib.loads(text))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{path}: is not TOML: {error}"
        raise UsageError(message) from error
    table = document.tables
    known = (*_MOMENTS, *_TABLES, *_Plain.__dataclass_fields__)
    for key in table:
        if key not in known:
            raise document.fail(key, f"unknown key {key!r}; {nearest(key, known)}")
    plain = strict(document, _Plain, {key: value for key, value in table.items() if key in _Plain.__dataclass_fields__}, path)
    moments = [_moment(document, key, table.get(key)) for key in _MOMENTS]
    for (key, before), (later, after) in pairwise(zip(_MOMENTS, moments, strict=True)):
        if after < before:
            raise document.fail(later, f"{later} is before {key}")
    regression = strict(document, Regression, table["regression"], "regression") if "regression" in table else None
    return Record(
        path=path,
        title=plain.title,
        started_at=moments[0],
        detected_at=moments[1],
        mitigated_at=moments[2],
        resolved_at=moments[3],
        cause=plain.cause,
        users=plain.users,
        hazard=plain.hazard,
        drill=plain.drill,
        regression=regression,
        money=tuple(strict(document, Money, one, "money") for one in tables(document, "money")),
        timeline=tuple(_event(document, one) for one in tables(document, "timeline")),
    )


def _event(document: Document, table: object) -> tuple[datetime, str]:
    if not isinstance(table, dict):
        raise document.fail("timeline", f"timeline holds {table!r}; expected [[timeline]], a table with at and what for each")
    values = cast("dict[str, Any]", table)
    event = strict(document, _Event, {key: value for key, value in values.items() if key != "at"}, "timeline")
    return _moment(document, "at", values.get("at")), event.what


def _moment(document: Document, key: str, value: object) -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise document.fail(key, f"{key} is {value!r}; expected a time with its zone, such as 2024-10-17T14:42:00Z")
    return value.astimezone(UTC)


def records(repository: Repository) -> list[Record]:
    """Every record of a repository's work tree, the newest first."""
    folder = repository.root / FOLDER
    found = [record(f"{FOLDER}/{path.name}", path.read_bytes()) for path in sorted(folder.glob("*.toml"))]
    return sorted(found, key=lambda one: one.started_at, reverse=True)


def lessons(one: Record, repository: Repository, document: Document) -> Iterator[tuple[str, Verdict, str]]:
    """What a record has taught: each lesson, whether it holds, and why."""
    yield "hazard", *_hazard(one, repository, document)
    yield "regression", *_regression(one, repository, document)
    yield "drill", *_drilled(one, repository, document)


def _hazard(one: Record, repository: Repository, document: Document) -> tuple[Verdict, str]:
    """Whether the hazard is known. One of the team's own must keep what a hazard promises, or it finds nothing."""
    if not one.hazard:
        return Verdict.FAIL, "none is linked: could `check` have known it?"
    try:
        hazard = named(one.hazard, listings(OwnHazards.of(document, on_disk(repository.root))))
    except UsageError as error:
        return Verdict.FAIL, str(error)
    if not is_own(hazard.module_name):
        return Verdict.PASS, f"{hazard.name} is in the catalogue"
    broken = next(broken_promises(hazard), "")
    if broken:
        return Verdict.FAIL, f"{hazard.name} is one of your own, and {broken} (interlock check --hazards)"
    return Verdict.PASS, f"{hazard.name} is one of your own, and keeps what a hazard promises"


def _regression(one: Record, repository: Repository, document: Document) -> tuple[Verdict, str]:
    """Executes the test on both versions."""
    if one.regression is None:
        return Verdict.FAIL, "none is linked: which test fails on the bad version?"
    settings = TestSettings.of(document)
    told: dict[str, str] = {}
    try:
        test = repository.contents(repository.commit(one.regression.fixed), [one.regression.test.partition("::")[0]])
        for version in (one.regression.bad, one.regression.fixed):
            with TemporaryDirectory(prefix="interlock-incident-") as name:
                repository.lay_out(repository.commit(version), Path(name))
                for path, content in test.items():  # The test is younger than the version that it would have stopped.
                    place = Path(name, path)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(content)
                told[version] = run_one(settings, one.regression.test, Path(name))
    except TimeoutError:
        return Verdict.UNKNOWN, f"{one.regression.test} was not done within {settings.within_s:g} s"
    except WorldError as error:
        return Verdict.UNKNOWN, str(error)
    bad, fixed = told[one.regression.bad], told[one.regression.fixed]
    if fixed:
        return Verdict.FAIL, f"on {one.regression.fixed}, {one.regression.test}: {fixed}"
    if not bad:
        return Verdict.FAIL, f"{one.regression.test} passes on {one.regression.bad} as well: it would not have stopped it"
    if bad != "it fails":
        return Verdict.UNKNOWN, f"on {one.regression.bad}, {one.regression.test}: {bad}"
    return Verdict.PASS, f"{one.regression.test} fails on {one.regression.bad} and passes on {one.regression.fixed}"


def _drilled(one: Record, repository: Repository, document: Document) -> tuple[Verdict, str]:
    drills = [drill for drill in Drill.all_of(document) if drill.feature == one.drill]
    monitoring = Monitoring.of(document)
    if not one.drill:
        return Verdict.FAIL, "none is linked: would somebody be woken next time?"
    if not drills or monitoring is None:
        return Verdict.FAIL, f"no [[drill]] of {one.drill!r} is declared, or no [alerts]"
    files = {
        path: (repository.root / path).read_bytes()
        for path in repository.files(repository.root)
        if is_needed(path, monitoring, drills) and (repository.root / path).is_file()
    }
    try:
        result = replay(drills[0], drills[0].shown(document), monitoring, files)
    except WorldError as error:
        return Verdict.UNKNOWN, str(error)
    return result.verdict, result.answer


def mean(times: list[timedelta]) -> timedelta:
    """The mean of some times; none at all is no time."""
    return sum(times, timedelta()) / len(times) if times else timedelta()


def costs(found: list[Record]) -> dict[str, int]:
    """What some incidents cost, by currency."""
    total: dict[str, int] = {}
    for money in (money for one in found for money in one.money):
        total[money.currency] = total.get(money.currency, 0) + money.amount
    return total
