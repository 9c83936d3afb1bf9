"""A right rate limit: a bucket of tokens that fills up again, in one script; a full one is let go of."""

from __future__ import annotations

import time
from typing import Any

import redis

LIMIT = 3
WINDOW_S = 60

ALLOW = """
local found = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = tonumber(found[1]) or tonumber(ARGV[2])
local passed = math.max(0, ARGV[1] - (found[2] or ARGV[1]))
tokens = math.min(ARGV[2], tokens + passed * ARGV[2] / ARGV[3])
local allowed = tokens >= 1
if allowed then tokens = tokens - 1 end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3] + 1)
return allowed and 1 or 0
"""


class RateLimit:
    def __init__(self, url: str) -> None:
        self.redis: Any = redis.Redis.from_url(url, decode_responses=True)

    def allow(self, caller: str) -> bool:
        return bool(self.redis.eval(ALLOW, 1, f"bucket:{caller}", time.time(), LIMIT, WINDOW_S))
