"""Moments and lengths that a client names: what is due or lasts ends by itself, and it can be tried what follows.

A lease in Redis has a time to live, which the server knows. One that a client keeps in a value or in a row is a number or a
date a little later than now, or an interval beside the clock of the server.
"""

from __future__ import annotations

import re
import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SHORTEST_S, LONGEST_S = 0.5, 86_400.0
_LONGEST_TEXT = 64  # Of an interval; "1 day, 23:59:59.999999" has 22.
_MILLISECONDS_FROM = 10**11  # As seconds, that is the year 5138.
_2000_S = 946_684_800  # From here Postgres counts the microseconds of a moment in binary.
_BINARY_MOMENT, _BINARY_INTERVAL = 8, 16  # Bytes.
_BINARY_NUMBERS = {2: ("!h",), 4: ("!i", "!f"), 8: ("!q", "!d")}  # By their bytes.
_SECONDS = (
    dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds"), 0.001)
    | dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0)
    | dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0)
    | dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3_600.0)
    | dict.fromkeys(("d", "day", "days"), 86_400.0)
)

_DECIMAL = re.compile(rb"\d+(?:\.\d+)?")
_NUMBER = re.compile(r"(?<![\w.])(?:\d{10}(?:\.\d+)?|\d{13})(?![\w.])")
_DATE = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?:[+-]\d\d(?::?\d\d)?|Z)?")
_PARTS = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)|(\d+):(\d\d)(?::(\d\d(?:\.\d+)?))?|([^\s,+-])", re.IGNORECASE)

_LITERAL = r"(?:\binterval\s+'(?P<literal>[^']+)'|'(?P<cast>[^']+)'\s*::\s*interval\b)"
_FACTOR = r"'?(?<![\w.$])(?P<factor>\$\d+|\d+(?:\.\d+)?)'?(?:\s*::\s*[a-z]+(?: precision)?)?\s*\)?"
_MULTIPLES = tuple(
    re.compile(spelling, re.IGNORECASE)
    for spelling in (
        rf"\bmake_interval\s*\(\s*(?P<unit>secs|mins|hours|days)\s*=>\s*{_FACTOR}",
        rf"{_FACTOR}\s*\|\|\s*'\s*(?P<unit>[a-z]+)\s*'",
        rf"{_FACTOR}\s*\*\s*\(?\s*{_LITERAL}",
        rf"{_LITERAL}\s*\)?\s*\*\s*\(?\s*{_FACTOR}",
    )
)
_ALONE = re.compile(_LITERAL, re.IGNORECASE)


def moment_s(number: str | bytes) -> float:
    """The moment that a number names, in seconds since 1970; it may be in milliseconds."""
    moment = float(number)
    return moment / 1000 if moment > _MILLISECONDS_FROM else moment


def left_s(moments_s: Iterable[float], now_s: float) -> list[float]:
    """How long it is until those of some moments that may be the end of something."""
    return of_use(moment - now_s for moment in moments_s)


def of_use(lengths_s: Iterable[float]) -> list[float]:
    """Those of some lengths for which something may be granted."""
    return [length for length in lengths_s if SHORTEST_S < length <= LONGEST_S]


def moments_in(text: str) -> Iterator[float]:
    """The moments that a text names, in seconds since 1970."""
    yield from map(moment_s, _NUMBER.findall(text))
    for date in _DATE.findall(text):
        try:
            moment = datetime.fromisoformat(date)
        except ValueError:  # It only looks like one.
            continue
        yield (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def intervals_in(statement: str) -> Iterator[float]:
    """How long the intervals last that a statement names, in seconds."""
    if "interval" not in statement.lower():
        return
    statement = _on_one_line(statement)
    for found in _ALONE.finditer(statement):
        before, after = statement[: found.start()].rstrip(" (")[-1:], statement[found.end() :].lstrip(" )")[:1]
        if not {before, after} & {"*", "/"}:
            yield _each_s(found)
    yield from (float(factor) * seconds for factor, seconds in _multiples_in(statement) if not factor.startswith("$"))


def multiples_in(statement: str) -> Iterator[tuple[int, float]]:
    """The parameters of a statement that say how many seconds, minutes and so on something lasts, and how long one is."""
    if "interval" in statement.lower():
        found = _multiples_in(_on_one_line(statement))
        yield from ((int(factor[1:]), seconds) for factor, seconds in found if factor.startswith("$"))


def _on_one_line(statement: str) -> str:
    """With no two spaces beside each other, in which there could be very many ways to read it."""
    return " ".join(statement.split())


def _multiples_in(statement: str) -> Iterator[tuple[str, float]]:
    for spelling in _MULTIPLES:
        yield from ((found["factor"], _each_s(found)) for found in spelling.finditer(statement))


def _each_s(found: re.Match[str]) -> float:
    named = found.groupdict()
    unit = named.get("unit")
    return _lasts_s(f"1 {unit}" if unit else named.get("literal") or named.get("cast") or "")


def moments_of(value: bytes) -> Iterator[float]:
    """The moments that a parameter of Postgres names, in text or in binary, in seconds since 1970."""
    if len(value) == _BINARY_MOMENT:
        (microseconds,), (seconds,) = struct.unpack("!q", value), struct.unpack("!d", value)
        yield from (microseconds / 1e6 + _2000_S, seconds)
    yield from moments_in(value.decode(errors="replace"))


def intervals_of(value: bytes) -> Iterator[float]:
    """How long a parameter of Postgres lasts, if it is an interval, in seconds."""
    if len(value) == _BINARY_INTERVAL:
        microseconds, days, months = struct.unpack("!qii", value)
        if not months:
            yield microseconds / 1e6 + days * _SECONDS["d"]
    yield _lasts_s(value.decode(errors="replace"))


def numbers_of(value: bytes) -> Iterator[float]:
    """The numbers that a parameter of Postgres may be, in text or in binary."""
    if _DECIMAL.fullmatch(value):
        yield float(value)
    elif len(value) in _BINARY_NUMBERS:
        yield from (float(struct.unpack(number, value)[0]) for number in _BINARY_NUMBERS[len(value)])


def _lasts_s(interval: str) -> float:
    """How long an interval lasts, in words or as on a clock; nothing, if it is none or not of a certain length (months)."""
    if len(interval) > _LONGEST_TEXT:
        return 0.0
    seconds = 0.0
    for number, unit, hours, minutes, rest, strange in _PARTS.findall(interval):
        if strange or (unit and unit.lower() not in _SECONDS):
            return 0.0
        seconds += float(number) * _SECONDS[unit.lower()] if unit else int(hours) * 3600 + int(minutes) * 60 + float(rest or 0)
    return seconds
