"""A right ledger: a transfer is one script, and knows whether it was booked."""

from __future__ import annotations

from typing import Any

import redis

TRANSFER = """
if redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 1 then return 'booked' end
if tonumber(redis.call('HGET', KEYS[1], ARGV[2])) < tonumber(ARGV[4]) then return 'not covered' end
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('HINCRBY', KEYS[1], ARGV[2], -ARGV[4])
redis.call('HINCRBY', KEYS[1], ARGV[3], ARGV[4])
return 'booked'
"""


class NotCoveredError(Exception):
    """There is less in the account."""


class Accounts:
    def __init__(self, url: str) -> None:
        self.redis: Any = redis.Redis.from_url(url, decode_responses=True)

    def open(self, account: str, amount: int) -> None:
        self.redis.hset("balances", account, amount)

    def transfer(self, key: str, source: str, target: str, amount: int) -> None:
        if self.redis.eval(TRANSFER, 2, "balances", "booked", key, source, target, amount) != "booked":
            raise NotCoveredError(source)

    def balances(self) -> dict[str, int]:
        return {account: int(amount) for account, amount in self.redis.hgetall("balances").items()}
