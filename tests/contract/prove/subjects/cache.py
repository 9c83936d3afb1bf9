"""A right cache: one loads, under a token that a write takes away, so that what was loaded before it is not kept."""

from __future__ import annotations

import time
import uuid
from typing import Any

import redis
import requests

ORIGIN = "http://db.example/"
TTL_S = 300
LOAD_S = 10

KEEP = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
redis.call('DEL', KEYS[2])
return 1
"""


class Cache:
    def __init__(self, url: str) -> None:
        self.redis: Any = redis.Redis.from_url(url, decode_responses=True)

    def read(self, key: str) -> str:
        while True:
            value: str | None = self.redis.get(f"value:{key}")
            if value is not None:
                return value
            token = uuid.uuid4().hex
            if self.redis.set(f"loading:{key}", token, nx=True, ex=LOAD_S):
                return self.load(key, token)
            time.sleep(1)

    def load(self, key: str, token: str) -> str:
        before: str | None = self.redis.get(f"value:{key}")  # Whoever loaded it may just have finished.
        if before is not None:
            return before
        value = str(requests.get(f"{ORIGIN}{key}", timeout=5).json()["value"])
        self.redis.eval(KEEP, 2, f"value:{key}", f"loading:{key}", token, value, TTL_S)
        return value

    def write(self, key: str, value: str) -> None:
        requests.put(f"{ORIGIN}{key}", json={"value": value}, timeout=5)
        self.redis.delete(f"value:{key}", f"loading:{key}")
