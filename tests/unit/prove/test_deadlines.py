from __future__ import annotations

import struct

import pytest

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
from interlock.prove.wire.postgres_statements import lengths_of, read

NOW_S = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC


@pytest.mark.parametrize(
    "text",
    [
        "1800000030",
        "1800000030.0",
        "1800000030000",
        "2027-01-15 08:00:30+00:00",
        "2027-01-15 09:00:30+01",
        "2027-01-15T08:00:30Z",
        "2027-01-15 08:00:30.000000",
        "UPDATE jobs SET due = 1800000030.0 WHERE id = 7",
        "UPDATE jobs SET due = '2027-01-15T08:00:30+00:00'::timestamptz WHERE id = 7",
    ],
)
def test_a_moment_is_half_a_minute_off_however_it_is_written(text: str) -> None:
    assert left_s(moments_in(text), NOW_S) == [30.0]
    assert left_s(moments_of(text.encode()), NOW_S) == [30.0]


@pytest.mark.parametrize(
    "value",
    [struct.pack("!d", NOW_S + 30), struct.pack("!q", int((NOW_S + 30 - 946_684_800) * 1_000_000))],
    ids=["float8", "timestamptz"],
)
def test_a_moment_in_binary_is_one_as_well(value: bytes) -> None:
    assert left_s(moments_of(value), NOW_S) == [30.0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a18000000301",
        "17",
        "2027-13-15 08:00:30",
        "2027-01-15",
        "1700000000",
        "1900000000",
        "1800000000.2",
        "4f8d1800000030ff",
    ],
)
def test_what_is_no_moment_or_none_that_comes_soon_is_the_end_of_nothing(text: str) -> None:
    assert left_s(moments_in(text), NOW_S) == []


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT 1 FROM jobs WHERE locked_at < now() - interval '30 seconds'", [30]),
        ("UPDATE jobs SET until = now() + '5 minutes'::interval", [300]),
        ("UPDATE jobs\n   SET until = now()\n\t+ 5   *   interval   '1 minute'", [300]),
        ("UPDATE jobs SET until = now() + INTERVAL '1 hour 30 min'", [5400]),
        ("UPDATE jobs SET until = now() + interval '00:00:30.5'", [30.5]),
        ("UPDATE jobs SET until = now() + '0 days 30.000000 seconds'::interval", [30]),
        ("UPDATE jobs SET until = now() + interval '500 ms'", [0.5]),
        ("UPDATE jobs SET until = now() + interval '-30 seconds'", [30]),
        ("UPDATE jobs SET until = now() + 30 * interval '1 second'", [30]),
        ("UPDATE jobs SET until = now() + (interval '1 minute') * 5", [300]),
        ("UPDATE jobs SET until = now() + make_interval(secs => 30)", [30]),
        ("UPDATE jobs SET until = now() + make_interval(mins => 5::int)", [300]),
        ("UPDATE jobs SET until = now() + ('30' || ' seconds')::interval", [30]),
        ("UPDATE jobs SET until = now() + $1", []),
        ("UPDATE jobs SET until = now() + $1 * interval '1 second'", []),
        ("UPDATE jobs SET until = now() + interval '1 second' * power(2, attempts)", []),
        ("UPDATE jobs SET until = now() + attempts * interval '1 second'", []),
        ("UPDATE jobs SET until = now() + interval '1 hour' / 2", []),
        ("UPDATE jobs SET until = now() + interval '1 month'", [0]),
        ("UPDATE jobs SET until = now() + interval '30' second", [0]),
        ("UPDATE jobs SET text = 'in 5 minutes'", []),
        ("SELECT 'interval'", []),
    ],
)
def test_an_interval_lasts_as_long_as_it_says(statement: str, expected: list[float]) -> None:
    assert list(intervals_in(statement)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"0:00:30", [30]),
        (b"1 day, 0:00:30", [86_430]),
        (struct.pack("!qii", 30_000_000, 0, 0), [30]),
        (struct.pack("!qii", 0, 1, 0), [86_400]),
        (struct.pack("!qii", 0, 0, 1), []),
        (b"30 seconds", [30]),
        (b"1 hour 30 min", [5400]),
        (b"30", []),
        (b"in 5 minutes", []),
        (b"5 minutes, " * 10, []),
        (b"5 months", []),
        (b"some text", []),
        (b"", []),
    ],
)
def test_a_parameter_is_an_interval_only_if_all_of_it_is(value: bytes, expected: list[float]) -> None:
    assert [length for length in intervals_of(value) if length] == expected


@pytest.mark.parametrize(
    ("spelling", "unit"),
    [
        ("$2 * interval '1 second'", 1),
        ("$2::double precision * interval '1 minute'", 60),
        ("interval '1 second' * $2", 1),
        ("('1 second'::interval * $2)", 1),
        ("make_interval(secs => $2)", 1),
        ("make_interval( hours =>$2::int )", 3600),
        ("($2 || ' seconds')::interval", 1),
        ("CAST($2::text || ' minutes' AS INTERVAL)", 60),
    ],
)
def test_a_length_is_seen_that_is_counted_in_a_parameter(spelling: str, unit: float) -> None:
    text = f"UPDATE jobs SET until = now() + {spelling} WHERE id = $1"  # noqa: S608 - those above.
    assert list(multiples_in(text)) == [(2, unit)]
    assert of_use(intervals_in(text)) == []
    assert lengths_of(read(text), (b"7", b"30"), NOW_S) == of_use([30 * unit])


@pytest.mark.parametrize(
    "value", [b"30", b"30.0", *(struct.pack(number, 30) for number in ("!h", "!i", "!q", "!f", "!d"))], ids=repr
)
def test_a_number_is_the_same_in_whatever_it_is_sent(value: bytes) -> None:
    assert of_use(numbers_of(value)) == [30]
