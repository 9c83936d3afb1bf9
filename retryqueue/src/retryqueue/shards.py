"""Where things lie: each payment on one shard of its queue, each shard in one slot of a cluster."""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from functools import cache

# In the order in which `lua/record.lua` expects them.
_PARTS = ("items", "due", "leased", "paid", "dead", "reconcile", "quarantine", "paused", "workers", "wake")


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard. Its keys share a hash tag, so that a script may touch all of them on a cluster."""

    queue: str
    number: int

    def key(self, part: str) -> str:
        """The server's key of one part of this shard."""
        return f"{{{self.queue}:{self.number}}}:{part}"

    @property
    def keys(self) -> list[str]:
        """All parts, in the order in which the scripts expect them."""
        return _keys(self)

    @property
    def wake(self) -> str:
        """The channel on which workers hear that something is due sooner than they know."""
        return self.key("wake")


@cache
def _keys(shard: Shard) -> list[str]:
    """Made once: they are sent with every call."""
    return [shard.key(part) for part in _PARTS]


def shard_of(key: str, shards: int) -> int:
    """The number of the shard of a payment: the same in every process and version."""
    return binascii.crc32(key.encode()) % shards
