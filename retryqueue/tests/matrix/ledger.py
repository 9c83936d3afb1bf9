"""A payment provider that counts what it charges, on a Redis of its own.

Each call is one script, so a worker that is killed during it has either been charged for or not. With two commands instead, a
worker killed between them would look like a mistake of the queue.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import redis

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_CHARGE = """
if ARGV[2] ~= '' and redis.call('SADD', KEYS[2], ARGV[2]) == 0 then return redis.call('INCR', KEYS[3]) end
return redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
"""


class Ledger:
    """The provider. Recognises a repeated idempotency key, if it is given one.

    Args:
        url: Its Redis.
        before_s: How long it takes until the money moves.
        after_s: How long its reply takes.
    """

    def __init__(self, url: str, *, before_s: float = 0.0, after_s: float = 0.0) -> None:
        self._redis = redis.Redis.from_url(url)
        self._before_s = before_s
        self._after_s = after_s

    def charge(self, order: str, key: str = "") -> bool:
        """Charges an order, unless this key was used before; always answers yes."""
        time.sleep(self._before_s)
        self._redis.eval(_CHARGE, 3, "charges", "keys", "replays", order, key)
        time.sleep(self._after_s)
        return True

    def charges(self) -> dict[str, int]:
        """How often each order was charged."""
        found: Any = self._redis.hgetall("charges")
        return {order.decode(): int(times) for order, times in found.items()}

    def doubled(self) -> int:
        """How many orders were charged more than once."""
        return sum(times > 1 for times in self.charges().values())

    def replays(self) -> int:
        """How many calls were recognised as repeats."""
        found: Any = self._redis.get("replays")
        return int(found or 0)

    def clear(self) -> None:
        """Forgets everything."""
        self._redis.flushall()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._redis.close()
