"""A right rate limit: a sorted set of the calls in the window, in one script."""

from __future__ import annotations

import time
import uuid
from typing import Any

import redis

LIMIT = 3
WINDOW_S = 60

ALLOW = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1] - ARGV[2])
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[4])
redis.call('EXPIRE', KEYS[1], ARGV[2] + 1)
return 1
"""


class RateLimit:
    def __init__(self, url: str) -> None:
        self.redis: Any = redis.Redis.from_url(url, decode_responses=True)

    def allow(self, caller: str) -> bool:
        call = uuid.uuid4().hex
        return bool(self.redis.eval(ALLOW, 1, f"calls:{caller}", time.time(), WINDOW_S, LIMIT, call))
