"""A right payment retry queue without scripts: each transition is a transaction on a watched record."""

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


class PlainQueue:
    def __init__(self, url: str) -> None:
        self.redis: Any = redis.Redis.from_url(url, decode_responses=True)

    def enqueue(self, key: str, fields: dict[str, Any]) -> None:
        record = {"fields": fields, "state": "live", "attempt": 0, "generation": 0}
        with self.redis.pipeline(transaction=True) as pipe:
            pipe.set(f"job:{key}", json.dumps(record), nx=True)
            pipe.zadd("due", {key: time.time()}, nx=True)  # One too many is seen by whoever claims it.
            pipe.execute()

    def process(self) -> None:
        for key in self.redis.zrangebyscore("due", 0, time.time(), start=0, num=100):
            record = self.claimed(key)
            if record is not None:
                self.settle(key, record, charge({**record["fields"], "payment": key}, f"{key}:{record['generation']}"))

    def claimed(self, key: str) -> dict[str, Any] | None:
        with self.redis.pipeline(transaction=True) as pipe:
            pipe.watch(f"job:{key}", "due")
            record = self.record(pipe, key)
            due = pipe.zscore("due", key)
            if due is None or due > time.time():
                return None
            is_live = record["state"] == "live"
            may_try = is_live and record["attempt"] < ATTEMPTS
            pipe.multi()
            if not is_live:
                pipe.zrem("due", key)
            elif not may_try:
                pipe.set(f"job:{key}", json.dumps({**record, "state": "unsure"}))
                pipe.zrem("due", key)
                pipe.sadd("unsure", key)
            else:
                record["attempt"] += 1
                pipe.set(f"job:{key}", json.dumps(record))
                pipe.zadd("due", {key: time.time() + LEASE_S})
            try:
                pipe.execute()
            except redis.WatchError:
                return None
            return record if may_try else None

    def settle(self, key: str, claimed: dict[str, Any], outcome: str) -> None:
        with self.redis.pipeline(transaction=True) as pipe:
            while True:
                pipe.watch(f"job:{key}")
                record = self.record(pipe, key)
                if record["attempt"] != claimed["attempt"] or record.get("settled") == record["attempt"]:
                    return
                record["settled"] = record["attempt"]
                pipe.multi()
                self.move(pipe, key, record, outcome)
                try:
                    pipe.execute()
                except redis.WatchError:
                    continue
                return

    def move(self, pipe: Any, key: str, record: dict[str, Any], outcome: str) -> None:
        if outcome == "declined":
            record["generation"] += 1
        if outcome == "paid":
            pipe.set(f"job:{key}", json.dumps({**record, "state": "paid"}), ex=KNOWN_FOR_S)
            pipe.zrem("due", key)
        elif record["attempt"] < ATTEMPTS:
            pipe.set(f"job:{key}", json.dumps(record))
            pipe.zadd("due", {key: time.time() + DELAYS_S[record["attempt"] - 1]})
        else:
            state = "dead" if outcome == "declined" else "unsure"
            pipe.set(f"job:{key}", json.dumps({**record, "state": state}))
            pipe.zrem("due", key)
            pipe.sadd(state, key)

    def record(self, pipe: Any, key: str) -> dict[str, Any]:
        found = pipe.get(f"job:{key}")
        return json.loads(found) if found else {"state": "gone", "attempt": 0}

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
