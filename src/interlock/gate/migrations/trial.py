"""Both proofs of one change, and what they come to.

The schema can go back without loss (proof 1), or it stays and the code goes back alone (proof 2). One is enough; for what must
never fail it has to be the second: nobody runs a downgrade at night, under load.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from interlock.core.counting import counted
from interlock.core.verdict import Verdict, worst
from interlock.gate.migrations.previous import Previous, TestRun, not_tried, tried_or_why
from interlock.gate.migrations.process import steps
from interlock.gate.migrations.round_trip import RoundTrips, Trip
from interlock.gate.migrations.server import server
from interlock.source.module import is_test_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from interlock.gate.change import Change
    from interlock.gate.migrations.declared import Lossy, Migrations
    from interlock.gate.migrations.process import Migration, Steps
    from interlock.gate.migrations.server import Database, Server

_NO_TESTS: Final = "no [migrations] tests: what runs the previous release's tests on the new schema is not known"
_LOOKS_LIKE_ONE: Final = re.compile(
    rb"^revision\b.*^def upgrade\(|^class Migration\((?:\w+\.)*Migration\)", re.MULTILINE | re.DOTALL
)
COMMAND: Final = "interlock rehearse migrations --base REF"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of it.

    Attributes:
        previous_commit: The release that must be able to come back.
        names: The migrations that were tried.
        gone: Migrations of the previous release that the change has removed.
        edited: Those among the names that the previous release has in another form.
        unlisted: Files of the change that look like migrations, and are none of those that are run.
        heads: The migrations on which no other is built, where the change makes more of them than there were.
        trips: Proof 1, of each migration.
        previous: Proof 2.
        lossy: Columns that may be lost, and why.
        paths: All files that migrations lie in.
    """

    previous_commit: str
    names: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    trips: tuple[Trip, ...] = ()
    previous: Previous = field(default_factory=lambda: not_tried(_NO_TESTS))
    lossy: tuple[Lossy, ...] = ()
    paths: tuple[str, ...] = ()

    @property
    def round_trip(self) -> Verdict:
        """Proof 1 of all of them."""
        return worst(trip.verdict for trip in self.trips)

    def verdict(self, *, is_tier_1: bool) -> Verdict:
        """What both proofs come to."""
        proven = came_to(self.round_trip, self.previous.verdict, is_tier_1=is_tier_1) if self.names else Verdict.PASS
        return worst([proven, Verdict.UNKNOWN if self.gone or self.unlisted or self.heads else Verdict.PASS])

    def as_facts(self) -> dict[str, Any]:
        """For the evidence."""
        return {
            "previous_commit": self.previous_commit,
            "migrations": list(self.names),
            "round_trip": self.round_trip,
            "code_only": self.previous.verdict,
            "gone": list(self.gone),
            "edited": list(self.edited),
            "unlisted": list(self.unlisted),
            "heads": list(self.heads),
            "trips": [asdict(trip) for trip in self.trips],
            "previous": asdict(self.previous),
            "lines": self.lines(),
        }

    def lines(self) -> list[str]:
        """What was seen, a line each, the worst first."""
        told = [f"{name} is removed: a database that has it cannot be migrated any more" for name in self.gone]
        told += [f"{path} looks like a migration, and is none of those that are run here" for path in self.unlisted]
        if self.heads:
            told.append(f"{' and '.join(self.heads)} are heads beside each other: an upgrade to the head is refused")
        told += [f"{name} is edited: a database that has it does not run it again" for name in self.edited]
        told += [flaw for trip in self.trips for flaw in trip.flaws]
        if self.names:
            told += [
                f"up, down, up of {trip.migration} loses nothing: {trip.seconds:.2f} s"
                for trip in self.trips
                if trip.verdict is Verdict.PASS
            ]
            told += [f"{loss.column} may be lost: {loss.reason}" for loss in self.lossy]
            told += [
                self.previous.told,
                *(f"  {line}" for line in self.previous.output if self.previous.verdict is not Verdict.PASS),
            ]
        return told


def came_to(round_trip: Verdict, code_only: Verdict, *, is_tier_1: bool) -> Verdict:
    """What two proofs come to. Either is enough; tier 1 needs the second. A refuted one fails where nothing is proven."""
    if is_tier_1 and code_only is not Verdict.UNKNOWN:
        return code_only
    if Verdict.PASS in {round_trip, code_only} and not is_tier_1:
        return Verdict.PASS
    return Verdict.FAIL if Verdict.FAIL in {round_trip, code_only} else Verdict.UNKNOWN


def in_short(names: Sequence[str], round_trip: Verdict, code_only: Verdict) -> str:
    """The answer in one line."""
    if code_only is Verdict.PASS:
        return f"the code can go back alone over {_shown(names)}"
    if round_trip is Verdict.PASS:
        return f"{_shown(names)} can be downgraded without loss; that the code can go back alone is not proven"
    return (
        f"{_shown(names)} cannot be rolled back" if Verdict.FAIL in {round_trip, code_only} else f"{_shown(names)}: not known"
    )


def _shown(names: Sequence[str]) -> str:
    most = 3
    return ", ".join(names) if len(names) <= most else counted(len(names), "migration")


def tried(change: Change, settings: Migrations, say: Callable[[str], None]) -> Trial:
    """Tries what a change does to the database.

    Args:
        change: The change; its migrations run in the team's own interpreter.
        settings: What the base declares.
        say: Is told how far it is.

    Raises:
        WorldError: If something is missing that a trial needs.
    """
    python = settings.interpreter(change.repository.root)
    with ExitStack() as open_, TemporaryDirectory(prefix="interlock-migrations-") as name:
        sides: list[_Side] = []
        for tree, commit in ((Path(name, "head"), change.head), (Path(name, "base"), change.start)):
            tree.mkdir()
            change.repository.lay_out(commit, tree)
            runner = open_.enter_context(steps(settings, python, tree))
            sides.append(_Side(tree, runner, *runner.listed()))
        ahead, behind = sides
        new, gone = _differing(change, ahead, behind)
        found = Trial(
            previous_commit=change.start,
            names=tuple(one.name for one in ahead.migrations if one.name in new),
            gone=gone,
            edited=tuple(sorted(new & {one.name for one in behind.migrations})),
            unlisted=_unlisted(change, ahead),
            heads=_more_heads(ahead, behind),
            lossy=settings.losses(change.settings),
            paths=tuple(sorted({one.path for one in (*ahead.migrations, *behind.migrations) if one.path})),
        )
        if not new:
            return found
        running = open_.enter_context(server())
        say(f"{counted(len(new), 'migration')}: up, down, up")
        seed = change.repository.contents(change.base, [settings.seed]).get(settings.seed, b"") if settings.seed else b""
        lossy = [loss.column for loss in found.lossy]
        trips = RoundTrips(running, ahead.steps, seed.decode(), lossy).of(ahead.migrations, new)
        found = replace(found, trips=tuple(trips))
        if not settings.tests:
            return found
        say("the previous release's tests, on its own schema and on the new one")
        tests = TestRun(settings=settings, python=python, tree=behind.tree, url=ahead.url)
        return replace(found, previous=_previous(running, ahead, behind, tests, trips))


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two releases, laid out.

    Attributes:
        tree: Where.
        steps: What runs its migrations.
        migrations: All of them, parents first.
        url: The form of the database's address.
    """

    tree: Path
    steps: Steps
    migrations: list[Migration]
    url: str


def _differing(change: Change, ahead: _Side, behind: _Side) -> tuple[set[str], tuple[str, ...]]:
    """The migrations that the change adds or edits, and those that it removes. Installed packages bring theirs along."""
    edited = {difference.path for difference in change.differences}
    known = {one.name: one for one in behind.migrations}
    new = {one.name for one in ahead.migrations if one.path and (one.name not in known or one.path in edited)}
    there = {one.name for one in ahead.migrations}
    return new, tuple(name for name, one in known.items() if one.path and name not in there)


def looking_like_one(change: Change) -> list[str]:
    """The changed Python files that look like migrations."""
    return [path for path, content in sorted(change.sources[1].items()) if _LOOKS_LIKE_ONE.search(content)]


def _unlisted(change: Change, ahead: _Side) -> tuple[str, ...]:
    """Settings of Alembic, or of Django, are the change's own: they may lead to a folder that holds less than is shipped."""
    listed = {one.path for one in ahead.migrations}
    return tuple(path for path in looking_like_one(change) if path not in listed and not is_test_path(path))


def _more_heads(ahead: _Side, behind: _Side) -> tuple[str, ...]:
    heads, were = heads_of(ahead.migrations), heads_of(behind.migrations)
    grown = [app for app, names in heads.items() if len(names) > max(1, len(were.get(app, ())))]
    return tuple(name for app in grown for name in heads[app])


def heads_of(migrations: Sequence[Migration]) -> dict[str, list[str]]:
    """The migrations on which no other is built, of each app of Django's; Alembic's are of one."""
    built_on = {(_app(one.name), parent) for one in migrations for parent in one.parents}
    found: dict[str, list[str]] = {}
    for one in migrations:
        if one.path and (_app(one.name), one.name) not in built_on:
            found.setdefault(_app(one.name), []).append(one.name)
    return found


def _app(name: str) -> str:
    return name.rpartition(".")[0]


def _previous(running: Server, ahead: _Side, behind: _Side, tests: TestRun, trips: Sequence[Trip]) -> Previous:
    """Proof 2, on a database that was the previous release's and was then migrated."""
    old = running.database("previous")
    flaw = _moved(behind.steps, behind.migrations, old)
    if flaw:
        return not_tried(f"the previous release's own migrations do not run here: {flaw}")
    new = running.database("migrated", old)
    known = {one.name for one in behind.migrations}
    flaw = _moved(ahead.steps, [one for one in ahead.migrations if one.name not in known], new)
    if flaw:
        return not_tried(f"the new migrations do not run on an empty database: {flaw}")
    return tried_or_why(tests, running, old, new, {table for trip in trips for table in trip.alters})


def _moved(runner: Steps, migrations: Sequence[Migration], database: Database) -> str:
    """Runs some migrations; answers with why one did not run."""
    for one in migrations:
        refusal = runner.move(one, database, is_up=True)
        if refusal is not None:
            return f"{one.name}: {refusal} ({refusal.where})"
    return ""
