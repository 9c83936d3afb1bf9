"""Card numbers have no place in a queue or its logs: found by network, length and check digit, and taken out.

Numbers of 17 to 19 digits are left alone: a few cards have them, but far more database ids do.
"""

from __future__ import annotations

import re

LONGEST_REASON = 500
LONGEST_LOOKED_AT = 4_000
SHORTEST_NUMBER, LONGEST_NUMBER = 14, 16

# First digits and lengths by network: Visa, Mastercard, American Express, Diners, Discover, JCB and UnionPay.
_NETWORKS = re.compile(
    r"4\d{15}|(?:5[1-5]|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12,14}|3[47]\d{13}|3[0689]\d{12}|6(?:011|5|4[4-9]|2)\d{12,14}|35\d{14}"
)
# A run of digits in groups, which no letter adjoins, nor a hyphen that goes on to one (as in a UUID), nor a decimal point.
_RUN = re.compile(r"(?<![\w-])(?<!\d\.)\d(?:[ -]?\d){13,}(?!\w|-\w)")
_GROUP = re.compile(r"\d+")


def is_card_number(text: str) -> bool:
    """Whether the whole text is a card number, with or without spaces and hyphens between its digits."""
    digits = re.sub(r"[ -]", "", text)
    is_long_enough = SHORTEST_NUMBER <= len(digits) <= LONGEST_NUMBER
    return is_long_enough and _NETWORKS.fullmatch(digits) is not None and _passes_luhn(digits)


def without_card_numbers(text: str) -> str:
    """The text, with `[card number]` in the place of each."""
    return _RUN.sub(lambda run: _masked(run.group()), text)


def _masked(run: str) -> str:
    """Groups of digits with those masked that make up a card number: another number may stand beside it."""
    masked, told, groups = "", 0, list(_GROUP.finditer(run))
    for first, begin in enumerate(groups):
        ends = (last.end() for last in groups[first : first + LONGEST_NUMBER])
        end = next((end for end in ends if is_card_number(run[begin.start() : end])), None)
        if end is not None and begin.start() >= told:
            masked, told = f"{masked}{run[told : begin.start()]}[card number]", end
    return masked + run[told:]


def safe_reason(given: object) -> str:
    """A reason that may be stored and logged: on one line, printable, of bounded length, and without card numbers."""
    text = "".join(character if character.isprintable() else " " for character in str(given)[:LONGEST_LOOKED_AT])
    return without_card_numbers(" ".join(text.encode(errors="replace").decode().split()))[:LONGEST_REASON]


def _passes_luhn(digits: str) -> bool:
    """The check digit of ISO/IEC 7812-1, annex B."""
    values = [int(digit) for digit in reversed(digits)]
    doubled = [sum(divmod(2 * value, 10)) for value in values[1::2]]
    return sum(values[::2] + doubled) % 10 == 0
