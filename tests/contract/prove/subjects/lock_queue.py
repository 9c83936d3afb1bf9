"""A right payment retry queue with a lock for each payment: whoever holds it works, and stores all before and after."""

from __future__ import annotations

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

RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"

ADD = """
if redis.call('HSETNX', KEYS[1], 'attempt', 0) == 1 then
  redis.call('HSET', KEYS[1], 'due', ARGV[2], 'user', ARGV[3], 'amount', ARGV[4], 'generation', 0)
  redis.call('SADD', KEYS[2], ARGV[1])
end
"""

FINISH = """
if redis.call('HGET', KEYS[1], 'attempt') ~= ARGV[2] or redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 0 then return end
redis.call('SREM', KEYS[2], ARGV[1])
if ARGV[3] == 'paid' then redis.call('EXPIRE', KEYS[1], ARGV[4]) else redis.call('SADD', KEYS[3], ARGV[1]) end
"""

POSTPONE = """
if redis.call('HGET', KEYS[1], 'attempt') ~= ARGV[1] then return end
redis.call('HSET', KEYS[1], 'due', ARGV[2], 'generation', ARGV[3])
"""


class LockQueue:
    def __init__(self, url: str) -> None:
        self.redis: Any = redis.Redis.from_url(url, decode_responses=True)

    def enqueue(self, key: str, user: str, amount: int) -> None:
        self.redis.eval(ADD, 2, f"job:{key}", "open", key, time.time(), user, amount)

    def process(self) -> None:
        for key in sorted(self.redis.smembers("open")):
            token = uuid.uuid4().hex
            if self.redis.set(f"lock:{key}", token, nx=True, px=LEASE_S * 1000):
                self.work(key)
                self.redis.eval(RELEASE, 1, f"lock:{key}", token)

    def work(self, key: str) -> None:
        job = self.redis.hgetall(f"job:{key}")
        if not self.redis.sismember("open", key) or float(job["due"]) > time.time():
            return
        if int(job["attempt"]) >= ATTEMPTS:
            self.finish(key, int(job["attempt"]), "unsure")
            return
        attempt = self.redis.hincrby(f"job:{key}", "attempt", 1)
        outcome = charge({"payment": key, "user": job["user"], "amount": job["amount"]}, f"{key}:{job['generation']}")
        generation = int(job["generation"]) + (outcome == "declined")
        if outcome == "paid":
            self.finish(key, attempt, "paid")
        elif attempt < ATTEMPTS:
            self.redis.eval(POSTPONE, 1, f"job:{key}", attempt, time.time() + DELAYS_S[attempt - 1], generation)
        else:
            self.finish(key, attempt, "dead" if outcome == "declined" else "unsure")

    def finish(self, key: str, attempt: int, state: str) -> None:
        self.redis.eval(FINISH, 3, f"job:{key}", "open", state, key, attempt, state, KNOWN_FOR_S)

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
