"""Which users see the canary: a salted hash puts each of them into one of 10,000 buckets, and the lowest ones go there.

Whoever was on the canary at one share is still on it at every higher one. The hash is XXH32 with seed 0, because HAProxy has
it as a converter: an order can be told the side of its user long afterwards, from the user's id alone. The salt is new for each
rollout; with one salt for all of them the same users would always be the first to meet a bad release.

XXH32: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
"""

from __future__ import annotations

import secrets
import struct
from typing import Final

BUCKETS: Final = 10_000

_MASK: Final = 0xFFFFFFFF
_PRIMES: Final = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1)


def new_salt() -> str:
    """A salt that no rollout had before."""
    return secrets.token_hex(4)


def user_hash(user: str, salt: str) -> int:
    """What stands for a user in logs and evidence: 32 bits, different in each rollout."""
    return xxh32(f"{user}:{salt}".encode())


def bucket_of(hashed: int) -> int:
    """The bucket of a user's hash."""
    return hashed % BUCKETS


def limit_for(share: float) -> int:
    """How many buckets make up a share. A share that is not zero is never rounded to zero.

    Raises ValueError if it is no share.
    """
    if not 0 <= share <= 1:
        message = f"a share of {share}; expected 0 to 1"
        raise ValueError(message)
    return max(round(share * BUCKETS), 1) if share else 0


def xxh32(data: bytes) -> int:
    """XXH32 of some bytes, with seed 0."""
    one, two, three, four, five = _PRIMES
    lanes = [one + two, two, 0, -one]
    whole = len(data) // 16 * 16
    for words in struct.iter_unpack("<4I", data[:whole]):
        lanes = [_round(lane, word) for lane, word in zip(lanes, words, strict=True)]
    mixed = sum(map(_rotated, lanes, (1, 7, 12, 18))) if whole else five
    mixed += len(data)
    rest = data[whole:]
    aligned = len(rest) // 4 * 4
    for (word,) in struct.iter_unpack("<I", rest[:aligned]):
        mixed = _rotated(mixed + word * three, 17) * four
    for byte in rest[aligned:]:
        mixed = _rotated(mixed + byte * five, 11) * one
    mixed &= _MASK
    mixed = ((mixed ^ mixed >> 15) * two) & _MASK
    mixed = ((mixed ^ mixed >> 13) * three) & _MASK
    return mixed ^ mixed >> 16


def _round(lane: int, word: int) -> int:
    return _rotated(lane + word * _PRIMES[1], 13) * _PRIMES[0] & _MASK


def _rotated(number: int, bits: int) -> int:
    number &= _MASK
    return (number << bits | number >> (32 - bits)) & _MASK
