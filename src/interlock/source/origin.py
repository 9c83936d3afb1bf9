"""The nouns of value origins: where the parts of a value come from, and how much each tells apart.

A value is a mix of parts. `f"{user_id}:{int(time.time())}"` has two: the caller's `user_id`, and a clock read to whole
seconds. What matters of a part is how far it tells two operations apart: a clock by its resolution, randomness by its bits.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ast
    from collections.abc import Callable, Iterable

    PartChange = Callable[["Part"], "Part"]

DECIMAL_BITS = math.log2(10)  # what one decimal digit carries
# Letters of strftime, with the seconds that pass before they change.
_FINEST_FIRST = (("f", 1e-6), ("STsXcr", 1.0), ("MR", 60.0), ("HI", 3600.0), ("djDxFaAuw", 86400.0))


class Kind(StrEnum):
    """Where a part of a value comes from."""

    CONSTANT = "constant"
    CLOCK = "clock"
    RANDOM = "random"
    CALLER = "caller"  # a parameter, or something reached through one
    REQUEST = "request"
    STORED = "stored"  # kept on an object since before this call
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Part:
    """One root of a value."""

    kind: Kind
    site: ast.expr  # where it is made, in the function that was asked about
    name: str = ""  # how the code calls it: `user_id`, `time.time()`
    maker: ast.expr | None = None  # clock, random: the call that makes it, wherever that stands
    resolution_s: float = 0.0  # clock: two readings closer than this can be equal
    unit_s: float = 1.0  # clock: what one of the number's units is worth
    bits: float | None = None  # how many bits it can carry at most; None if that cannot be told
    character_bits: float | None = None  # what one character of its text carries
    sometimes: bool = False  # only on some of the ways to here

    def cut(self, characters: float) -> Part:
        """This part after only so many characters of its text were kept."""
        if self.character_bits is None:
            return self
        return self.at_most(characters * self.character_bits)

    def at_most(self, bits: float) -> Part:
        """This part squeezed into so many bits."""
        return replace(self, bits=bits if self.bits is None else min(self.bits, bits))

    def scaled(self, factor: float) -> Part:
        """A clock's number multiplied by a factor: seconds times 1000 are milliseconds."""
        return replace(self, unit_s=self.unit_s / factor)

    def whole(self, digits: int = 0) -> Part:
        """A clock's number rounded to whole units, or to so many decimal digits."""
        return self.coarse(self.unit_s * 10.0 ** -max(-30, min(digits, 30)))

    def coarse(self, resolution_s: float) -> Part:
        """A clock read no finer than this."""
        return replace(self, resolution_s=max(self.resolution_s, resolution_s))


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from: all its parts."""

    parts: tuple[Part, ...]

    def of(self, *kinds: Kind) -> list[Part]:
        """The parts of these kinds."""
        return [part for part in self.parts if part.kind in kinds]

    def always(self, *kinds: Kind) -> list[Part]:
        """The parts of these kinds that are there on every way."""
        return [part for part in self.of(*kinds) if not part.sometimes]

    @property
    def variable(self) -> list[Part]:
        """Every part that is not written in the code as it stands."""
        return [part for part in self.parts if part.kind is not Kind.CONSTANT]

    def each(self, change: PartChange) -> Origin:
        """This origin with every part changed."""
        return Origin(tuple(change(part) for part in self.parts))

    def clocks(self, change: PartChange) -> Origin:
        """This origin with its clocks changed."""
        return self.each(lambda part: change(part) if part.kind is Kind.CLOCK else part)


def mixed(origins: Iterable[Origin]) -> Origin:
    """A value that contains several others, as an f-string does."""
    return Origin(tuple(dict.fromkeys(part for origin in origins for part in origin.parts)))


def either(origins: list[Origin]) -> Origin:
    """A value that is one of several others. A part is there always only if every one of them has its kind."""
    if len(origins) == 1:
        return origins[0]
    common = set(Kind).intersection(*({part.kind for part in origin.parts} for origin in origins))
    marked = (_sometimes(part, common) for origin in origins for part in origin.parts)
    return Origin(tuple(dict.fromkeys(marked)))


def _sometimes(part: Part, common: set[Kind]) -> Part:
    return part if part.kind in common else replace(part, sometimes=True)


def strftime_resolution_s(pattern: str) -> float | None:
    """The finest directive of a `strftime` pattern, in seconds; None if it has no directive at all."""
    directives = "".join(re.findall(r"%[-_0^#]?([a-zA-Z])", pattern))
    if not directives:
        return None
    finest = (seconds for letters, seconds in _FINEST_FIRST if not set(letters).isdisjoint(directives))
    return next(finest, 30 * 86400.0)
