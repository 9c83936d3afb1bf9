"""Rows for every table, so that there is something to lose: values that differ from row to row, and from any default.

Null constraints, unique keys, foreign keys and simple checks are respected. What cannot be filled is told.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from interlock.gate.migrations.snapshot import BOOKS, TABLES, short
from interlock.prove.wire.postgres_protocol import PostgresError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.gate.migrations.server import Database

ROWS: Final = 3
_TRIES: Final = 300  # of one row, where a check is not met

_COLUMNS: Final = """
SELECT a.attnum::int, quote_ident(a.attname), a.attname::text, coalesce(b.typname, t.typname)::text,
  format_type(a.atttypid, a.atttypmod), a.attnotnull,
  a.attidentity != '' OR a.attgenerated != '' OR coalesce(pg_get_expr(f.adbin, f.adrelid) LIKE 'nextval(%%', false),
  CASE WHEN a.atttypmod > 4 AND t.typname IN ('varchar', 'bpchar') THEN a.atttypmod - 4 ELSE 0 END,
  coalesce((SELECT string_agg(e.enumlabel, chr(10) ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid), '')
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type b ON b.oid = nullif(t.typbasetype, 0)
LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
WHERE a.attrelid = %d AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_KEYS: Final = """
SELECT k.conrelid::int, k.confrelid::int, array_to_string(k.conkey, ','), k.confrelid::regclass::text,
  (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY u.place)
   FROM unnest(k.confkey) WITH ORDINALITY u(number, place)
   JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number)
FROM pg_constraint k WHERE k.contype = 'f' AND k.conparentid = 0
"""
_CHECKS: Final = """
SELECT array_to_string(k.conkey, ','), pg_get_constraintdef(k.oid)
FROM pg_constraint k WHERE k.contype = 'c' AND k.conrelid = %d
UNION ALL
SELECT a.attnum::text, pg_get_constraintdef(k.oid) FROM pg_constraint k JOIN pg_attribute a ON a.atttypid = k.contypid
WHERE a.attrelid = %d
"""

# The literal of the n-th row, by the name of the type. Numbers are small, and far from the defaults that people choose.
_LITERALS: Final = {
    **dict.fromkeys(("int2", "int4", "int8", "oid"), "{0}1"),
    **dict.fromkeys(("float4", "float8"), "{0}.5"),
    "numeric": "{0}",
    "money": "{0}.25",
    "date": "2021-03-0{0}",
    "timestamp": "2021-03-0{0} 04:05:06",
    "timestamptz": "2021-03-0{0} 04:05:06+00",
    "time": "04:05:0{0}",
    "timetz": "04:05:0{0}+00",
    "interval": "{0} days",
    "uuid": "00000000-0000-4000-8000-00000000000{0}",
    **dict.fromkeys(("json", "jsonb"), '{{"seeded": {0}}}'),
    "bytea": "\\x0{0}",
    **dict.fromkeys(("inet", "cidr"), "192.0.2.{0}"),
    "macaddr": "08:00:2b:01:02:0{0}",
    "tsvector": "seeded{0}",
    "hstore": "seeded=>{0}",
    "xml": "<seeded>{0}</seeded>",
    "point": "({0},{0})",
    "bit": "{0}",
    **dict.fromkeys(("int4range", "int8range", "numrange"), "[{0}1,{0}5)"),
    "daterange": "[2021-03-0{0},2021-03-1{0})",
    "tsrange": "[2021-03-0{0},2021-03-1{0})",
    "tstzrange": "[2021-03-0{0},2021-03-1{0})",
}
_TEXTS: Final = ("text", "varchar", "bpchar", "citext", "name")


@dataclass(frozen=True, slots=True)
class _Column:
    number: int
    quoted: str
    name: str
    base: str  # the type, or what a domain is made of
    type: str  # as it is written
    is_required: bool
    is_given: bool  # by the server
    length: int  # at most; 0 for any
    labels: tuple[str, ...]  # of an enum

    def literal(self, row: int) -> str:
        """The value of a row, as it is written in a statement. Null, if nothing is known of the type."""
        text = self._text(row)
        return "NULL" if text is None else f"{_quoted(text)}::{self.type}"

    def _text(self, row: int) -> str | None:
        if self.labels:
            return self.labels[-row % len(self.labels)]  # The last one first: a default is rarely that.
        if self.base == "bool":
            return "true" if row % 2 else "false"
        if self.base in _TEXTS:
            return f"{self.name}-Yx{row}"[-self.length or None :]  # Both cases, as long as it fits.
        if self.base.startswith("_"):
            element = _Column(0, "", self.name, self.base[1:], "", is_required=False, is_given=False, length=0, labels=())
            text = element._text(row)
            return None if text is None else '{"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"}'
        form = _LITERALS.get(self.base)
        return form.format(row) if form else None


@dataclass(frozen=True, slots=True)
class _Key:
    """A foreign key: which columns, and the rows that they can name."""

    table: int
    target: int
    columns: tuple[int, ...]
    target_name: str
    target_columns: str


def _column(about: tuple[Any, ...]) -> _Column:
    facts: tuple[Any, ...] = (*about[:-1], tuple(about[-1].split("\n")) if about[-1] else ())
    return _Column(*facts)


def seed(database: Database) -> dict[str, str]:
    """Fills every table that is empty; answers with those that could not be filled, and why."""
    tables = {number: name for number, name, own in database.rows(TABLES) if own not in BOOKS}
    keys = [_Key(table, target, _numbers(own), name, columns) for table, target, own, name, columns in database.rows(_KEYS)]
    empty: dict[str, str] = {}
    for number in _referred_first(list(tables), keys):
        table = tables[number]
        if database.rows(f"SELECT 1 FROM {table} LIMIT 1"):
            continue
        flaw = _filled(database, number, table, [key for key in keys if key.table == number])
        if flaw:
            empty[short(table)] = flaw
    return empty


def _referred_first(tables: list[int], keys: list[_Key]) -> list[int]:
    """Each table after those that it names; in a circle, any of them first."""
    needs = {table: {key.target for key in keys if key.table == table} - {table} for table in tables}
    done: list[int] = []
    while needs:
        ready = [table for table, needed in needs.items() if not needed & needs.keys()] or list(needs)[:1]
        done += ready
        for table in ready:
            del needs[table]
    return done


def _filled(database: Database, number: int, table: str, keys: list[_Key]) -> str:
    """Fills one table; answers with why it is still empty, if it is."""
    columns = [_column(about) for about in database.rows(_COLUMNS % number)]
    checks = [(_numbers(own), text) for own, text in database.rows(_CHECKS % (number, number))]
    flaw = ""
    for row in range(1, ROWS + 1):
        named = _named(database, keys, row)
        choices = {column.quoted: _choices(column, checks, named, row) for column in columns if not column.is_given}
        told = _row_added(database, table, choices)
        flaw = flaw or told
        if told:
            break  # As with a unique boolean, of which there are no three.
    return "" if database.rows(f"SELECT 1 FROM {table} LIMIT 1") else flaw


def _named(database: Database, keys: list[_Key], row: int) -> dict[int, str]:
    """The values of the columns that name rows of other tables: of another row each time, as far as there are some."""
    values: dict[int, str] = {}
    for key in keys:
        found = database.rows(f"SELECT {key.target_columns} FROM {key.target_name} ORDER BY 1 LIMIT {ROWS}")
        chosen = found[(row - 1) % len(found)] if found else (None,) * len(key.columns)
        pairs = zip(key.columns, chosen, strict=True)
        values.update({column: "NULL" if value is None else _quoted(str(value)) for column, value in pairs})
    return values


def _choices(column: _Column, checks: list[tuple[tuple[int, ...], str]], named: dict[int, str], row: int) -> list[str]:
    """The values that a column can be tried with in a row, the likeliest first."""
    if column.number in named:
        return [named[column.number]]
    texts = [text for own, text in checks if column.number in own]
    return [column.literal(row), *(value for text in texts for value in _candidates(text, column, row))]


def _row_added(database: Database, table: str, choices: dict[str, list[str]]) -> str:
    """Adds one row, with other values if a check is not met; answers with why it could not."""
    flaw = ""
    for values in itertools.islice(itertools.product(*choices.values()), _TRIES):
        what = f"({', '.join(choices)}) VALUES ({', '.join(values)})" if choices else "DEFAULT VALUES"
        try:
            database.rows(f"INSERT INTO {table} {what}")
        except PostgresError as error:
            flaw = flaw or str(error).partition(", in: ")[0]
        else:
            return ""
    return flaw


def _candidates(check: str, column: _Column, row: int) -> Iterator[str]:
    """Values out of a check's own text: its texts, its numbers and those beside them, texts of such a length."""
    texts = [text.replace("''", "'") for text in re.findall(r"'((?:[^']|'')*)'", check)]
    for text in (*texts[row - 1 :], *texts[: row - 1]):
        yield f"{_quoted(text)}::{column.type}"
    for number in map(int, re.findall(r"(?<![\w.])-?\d{1,9}(?![\w.])", check)):
        if column.base in _TEXTS:
            yield f"{_quoted((str(row) * abs(number))[:1000])}::{column.type}"
        elif column.base in {"int2", "int4", "int8", "numeric", "float4", "float8"}:
            yield from (f"{number + row}::{column.type}", f"{number}::{column.type}", f"({number - row})::{column.type}")
    if not column.is_required:
        yield "NULL"


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part)


def _quoted(text: str) -> str:
    escaped = text.replace("'", "''")
    return f"E'{escaped.replace(chr(92), chr(92) * 2)}'" if "\\" in text else f"'{escaped}'"
