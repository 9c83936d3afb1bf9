"""Proof 1, the schema goes back: up, down, up of each new migration, on rows, and what is not there any more afterwards."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from interlock.core.errors import WorldError
from interlock.core.verdict import Verdict
from interlock.gate.migrations.seeding import seed
from interlock.gate.migrations.snapshot import (
    Snapshot,
    counters_back,
    kept_columns,
    rows_lost,
    schema_differences,
    table_of,
    taken,
)
from interlock.prove.wire.postgres_protocol import PostgresError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from interlock.gate.migrations.process import Migration, Refusal, Steps
    from interlock.gate.migrations.server import Server

# What a new type, key or check says of values (SQLSTATE): made-up rows can be wrong where a team's are not.
_ABOUT_VALUES: Final = ("22", "23505", "23514", "23P01")
_MOST_TOLD: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """One migration, tried.

    Attributes:
        migration: Its name.
        path: Its file.
        verdict: Whether the way back loses nothing.
        flaws: What it loses, or why that is not known.
        alters: The tables that were there before and that it changes.
        is_up: Whether it ran at all.
        seconds: How long it took.
    """

    migration: str
    path: str
    verdict: Verdict
    flaws: tuple[str, ...] = ()
    alters: tuple[str, ...] = ()
    is_up: bool = True
    seconds: float = 0.0


class RoundTrips:
    """The trips of a change's migrations, one after the other, on one database.

    Args:
        server: Where the database is made.
        steps: Runs the migrations.
        seed_text: The team's own rows, as SQL; empty for none.
        lossy: Columns (table.column) whose values may be lost.
    """

    def __init__(self, server: Server, steps: Steps, seed_text: str, lossy: Collection[str]) -> None:
        self._server = server
        self._steps = steps
        self._seed_text, self._has_own_rows = seed_text, bool(seed_text)
        self._lossy = lossy
        self._database = server.database("trips")

    def of(self, migrations: Sequence[Migration], new: Collection[str]) -> list[Trip]:
        """The trip of each new migration; the others are the ground that they stand on.

        Args:
            migrations: All of them, parents first.
            new: The names of those that are tried.

        Raises:
            WorldError: If an old one does not run, or nothing comes of it.
        """
        trips: list[Trip] = []
        for number, one in enumerate(migrations):
            stuck = next((trip.migration for trip in trips if not trip.is_up), "")
            if one.name in new and stuck:
                why = f"{one.name} was not tried, since {stuck} does not go up"
                trips.append(Trip(migration=one.name, path=one.path, verdict=Verdict.UNKNOWN, flaws=(why,), is_up=False))
            elif one.name in new:
                began_s = time.monotonic()
                is_last = not any(other.name in new for other in migrations[number + 1 :])
                trip = self._tried(one, is_last=is_last)
                trips.append(replace(trip, seconds=round(time.monotonic() - began_s, 3)))
            elif not stuck:
                self._lay(one)
        return trips

    def _lay(self, one: Migration) -> None:
        refusal = self._steps.move(one, self._database, is_up=True)
        if refusal is not None:
            raise WorldError(f"{one.name}, which is not new, does not run here: {refusal} ({refusal.where})")

    def _tried(self, one: Migration, *, is_last: bool) -> Trip:
        empty = self._seeded()
        before = taken(self._database)
        refusal = self._steps.move(one, self._database, is_up=True)
        if refusal is not None:
            return self._not_up(one, refusal)
        middle = taken(self._database)
        if middle == before:
            raise WorldError(f"{one.name} ran, and the database that it was given is as it was: is another one migrated?")
        spare = self._database if is_last else self._server.database(f"{self._database.name}_", self._database)
        flaws = tuple(self._way_back(one, before, middle))
        if flaws:
            self._database = spare  # Where the way back does not lead to where it began, nothing else is tried.
        verdict = Verdict.FAIL if flaws else Verdict.UNKNOWN if empty else Verdict.PASS
        unfilled = tuple(
            f"table {table} has no rows to lose: {why}; give some with [migrations] seed" for table, why in empty.items()
        )
        return Trip(
            migration=one.name, path=one.path, verdict=verdict, flaws=(*flaws, *unfilled), alters=_altered(before, middle)
        )

    def _seeded(self) -> dict[str, str]:
        if self._seed_text:
            try:
                self._database.run_script(self._seed_text)
            except PostgresError as error:
                raise WorldError(f"the rows of [migrations] seed do not fit: {error}") from error
            self._seed_text = ""
        return seed(self._database)

    def _not_up(self, one: Migration, refusal: Refusal) -> Trip:
        is_doubtful = refusal.sqlstate.startswith(_ABOUT_VALUES) and not self._has_own_rows
        told = f"{one.name} does not go up on rows: {refusal} ({refusal.where})"
        if is_doubtful:
            told += "; made-up rows may be wrong here: give some with [migrations] seed"
        verdict = Verdict.UNKNOWN if is_doubtful else Verdict.FAIL
        return Trip(migration=one.name, path=one.path, verdict=verdict, flaws=(told,), is_up=False)

    def _way_back(self, one: Migration, before: Snapshot, middle: Snapshot) -> Iterator[str]:
        refusal = self._steps.move(one, self._database, is_up=False)
        if refusal is not None:
            what = "has no way back" if refusal.is_own else "does not go back on rows"
            yield f"{one.name} {what}: {refusal} ({refusal.where})"
            return
        after = taken(self._database)
        worse = [f"downgrade of {one.name} loses {lost}" for lost in rows_lost(before, after, self._lossy)]
        schema = [f"downgrade of {one.name} leaves another schema: {told}" for told in schema_differences(before, after)]
        worse += [*schema, *(f"downgrade of {one.name}: {told}" for told in counters_back(before, after))]
        yield from _some(worse)
        if not worse:
            yield from _some(list(self._once_more(one, before, middle)))

    def _once_more(self, one: Migration, before: Snapshot, middle: Snapshot) -> Iterator[str]:
        refusal = self._steps.move(one, self._database, is_up=True)
        if refusal is not None:
            yield f"after its downgrade, {one.name} does not go up again: {refusal} ({refusal.where})"
            return
        again = taken(self._database)
        for told in schema_differences(middle, again):
            yield f"after its downgrade, {one.name} makes another schema: {told}"
        # Of the columns that are new, each upgrade may make other values, as of the time.
        for lost in rows_lost(kept_columns(middle, before), kept_columns(again, before), self._lossy):
            yield f"after its downgrade, {one.name} loses {lost}"


def _some(told: list[str]) -> list[str]:
    left = len(told) - _MOST_TOLD
    return told if left <= 0 else [*told[:_MOST_TOLD], f"and {left} more"]


def _altered(before: Snapshot, after: Snapshot) -> tuple[str, ...]:
    """The tables that were there before and that are not the same any more."""
    names = before.schema.keys() | after.schema.keys()
    changed = {table_of(name) for name in names if before.schema.get(name) != after.schema.get(name)}
    changed |= {table for table, rows in before.rows.items() if rows != after.rows.get(table)}
    return tuple(sorted(changed & before.rows.keys()))
