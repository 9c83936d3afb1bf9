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
_MILLISECONDS_FROM = 10**11  # As seconds, that is the year 5138.
_2000_S = 946_684_800  # From here Postgres counts the microseconds of a moment in binary.
_BINARY_MOMENT, _BINARY_INTERVAL = 8, 16  # Bytes.

_NUMBER = re.compile(r"(?<![\w.])(?:\d{10}(?:\.\d+)?|\d{13})(?![\w.])")
_DATE = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?:[+-]\d\d(?::?\d\d)?|Z)?")
_INTERVAL = re.compile(r"\binterval\s+'([^']+)'|'([^']+)'\s*::\s*interval\b", re.IGNORECASE)
_PARTS = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|mil|s|m|h|d)[a-z]*|(\d+):(\d\d)(?::(\d\d(?:\.\d+)?))?", re.IGNORECASE)
_CLOCK = re.compile(r"(?:\d+ days?,? )?\d+:\d\d:\d\d(?:\.\d+)?")
_SECONDS = {"ms": 0.001, "mil": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


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
    for one, other in _INTERVAL.findall(statement):
        yield _lasts_s(one or other)


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
    elif _CLOCK.fullmatch(text := value.decode(errors="replace")):
        yield _lasts_s(text)


def _lasts_s(interval: str) -> float:
    """How long an interval lasts, in words or as on a clock."""
    seconds = 0.0
    for number, unit, hours, minutes, rest in _PARTS.findall(interval):
        seconds += float(number) * _SECONDS[unit.lower()] if unit else int(hours) * 3600 + int(minutes) * 60 + float(rest or 0)
    return seconds
