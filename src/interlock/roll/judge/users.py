"""Users are counted once, however often they try again, in memory that does not grow.

A user who meets a broken checkout tries it five times. Counted as requests, five retries of one user look like five labels
that agree; with a mean of five the plain statistic aborts every good rollout. So only the first bad event of a user is a label.

`Seen` is a pair of Bloom filters (Bloom 1970) that take turns: when the newer one is full, the older one is forgotten. A
user counts again only after 16,384 others did. With 16 bits a user and 4 hashes 0.24 % of the users are taken for somebody
seen before, on both sides alike. `Distinct` keeps a sample of the users whose hash ends in enough zeros (Gibbons, "Distinct
sampling", VLDB 2001): it says how many there are, within 2 % (one standard error), and whether a user of the sample is new.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final
from zlib import compress, decompress

if TYPE_CHECKING:
    from collections.abc import Iterator

_BITS: Final = 1 << 18  # 32 kB a filter.
_FULL: Final = _BITS // 16
_SAMPLE: Final = 2048


class Seen:
    """Whether a user was seen before, for the last 16,384 to 32,768 users."""

    __slots__ = ("_count", "_new", "_old")

    def __init__(self) -> None:
        self._new, self._old = bytearray(_BITS // 8), bytearray(_BITS // 8)
        self._count = 0

    def is_first(self, user: str) -> bool:
        """True the first time; from then on False."""
        places = list(_places(user))
        if all(self._new[place >> 3] >> (place & 7) & 1 for place in places):
            return False
        known = all(self._old[place >> 3] >> (place & 7) & 1 for place in places)
        if self._count >= _FULL:
            self._old, self._new, self._count = self._new, bytearray(_BITS // 8), 0
        for place in places:  # Somebody who comes again is remembered for longer.
            self._new[place >> 3] |= 1 << (place & 7)
        self._count += 1
        return not known

    def state(self) -> list[Any]:
        """What a successor has to know."""
        return [self._count, *(b64encode(compress(bytes(bits), 1)).decode() for bits in (self._new, self._old))]

    def restore(self, state: list[Any]) -> None:
        """Goes on where a predecessor was."""
        self._count = state[0]
        self._new, self._old = (bytearray(decompress(b64decode(text))) for text in state[1:])


class Distinct:
    """How many different users there are, from a sample of at most 2,048 of them."""

    __slots__ = ("_level", "_sample")

    def __init__(self) -> None:
        self._level = 0
        self._sample: set[int] = set()

    def add(self, user: str) -> bool:
        """True if the user belongs to the sample and is new to it."""
        number = int.from_bytes(_digest(user)[:8])
        if number & ((1 << self._level) - 1) or number in self._sample:
            return False
        self._sample.add(number)
        while len(self._sample) > _SAMPLE:
            self._level += 1
            self._sample = {kept for kept in self._sample if not kept & ((1 << self._level) - 1)}
        return True

    @property
    def estimate(self) -> int:
        """How many users; exact up to 2,048."""
        return len(self._sample) << self._level

    def state(self) -> list[Any]:
        """What a successor has to know."""
        return [self._level, sorted(self._sample)]

    def restore(self, state: list[Any]) -> None:
        """Goes on where a predecessor was."""
        self._level, self._sample = state[0], set(state[1])


def _digest(user: str) -> bytes:
    """The same in every process, unlike `hash`."""
    return blake2b(user.encode(), digest_size=16).digest()


def _places(user: str) -> Iterator[int]:
    digest = _digest(user)
    return (int.from_bytes(digest[at : at + 4]) % _BITS for at in (0, 4, 8, 12))
