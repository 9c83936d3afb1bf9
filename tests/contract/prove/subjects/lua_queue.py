"""A right payment retry queue: one script for each transition, the attempt as the fencing token."""

from __future__ import annotations

import json
import time
from typing import Any

import redis
import requests

PROVIDER = "http://api.pay.example/charges"
LEASE_S = 30
DELAYS_S = (60, 120)
ATTEMPTS = 3
KNOWN_FOR_S = 7 * 24 * 60 * 60

ENQUEUE = """
if redis.call('EXISTS', KEYS[2]) == 1 then return 'known' end
redis.call('HSET', KEYS[2], 'payment', ARGV[2], 'state', 'live', 'attempt', 0, 'settled', 0, 'generation', 0)
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
return 'new'
"""

CLAIM = """
if redis.call('HGET', KEYS[2], 'state') ~= 'live' then
  redis.call('ZREM', KEYS[1], ARGV[1])
  return nil
end
local due = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not due or tonumber(due) > tonumber(ARGV[2]) then return nil end
if tonumber(redis.call('HGET', KEYS[2], 'attempt')) >= tonumber(ARGV[4]) then
  redis.call('HSET', KEYS[2], 'state', 'unsure')
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('SADD', KEYS[3], ARGV[1])
  return nil
end
redis.call('ZADD', KEYS[1], ARGV[2] + ARGV[3], ARGV[1])
local attempt = redis.call('HINCRBY', KEYS[2], 'attempt', 1)
return {attempt, redis.call('HGET', KEYS[2], 'generation'), redis.call('HGET', KEYS[2], 'payment')}
"""

SETTLE = """
local attempt = redis.call('HGET', KEYS[2], 'attempt')
if attempt ~= ARGV[2] or redis.call('HGET', KEYS[2], 'settled') == ARGV[2] then return 'late' end
if redis.call('HGET', KEYS[2], 'state') ~= 'live' then return 'late' end
redis.call('HSET', KEYS[2], 'settled', ARGV[2])
if ARGV[3] == 'paid' then
  redis.call('HSET', KEYS[2], 'state', 'paid')
  redis.call('EXPIRE', KEYS[2], ARGV[6])
  redis.call('ZREM', KEYS[1], ARGV[1])
  return 'paid'
end
if ARGV[3] == 'declined' then redis.call('HINCRBY', KEYS[2], 'generation', 1) end
if tonumber(attempt) < tonumber(ARGV[5]) then
  redis.call('ZADD', KEYS[1], ARGV[4], ARGV[1])
  return 'again'
end
redis.call('ZREM', KEYS[1], ARGV[1])
local state = ARGV[3] == 'declined' and 'dead' or 'unsure'
redis.call('HSET', KEYS[2], 'state', state)
redis.call('SADD', state == 'dead' and KEYS[4] or KEYS[3], ARGV[1])
return state
"""


class LuaQueue:
    def __init__(self, url: str) -> None:
        self.redis: Any = redis.Redis.from_url(url, decode_responses=True)

    def enqueue(self, key: str, fields: dict[str, Any]) -> str:
        return str(self.redis.eval(ENQUEUE, 2, "due", f"job:{key}", key, json.dumps(fields), time.time()))

    def process(self) -> None:
        for key in self.redis.zrangebyscore("due", 0, time.time(), start=0, num=100):
            claimed = self.redis.eval(CLAIM, 3, "due", f"job:{key}", "unsure", key, time.time(), LEASE_S, ATTEMPTS)
            if claimed:
                self.attempt(key, *claimed)

    def attempt(self, key: str, attempt: int, generation: str, fields: str) -> None:
        outcome = charge({**json.loads(fields), "payment": key}, f"{key}:{generation}")
        next_s = time.time() + DELAYS_S[min(attempt, len(DELAYS_S)) - 1]
        keys = ("due", f"job:{key}", "unsure", "dead")
        self.redis.eval(SETTLE, 4, *keys, key, attempt, outcome, next_s, ATTEMPTS, KNOWN_FOR_S)

    def dead_letters(self) -> set[str]:
        return set(self.redis.smembers("dead"))

    def unsure(self) -> set[str]:
        return set(self.redis.smembers("unsure"))


def charge(payment: dict[str, Any], key: str) -> str:
    try:
        answer = requests.post(PROVIDER, json=payment, headers={"Idempotency-Key": key}, timeout=5)
    except requests.RequestException:
        return "unknown"
    return {200: "paid", 402: "declined"}.get(answer.status_code, "unknown")
