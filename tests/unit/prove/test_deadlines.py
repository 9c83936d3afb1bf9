from __future__ import annotations

import struct

import pytest

from interlock.prove.wire.deadlines import intervals_in, intervals_of, left_s, moments_in, moments_of

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
        ("UPDATE jobs SET until = now() + INTERVAL '1 hour 30 min'", [5400]),
        ("UPDATE jobs SET until = now() + interval '00:00:30.5'", [30.5]),
        ("UPDATE jobs SET until = now() + '0 days 30.000000 seconds'::interval", [30]),
        ("UPDATE jobs SET until = now() + interval '500 ms'", [0.5]),
        ("UPDATE jobs SET until = now() + $1", []),
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
        (b"30", []),
        (b"some text", []),
        (b"", []),
    ],
)
def test_a_parameter_is_an_interval_only_if_it_looks_like_one(value: bytes, expected: list[float]) -> None:
    assert list(intervals_of(value)) == expected
