"""What is in statements of Postgres and in their answers: for whoever has to go by it, and for people."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from interlock.prove.effect import exactly
from interlock.prove.empty import empty
from interlock.prove.wire.deadlines import (
    intervals_in,
    intervals_of,
    left_s,
    moments_in,
    moments_of,
    multiples_in,
    numbers_of,
    of_use,
)
from interlock.prove.wire.postgres_protocol import fields_of, read_message, text_at, values_of

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_STATEMENT = 120
LONGEST_VALUE = 30
_KEPT = 1024
_SHORT_ENOUGH = 4096  # Bytes; what is longer is seldom said twice.

_COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
TIMEOUTS = re.compile(r"\b(lock_timeout|statement_timeout|idle_in_transaction_session_timeout)\b", re.IGNORECASE)
_NO_TIMEOUT = re.compile(r"(=|\bto\b)\s*'?(0|default)\b", re.IGNORECASE)
_CALLS = re.compile(r"\bpg_(try_)?advisory|\bpg_notify\b|\bnextval\b|\bsetval\b|\bdblink", re.IGNORECASE)
SNAPSHOTS = re.compile(r"\b(repeatable\s+read|serializable)\b", re.IGNORECASE)
_CURSOR = re.compile(r"\bCURSOR\b(?:\s+WITH(?:OUT)?\s+HOLD)?\s+FOR\s+(.*)", re.IGNORECASE | re.DOTALL)
_OUTLIVES = re.compile(r"\s*(ALTER|CREATE|DROP)\s+(ROLE|USER(?!\s+MAPPING)|GROUP|DATABASE|SYSTEM|TABLESPACE)\b", re.IGNORECASE)
_CLOCKS = re.compile(
    r"\b(now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday)\s*\(|\b(current|local)_?(timestamp|time|date)\b",
    re.IGNORECASE,
)
Types = tuple[int, ...]
Values = tuple[bytes | None, ...]
S = TypeVar("S", str, bytes)
R = TypeVar("R")


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """A statement, and all that can be told of it by itself. The schedules of a proof send the same ones over and over.

    Attributes:
        text: All of it.
        word: Its first word, in capitals.
        short: For people, without its parameters.
        sets_timeout: Whether it sets a timeout of Postgres's own.
        outlives: Whether it changes the server itself.
        asks_time: Whether it asks the server what time it is.
        sees_snapshots: Whether it lets a transaction hold what it has found first.
        calls: Whether it calls what takes locks, tells somebody something, or counts.
        declared: The query of the cursor that it declares; empty if it declares none.
        lengths_s: How long the intervals last that it names.
        multiples_s: The parameters that say how long something lasts, counted from 1, and in what: 60 for minutes.
        moments_s: The moments that it names, in seconds since 1970.
    """

    text: str
    word: str
    short: str
    sets_timeout: bool
    outlives: bool
    asks_time: bool
    sees_snapshots: bool
    calls: bool
    declared: str
    lengths_s: tuple[float, ...]
    multiples_s: tuple[tuple[int, float], ...]
    moments_s: tuple[float, ...]


@dataclass(slots=True)
class Batch:
    """What a client sends before it waits for an answer.

    Attributes:
        raw: All of it.
        statements: The statements that are carried out, the types of their parameters, and these.
        prepared: The statements that are prepared, whether they are carried out with it or not.
    """

    raw: bytes = b""
    prepared: list[Statement] = field(default_factory=empty(list[Statement]))
    statements: list[tuple[Statement, Types, Values]] = field(default_factory=empty(list[tuple[Statement, Types, Values]]))


def _kept(read: Callable[[S], R]) -> Callable[[S], R]:
    """A function that is given what is said on a connection, and reads the same only once; unless that is long."""
    kept = lru_cache(maxsize=_KEPT)(read)

    def either(said: S) -> R:
        return kept(said) if len(said) <= _SHORT_ENOUGH else read(said)

    return either


def answers_to(raw: bytes) -> list[bytes]:
    """What ends the answer to each message of a batch that carries nothing out: any one of some letters."""
    ends, place = {b"P": b"1", b"B": b"2", b"C": b"3", b"D": b"Tn"}, 0
    awaited: list[bytes] = []
    while (one := read_message(raw, place)) is not None:
        place += len(one.raw)
        awaited += [ends[one.kind]] if one.kind in ends else []
    return awaited


def split(text: str) -> list[str]:
    """The statements of a simple query. A semicolon within a text only makes one statement look like two."""
    return [part for part in _COMMENTS.sub(" ", text).split(";") if part.strip()] or [""]


def _first_word(text: str) -> str:
    words = _COMMENTS.sub(" ", text).lstrip(" \t\r\n(").split(None, 1)
    return words[0].upper() if words else ""


@_kept
def read(text: str) -> Statement:
    """A statement, from its text."""
    word, short = _first_word(text), " ".join(_COMMENTS.sub(" ", text).split())
    return Statement(
        text=text,
        word=word,
        short=short if len(short) <= LONGEST_STATEMENT else short[: LONGEST_STATEMENT - 3] + "...",
        sets_timeout=word in {"SET", "ALTER"} and bool(TIMEOUTS.search(text)) and not _NO_TIMEOUT.search(text),
        outlives=bool(_OUTLIVES.match(text)),
        asks_time=bool(_CLOCKS.search(text)),
        sees_snapshots=bool(SNAPSHOTS.search(text)),
        calls=bool(_CALLS.search(text)),
        declared=found[1] if word == "DECLARE" and (found := _CURSOR.search(_COMMENTS.sub(" ", text))) else "",
        lengths_s=tuple(of_use(intervals_in(text))),
        multiples_s=tuple(multiples_in(text)),
        moments_s=tuple(moments_in(text)),
    )


@_kept
def parsed(body: bytes) -> tuple[str, Statement, Types]:
    """What a statement is called that is to be parsed, the statement, and the types of its parameters."""
    name, place = text_at(body, 0)
    text, place = text_at(body, place)
    (count,) = struct.unpack_from("!h", body, place)
    return name, read(text), struct.unpack_from(f"!{count}I", body, place + 2)


@_kept
def bound(body: bytes) -> tuple[str, str, Values]:
    """What a statement with parameters is called, what the one is called that it is made of, and the parameters."""
    portal, place = text_at(body, 0)
    name, place = text_at(body, place)
    (count,) = struct.unpack_from("!h", body, place)
    values, _ = values_of(body, place + 2 + 2 * count)
    return portal, name, values


def lengths_of(statement: Statement, values: Values, now_s: float) -> list[float]:
    """How long what a statement names lasts from now on, in seconds, as far as something may be granted for so long."""
    given = [value for value in values if value is not None]
    counted = ((values[place - 1], unit) for place, unit in statement.multiples_s if place <= len(values))
    lengths_s = of_use(
        (
            *(length for value in given for length in intervals_of(value)),
            *(number * unit for value, unit in counted if value is not None for number in numbers_of(value)),
        )
    )
    moments_s = (*statement.moments_s, *(moment for value in given for moment in moments_of(value)))
    return [*statement.lengths_s, *lengths_s, *left_s(moments_s, now_s)]


def said_of(statement: Statement, values: Values) -> str:
    """A statement for people, with its parameters."""
    return statement.short + (f"   [{', '.join(map(_value, values))}]" if values else "")


def exactly_of(said: str, batch: Batch) -> str:
    """What tells statements from others that read the same."""
    if "..." not in said:  # Nothing was cut.
        return ""
    parts = [part for one, _, values in batch.statements for part in (one.text.encode(), *(value or b"" for value in values))]
    return exactly(said, *parts)


def _value(value: bytes | None) -> str:
    if value is None:
        return "NULL"
    text = value.decode(errors="replace")
    if not text.isprintable():
        text = str(int.from_bytes(value, "big", signed=True)) if len(value) in {2, 4, 8} else value.hex()
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."


def answer_of(reply: bytes, *, is_whole: bool) -> str:
    """What came of it, for people: rows, what was done, or the error."""
    parts = _parts(reply)
    return "; ".join(parts if is_whole else [*parts, "waits for a lock"])


@_kept
def _parts(reply: bytes) -> list[str]:
    parts: list[str] = []
    rows, place = list[str](), 0
    while (one := read_message(reply, place)) is not None:
        place += len(one.raw)
        if one.kind == b"D":
            rows.append("(" + ", ".join(_value(value) for value in values_of(one.body, 0)[0]) + ")")
        elif one.kind == b"C":
            tag = text_at(one.body, 0)[0]
            parts += (
                [", ".join(rows[:6]) or "no rows"] if tag.startswith("SELECT") else [tag, *rows[:6]] if tag != "BEGIN" else []
            )
            rows = []
        elif one.kind == b"s":
            parts, rows = [*parts, ", ".join(rows[:6])], []
        elif one.kind == b"E":
            parts.append(f"ERROR: {fields_of(one.body).get('M', '?')}")
    return parts
