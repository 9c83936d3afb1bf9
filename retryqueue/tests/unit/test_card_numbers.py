"""Card numbers are found and taken out; what only looks like one at a glance is left alone."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from retryqueue.card_numbers import LONGEST_REASON, is_card_number, safe_reason, without_card_numbers

# The numbers that the networks and Stripe publish for tests.
NUMBERS = [
    "4242424242424242", "4000056655665556", "4111111111111111", "5555555555554444", "2223003122003222", "5105105105105100",
    "378282246310005", "371449635398431", "6011111111111117", "6011000990139424", "30569309025904",
    "38520000023237", "3566002020360505", "6200000000000005",
]  # fmt: skip


def grouped(number: str, mark: str) -> str:
    if len(number) == 15:
        return mark.join((number[:4], number[4:10], number[10:]))
    return mark.join(number[place : place + 4] for place in range(0, len(number), 4))


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("mark", ["", " ", "-"])
def test_a_card_number_is_found_with_and_without_groups(number: str, mark: str) -> None:
    assert is_card_number(grouped(number, mark))


@pytest.mark.parametrize("number", NUMBERS)
def test_one_wrong_digit_makes_it_no_card_number(number: str) -> None:
    for place in range(1, len(number)):
        wrong = number[:place] + str((int(number[place]) + 1) % 10) + number[place + 1 :]
        assert not is_card_number(wrong)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("mark", ["", " ", "-"])
@pytest.mark.parametrize(
    "around",
    [
        "{}", "card {} declined", "{}.", "No.{}", "({})", '{{"number":"{}"}}', "number={}&cvc=123", "2 {}",
        "attempt 5: {} 3 left", "{} 12/27", "{}-2027", "{} - declined", "{},{}", "{} {}", "error\n{}\nend", "{} 3rd time",
        "1 2 3 {} 4 5 6", "№{}",
    ],
)  # fmt: skip
def test_a_card_number_is_masked_wherever_it_stands(number: str, mark: str, around: str) -> None:
    number = grouped(number, mark)
    masked = without_card_numbers(around.format(number, number))

    assert number not in masked
    assert "[card number]" in masked
    assert masked.count("[card number]") == around.count("{}")


def test_what_stands_around_it_stays() -> None:
    assert without_card_numbers("2 378282246310005 and 30569309025904 12/27") == "2 [card number] and [card number] 12/27"


@given(st.uuids(version=4))
@example(uuid.UUID("41111111-1111-4111-8111-111111111111"))
@example(uuid.UUID("42424242-4242-4242-a424-242424242424"))
def test_a_uuid_is_no_card_number(one: uuid.UUID) -> None:
    assume_letters = any(letter.isalpha() for letter in one.hex)
    if assume_letters:
        for text in (str(one), one.hex, str(one).upper(), f"order {one} failed", f"{one}:1"):
            assert without_card_numbers(text) == text
            assert not is_card_number(text)


# In microseconds, times after May 2040 begin with digits that Mastercard has.
@given(st.datetimes(datetime(2001, 9, 9, 2), datetime(2040, 5, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - the zone is given beside.
def test_a_timestamp_is_no_card_number(when: datetime) -> None:
    micros = int(when.timestamp() * 1_000_000)
    for text in (
        str(micros // 1_000_000),
        str(micros // 1000),
        str(micros),
        str(micros * 1000),
        when.isoformat(),
        f"{when:%Y%m%d%H%M%S}",
    ):
        assert without_card_numbers(f"at {text}") == f"at {text}"
        assert not is_card_number(text)


@given(st.integers(0, 10**13 - 1))
def test_a_number_of_up_to_thirteen_digits_is_no_card_number(number: int) -> None:
    for text in (f"{number}", f"order-{number}", f"order {number}"):
        assert without_card_numbers(text) == text


@given(st.integers(10**16, 10**19 - 1))
def test_a_number_of_seventeen_digits_and_more_is_left_alone(number: int) -> None:
    assert without_card_numbers(f"row {number}") == f"row {number}"


@given(st.from_regex(r"(pm|ch|pi|cus|order)_[0-9A-Za-z]{14,24}", fullmatch=True))
@example("ch_4242424242424242")
def test_an_identifier_with_letters_is_no_card_number(text: str) -> None:
    assert without_card_numbers(f"{text} failed") == f"{text} failed"
    assert not is_card_number(text)


@pytest.mark.parametrize("text", ["0.4242424242424242", "3.4242424242424242 s", "x4242424242424242", "4242424242424242x"])
def test_a_fraction_or_a_word_is_no_card_number(text: str) -> None:
    assert without_card_numbers(text) == text


@given(st.text())
def test_a_reason_is_one_line_of_bounded_length_that_can_be_stored(text: str) -> None:
    reason = safe_reason(text)

    assert len(reason) <= LONGEST_REASON
    assert len(reason.splitlines()) <= 1
    reason.encode()


@pytest.mark.parametrize("given_reason", [None, 5, b"bytes", ["a"], ValueError("bad"), "\ud800 surrogate"])
def test_whatever_is_given_as_a_reason_becomes_one(given_reason: object) -> None:
    assert safe_reason(given_reason).encode()


def test_a_number_at_the_end_of_a_long_reason_is_not_cut_in_half_and_let_through() -> None:
    for length in range(LONGEST_REASON - 25, LONGEST_REASON + 5):
        assert "424242" not in safe_reason("x" * length + " 4242 4242 4242 4242")


def test_a_long_text_of_numbers_is_masked_in_reasonable_steps() -> None:
    assert without_card_numbers("4242424242424242 " * 5_000).count("[card number]") == 5_000
    assert without_card_numbers("1 " * 20_000) == "1 " * 20_000
