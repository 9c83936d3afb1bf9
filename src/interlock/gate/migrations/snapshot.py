"""What a database holds: its schema, as definitions by name, and its rows; and how two such pictures differ.

The order of columns is left out, since a column that is added again comes last. So are the tables in which Alembic and Django
keep what has run.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from interlock.gate.migrations.server import Database

BOOKS: Final = ("alembic_version", "django_migrations")
_HIDDEN: Final = "('pg_catalog', 'information_schema', 'pg_toast')"
_NOT_AN_EXTENSIONS: Final = "NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = {oid} AND d.deptype = 'e')"

TABLES: Final = f"""
SELECT c.oid::int, c.oid::regclass::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname NOT IN {_HIDDEN} AND n.nspname NOT LIKE 'pg_temp%'
  AND {_NOT_AN_EXTENSIONS.format(oid="c.oid")}
ORDER BY 2
"""

# Each row is what a thing is called, and what it is.
_SCHEMA: Final = f"""
SELECT 'table ' || c.oid::regclass, c.relkind::text || coalesce(' ' || pg_get_partkeydef(c.oid), '')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN {_HIDDEN} AND {_NOT_AN_EXTENSIONS.format(oid="c.oid")}
UNION ALL
SELECT 'column ' || a.attrelid::regclass || '.' || a.attname, concat_ws(' ', format_type(a.atttypid, a.atttypmod),
  CASE WHEN a.attnotnull THEN 'not null' END, 'default ' || pg_get_expr(f.adbin, f.adrelid),
  'identity ' || nullif(a.attidentity::text, ''), 'generated ' || nullif(a.attgenerated::text, ''),
  'collate ' || (SELECT l.collname FROM pg_collation l WHERE l.oid = a.attcollation AND l.collname != 'default'))
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND n.nspname NOT IN {_HIDDEN}
UNION ALL
SELECT 'index ' || i.indexrelid::regclass, pg_get_indexdef(i.indexrelid) || CASE WHEN i.indisvalid THEN '' ELSE ' INVALID' END
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname NOT IN {_HIDDEN}
UNION ALL
SELECT 'constraint ' || k.conrelid::regclass || '.' || k.conname, pg_get_constraintdef(k.oid)
FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
WHERE k.conrelid != 0 AND k.contype != 'n' AND n.nspname NOT IN {_HIDDEN}
UNION ALL
SELECT 'type ' || t.oid::regtype, concat_ws(' ', format_type(nullif(t.typbasetype, 0), t.typtypmod),
  (SELECT string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid),
  (SELECT string_agg(pg_get_constraintdef(k.oid), ' ' ORDER BY k.conname) FROM pg_constraint k WHERE k.contypid = t.oid))
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE t.typtype IN ('e', 'd') AND n.nspname NOT IN {_HIDDEN} AND {_NOT_AN_EXTENSIONS.format(oid="t.oid")}
UNION ALL
SELECT 'sequence ' || s.seqrelid::regclass, format_type(s.seqtypid, NULL)
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
UNION ALL
SELECT 'view ' || c.oid::regclass, pg_get_viewdef(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('v', 'm') AND n.nspname NOT IN {_HIDDEN} AND {_NOT_AN_EXTENSIONS.format(oid="c.oid")}
UNION ALL
SELECT 'function ' || p.oid::regprocedure, pg_get_functiondef(p.oid)
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.prokind IN ('f', 'p') AND n.nspname NOT IN {_HIDDEN} AND {_NOT_AN_EXTENSIONS.format(oid="p.oid")}
UNION ALL
SELECT 'trigger ' || t.tgrelid::regclass || '.' || t.tgname, pg_get_triggerdef(t.oid) FROM pg_trigger t WHERE NOT t.tgisinternal
UNION ALL
SELECT 'extension ' || e.extname, '' FROM pg_extension e WHERE e.extname != 'plpgsql'
UNION ALL
SELECT 'schema ' || n.nspname, '' FROM pg_namespace n WHERE n.nspname NOT IN {_HIDDEN} AND n.nspname NOT LIKE 'pg_t%'
"""

# The next number that each sequence gives to a column: one that begins anew gives numbers that are there already.
_COUNTERS: Final = f"""
SELECT c.oid::regclass::text, coalesce(pg_sequence_last_value(c.oid), 0)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'S' AND n.nspname NOT IN {_HIDDEN}
"""

Row = tuple[tuple[str, str], ...]  # column, and value as JSON; sorted


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A picture of a database.

    Attributes:
        schema: What each thing is, by its kind and name: "column users.legacy" -> "text not null".
        rows: The rows of each table.
        counters: The last number that each sequence has given.
        books: What Alembic or Django has written down as run.
    """

    schema: dict[str, str]
    rows: dict[str, Counter[Row]]
    counters: dict[str, int]
    books: tuple[Row, ...] = ()


def taken(database: Database) -> Snapshot:
    """A database as it is now."""
    tables = {name: own for _, name, own in database.rows(TABLES)}
    schema = {short(what): str(definition) for what, definition in database.rows(_SCHEMA)}
    books = [name for name in schema if any(f" {book}" in name for book in BOOKS)]
    return Snapshot(
        schema={name: definition for name, definition in schema.items() if name not in books},
        rows={short(name): Counter(_rows(database, name)) for name, own in tables.items() if own not in BOOKS},
        counters={short(name): int(last) for name, last in database.rows(_COUNTERS)},
        books=tuple(row for name, own in tables.items() if own in BOOKS for row in sorted(_rows(database, name))),
    )


def short(name: str) -> str:
    """A name without the schema `public`, as people write it."""
    kind, space, rest = name.rpartition(" ") if name.count(" ") == 1 else ("", "", name)
    return f"{kind}{space}{rest.removeprefix('public.')}"


def _rows(database: Database, table: str) -> Iterator[Row]:
    for (text,) in database.rows(f"SELECT to_jsonb(t)::text FROM {table} t"):
        row: dict[str, Any] = json.loads(text, parse_float=str)
        yield tuple((column, json.dumps(value, sort_keys=True)) for column, value in sorted(row.items()))


def schema_differences(before: Snapshot, after: Snapshot) -> list[str]:
    """What is not as it was, in words, the larger things first: of a table that is gone its columns are not told as well."""
    gone = sorted(before.schema.keys() - after.schema.keys())
    new = sorted(after.schema.keys() - before.schema.keys())
    told = [f"{name} is gone" for name in _largest(gone)] + [f"{name} is left over" for name in _largest(new)]
    both = sorted(before.schema.keys() & after.schema.keys())
    return told + [
        f"{name} was ({before.schema[name]}) and is ({after.schema[name]})"
        for name in both
        if before.schema[name] != after.schema[name]
    ]


def _largest(names: list[str]) -> list[str]:
    tables = {name.removeprefix("table ") for name in names if name.startswith("table ")}
    return [name for name in names if name.startswith("table ") or table_of(name) not in tables]


def table_of(name: str) -> str:
    """The table that a column, a constraint or a trigger belongs to, or that a table is; empty for everything else."""
    kind, _, rest = name.partition(" ")
    if kind == "table":
        return rest
    return rest.rpartition(".")[0] if kind in {"column", "constraint", "trigger"} else ""


def rows_lost(before: Snapshot, after: Snapshot, lossy: Collection[str] = ()) -> list[str]:
    """Which values are not there any more, column by column.

    Args:
        before: What must be there.
        after: Where it is looked for.
        lossy: Columns (table.column) that are not looked at.
    """
    return [told for table, rows in before.rows.items() for told in _lost(table, rows, after.rows.get(table), lossy)]


def _lost(table: str, before: Counter[Row], after: Counter[Row] | None, lossy: Collection[str]) -> Iterator[str]:
    if after is None:
        if before:
            yield f"table {table}: {_count(before.total())}"
        return
    old, new = (_without(table, rows, lossy) for rows in (before, after))
    if old == new:
        return
    if new.total() != old.total():
        missing = old.total() - new.total()
        yield (
            f"table {table}: {_count(missing)} of {old.total()}"
            if missing > 0
            else f"table {table}: {_count(-missing)} too many"
        )
        return
    columns = {column for row in old for column, _ in row}
    lost = {column: (_values(old, column) - _values(new, column)).total() for column in sorted(columns)}
    if any(lost.values()):
        yield from (f"column {table}.{column}: {_count(number)}" for column, number in lost.items() if number)
    elif columns == {column for row in new for column, _ in row}:
        yield f"table {table}: values that belonged to one row stand in another"


def _without(table: str, rows: Counter[Row], lossy: Collection[str]) -> Counter[Row]:
    found: Counter[Row] = Counter()
    for row, number in rows.items():
        found[tuple(pair for pair in row if f"{table}.{pair[0]}" not in lossy)] += number
    return found


def _values(rows: Counter[Row], column: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for row, number in rows.items():
        found[dict(row).get(column, "")] += number
    return found


def _count(number: int) -> str:
    return f"{number} row" if number == 1 else f"{number} rows"


def counters_back(before: Snapshot, after: Snapshot) -> list[str]:
    """The sequences that would give numbers again which they have given."""
    return [
        f"sequence {name} was at {last} and is at {after.counters[name]}: it would give the same numbers again"
        for name, last in before.counters.items()
        if after.counters.get(name, last) < last
    ]


def kept_columns(of: Snapshot, like: Snapshot) -> Snapshot:
    """A picture with only those tables and columns of its rows that another one has as well."""
    known = {table: {column for row in rows for column, _ in row} for table, rows in like.rows.items()}
    rows: dict[str, Counter[Row]] = {}
    for table in of.rows.keys() & known.keys():
        rows[table] = Counter()
        for row, number in of.rows[table].items():
            rows[table][tuple(pair for pair in row if pair[0] in known[table])] += number
    return Snapshot(of.schema, rows, of.counters)
