"""A right payment retry queue on a stream of Redis: a consumer group delivers, and what a dead consumer holds is claimed."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import redis
import requests

PROVIDER = "http://api.pay.example/charges"
LEASE_S = 30
DELAYS_S = (60, 120)
ATTEMPTS = 3
KNOWN_FOR_S = 7 * 24 * 60 * 60
STREAM, GROUP, LATER = "payments", "workers", "later"

ENQUEUE = """
if redis.call('EXISTS', KEYS[2]) == 1 then return 'known' end
redis.call('HSET', KEYS[2], 'payment', ARGV[2], 'state', 'live', 'attempt', 0, 'settled', 0, 'generation', 0)
redis.call('XADD', KEYS[1], '*', 'key', ARGV[1])
return 'new'
"""

COME_DUE = """
for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1])) do
  redis.call('ZREM', KEYS[2], key)
  redis.call('XADD', KEYS[1], '*', 'key', key)
end
"""

# Only what is still this consumer's is begun: somebody else may have claimed it meanwhile.
BEGIN = """
local held = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)[1]
if not held or held[2] ~= ARGV[2] then return nil end
local state, attempt = unpack(redis.call('HMGET', KEYS[2], 'state', 'attempt'))
if state == 'live' and tonumber(attempt) >= tonumber(ARGV[5]) then
  redis.call('HSET', KEYS[2], 'state', 'unsure')
  redis.call('SADD', KEYS[3], ARGV[4])
  state = 'unsure'
end
if state ~= 'live' then
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
  redis.call('XDEL', KEYS[1], ARGV[3])
  return nil
end
attempt = redis.call('HINCRBY', KEYS[2], 'attempt', 1)
return {attempt, redis.call('HGET', KEYS[2], 'generation'), redis.call('HGET', KEYS[2], 'payment')}
"""

SETTLE = """
local state, attempt, settled = unpack(redis.call('HMGET', KEYS[2], 'state', 'attempt', 'settled'))
if state ~= 'live' or attempt ~= ARGV[4] or settled == ARGV[4] then return 'late' end
redis.call('HSET', KEYS[2], 'settled', attempt)
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
if ARGV[5] == 'paid' then
  redis.call('HSET', KEYS[2], 'state', 'paid')
  redis.call('EXPIRE', KEYS[2], ARGV[8])
  return 'paid'
end
if ARGV[5] == 'declined' then redis.call('HINCRBY', KEYS[2], 'generation', 1) end
if tonumber(attempt) < tonumber(ARGV[7]) then
  redis.call('ZADD', KEYS[3], ARGV[6], ARGV[3])
  return 'again'
end
state = ARGV[5] == 'declined' and 'dead' or 'unsure'
redis.call('HSET', KEYS[2], 'state', state)
redis.call('SADD', state == 'dead' and KEYS[4] or KEYS[5], ARGV[3])
return state
"""


class StreamQueue:
    def __init__(self, url: str) -> None:
        self.redis: Any = redis.Redis.from_url(url, decode_responses=True)
        self.name = uuid.uuid4().hex

    def enqueue(self, key: str, fields: dict[str, Any]) -> str:
        return str(self.redis.eval(ENQUEUE, 2, STREAM, f"job:{key}", key, json.dumps(fields)))

    def process(self) -> None:
        self.join()
        self.redis.eval(COME_DUE, 2, STREAM, LATER, time.time())
        _, left_behind, _ = self.redis.xautoclaim(STREAM, GROUP, self.name, LEASE_S * 1000)
        news = self.redis.xreadgroup(GROUP, self.name, {STREAM: ">"}, count=100)
        entries = [*left_behind, *(entry for _, entries in news for entry in entries)]
        for entry, fields in entries:
            self.attempt(entry, fields["key"])

    def join(self) -> None:
        try:
            self.redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def attempt(self, entry: str, key: str) -> None:
        begun = self.redis.eval(BEGIN, 3, STREAM, f"job:{key}", "unsure", GROUP, self.name, entry, key, ATTEMPTS)
        if begun:
            attempt, generation, fields = begun
            outcome = charge({**json.loads(fields), "payment": key}, f"{key}:{generation}")
            next_s = time.time() + DELAYS_S[min(attempt, len(DELAYS_S)) - 1]
            keys = (STREAM, f"job:{key}", LATER, "dead", "unsure")
            self.redis.eval(SETTLE, 5, *keys, GROUP, entry, key, attempt, outcome, next_s, ATTEMPTS, KNOWN_FOR_S)

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
