"""A right lock: taken in one step with a number that grows, given back by nobody but its owner."""

from __future__ import annotations

from typing import Any

import redis

LEASE_S = 30

TAKE = """
if redis.call('EXISTS', KEYS[1]) == 1 then return nil end
local token = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], token, 'PX', ARGV[1])
return token
"""

GIVE_BACK = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"


class Lock:
    def __init__(self, url: str) -> None:
        self.redis: Any = redis.Redis.from_url(url, decode_responses=True)

    def acquire(self) -> int | None:
        token: int | None = self.redis.eval(TAKE, 2, "lock", "lock:tokens", LEASE_S * 1000)
        return token

    def release(self, token: int) -> None:
        self.redis.eval(GIVE_BACK, 1, "lock", token)
