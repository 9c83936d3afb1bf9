"""What the parts of a key tell apart, and the arithmetic of collisions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from interlock.core.pattern import pattern
from interlock.source.origin import Kind
from interlock.source.sinks import words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interlock.source.origin import Part

REQUESTS_PER_S: Final = 420  # what production ran on the day of the incident; its tests ran one a second

# Who acts. One person does many things, so this alone does not name one of them.
_WHO: Final = pattern(
    r"(^|_)(user|customer|account|client|tenant|merchant|owner|member|participant|email|phone|username|login|ip|session|device|org"
    r"|organi[sz]ation|company|wallet|card|payer|payee|sender|profile|person|buyer|seller|shop|store)(_|$|s$)"
)
# Of what kind, or how much. Two operations of one person are often alike in this.
_ALIKE: Final = pattern(
    r"(^|_)(amount|price|total|sum|value|currency|cents|quantity|qty|count|method|type|kind|action|status|state|plan|description"
    r"|reason|name|title|country|locale|language|region|env|environment|prefix|version|app)(_|$|s$)"
)
_SINGLE: Final = pattern(
    r"(^|_)(id|ids|pk|uuid|guid|uid|index|idx|i|j|n|num|number|no|count|counter|seq|sequence|pid|port|hash|digest|sha\w*|md5|nonce"
    r"|key|token|attempt|offset|rank|slug|ref|reference|suffix|random|rand|unique|getpid|gettid|ident)(_|$)"
)
_EMPTY_NAMES: Final = frozenset({"id", "pk", "uuid", "uid", "key", "name", "value", ""})


def label(part: Part) -> str:
    """The word that says what a part is: `user_id` of `payload.user_id`, `user` of `user.id`."""
    pieces = [words(piece) for piece in part.name.split(".") if piece]
    while len(pieces) > 1 and pieces[-1] in _EMPTY_NAMES:
        pieces.pop()
    return pieces[-1] if pieces else ""


def says_who(part: Part) -> bool:
    """Whether a part names who acts, and not what is done."""
    return part.kind in {Kind.CALLER, Kind.REQUEST, Kind.STORED, Kind.UNKNOWN} and _WHO.search(label(part)) is not None


def says_how_much(part: Part) -> bool:
    """Whether a part is an amount or a kind, in which two operations are often alike."""
    return part.kind in {Kind.CALLER, Kind.REQUEST, Kind.STORED, Kind.UNKNOWN} and _ALIKE.search(label(part)) is not None


def only_who(parts: Iterable[Part]) -> bool:
    """Whether nothing but who acts, and constants, is left of a key without its clocks and randomness."""
    rest = [part for part in parts if part.kind not in {Kind.CONSTANT, Kind.CLOCK, Kind.RANDOM}]
    return all(says_who(part) for part in rest)


def tells_one_from_another(part: Part) -> bool:
    """Whether a part numbers or names the single thing: an id that is no person's, a counter, a digest."""
    if part.kind in {Kind.CONSTANT, Kind.CLOCK, Kind.RANDOM} or says_who(part):
        return False
    last = words(part.name.rpartition(".")[2])
    return _SINGLE.search(last) is not None or label(part) == ""


def even_chance(bits: float) -> float:
    """How many draws of so many bits make a collision as likely as not: sqrt(2 ln 2 x 2^bits)."""
    return math.sqrt(2 * math.log(2)) * 2 ** (bits / 2)


def in_words(seconds: float) -> str:
    """A time as a person would say it."""
    for unit_s, unit in ((86400 * 365, "years"), (86400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds")):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:,.0f} {unit}"
    return "a second" if seconds >= 1 else "less than a second"


def resolution_in_words(resolution_s: float) -> str:
    """How finely a clock is read."""
    names = (
        (86400.0, "day"),
        (3600.0, "hour"),
        (60.0, "minute"),
        (1.0, "second"),
        (1e-3, "millisecond"),
        (1e-6, "microsecond"),
    )
    return next((name for unit_s, name in names if resolution_s >= unit_s * 0.99), "nanosecond")
