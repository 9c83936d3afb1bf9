"""A right ledger without scripts: a transfer is a transaction on watched balances."""

from __future__ import annotations

from typing import Any

import redis


class NotCoveredError(Exception):
    """There is less in the account."""


class Accounts:
    def __init__(self, url: str) -> None:
        self.redis: Any = redis.Redis.from_url(url, decode_responses=True)

    def open(self, account: str, amount: int) -> None:
        self.redis.set(f"balance:{account}", amount)

    def transfer(self, key: str, source: str, target: str, amount: int) -> None:
        with self.redis.pipeline(transaction=True) as pipe:
            while True:
                pipe.watch(f"balance:{source}", f"transfer:{key}")
                if pipe.exists(f"transfer:{key}"):
                    return
                if int(pipe.get(f"balance:{source}")) < amount:
                    raise NotCoveredError(source)
                pipe.multi()
                pipe.set(f"transfer:{key}", amount, ex=30 * 24 * 3600)
                pipe.decrby(f"balance:{source}", amount)
                pipe.incrby(f"balance:{target}", amount)
                try:
                    pipe.execute()
                except redis.WatchError:
                    continue
                return

    def balances(self) -> dict[str, int]:
        keys = sorted(self.redis.keys("balance:*"))
        return {key.removeprefix("balance:"): int(self.redis.get(key)) for key in keys}
