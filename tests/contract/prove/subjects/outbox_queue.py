"""A right payment retry queue on Postgres: an outbox, stored with the order, whose rows workers take with SKIP LOCKED."""

from __future__ import annotations

import json
import time
from typing import Any

import psycopg
import requests

PROVIDER = "http://api.pay.example/charges"
LEASE_S = 30
DELAYS_S = (60, 120)
ATTEMPTS = 3

SCHEMA = """
CREATE TABLE orders (key text PRIMARY KEY, fields text NOT NULL);
CREATE TABLE outbox (
    key text PRIMARY KEY REFERENCES orders, state text NOT NULL DEFAULT 'live', due double precision NOT NULL,
    attempt int NOT NULL DEFAULT 0, settled int NOT NULL DEFAULT 0, generation int NOT NULL DEFAULT 0
);
"""
DUE = "SELECT key FROM outbox WHERE state = 'live' AND due <= %s AND attempt < %s ORDER BY due LIMIT 1 FOR UPDATE SKIP LOCKED"
TAKE = "UPDATE outbox SET attempt = attempt + 1, due = %s WHERE key = %s RETURNING attempt, generation"
USED_UP = "UPDATE outbox SET state = 'unsure' WHERE state = 'live' AND due <= %s AND attempt >= %s"
SETTLE = """
UPDATE outbox SET settled = attempt, state = %s, due = %s, generation = generation + %s
WHERE key = %s AND attempt = %s AND settled < attempt AND state = 'live'
"""


class OutboxQueue:
    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.kept: Any = None

    @property
    def connection(self) -> Any:
        """The same one, for as long as it lasts."""
        if self.kept is None or self.kept.closed:
            self.kept = psycopg.connect(self.dsn, autocommit=True)
        return self.kept

    def enqueue(self, key: str, fields: dict[str, Any]) -> None:
        with self.connection.transaction():
            order = "INSERT INTO orders VALUES (%s, %s) ON CONFLICT DO NOTHING"
            if self.connection.execute(order, (key, json.dumps(fields))).rowcount:
                self.connection.execute("INSERT INTO outbox (key, due) VALUES (%s, %s)", (key, time.time()))

    def process(self) -> None:
        while (taken := self.taken()) is not None:
            self.attempt(*taken)
        self.connection.execute(USED_UP, (time.time(), ATTEMPTS))

    def taken(self) -> tuple[str, int, int] | None:
        with self.connection.transaction():
            found = self.connection.execute(DUE, (time.time(), ATTEMPTS)).fetchone()
            if found is None:
                return None
            attempt, generation = self.connection.execute(TAKE, (time.time() + LEASE_S, found[0])).fetchone()
            return found[0], attempt, generation

    def attempt(self, key: str, attempt: int, generation: int) -> None:
        (fields,) = self.connection.execute("SELECT fields FROM orders WHERE key = %s", (key,)).fetchone()
        outcome = charge({**json.loads(fields), "payment": key}, f"{key}:{generation}")
        last = attempt >= ATTEMPTS
        state = {"paid": "paid", "declined": "dead" if last else "live"}.get(outcome, "unsure" if last else "live")
        due_s = time.time() + DELAYS_S[min(attempt, len(DELAYS_S)) - 1]
        self.connection.execute(SETTLE, (state, due_s, int(outcome == "declined"), key, attempt))

    def dead_letters(self) -> set[str]:
        return self.keys("dead")

    def unsure(self) -> set[str]:
        return self.keys("unsure")

    def keys(self, state: str) -> set[str]:
        found = self.connection.execute("SELECT key FROM outbox WHERE state = %s", (state,)).fetchall()
        return {str(key) for (key,) in found}


def charge(payment: dict[str, Any], key: str) -> str:
    try:
        answer = requests.post(PROVIDER, json=payment, headers={"Idempotency-Key": key}, timeout=5)
    except requests.RequestException:
        return "unknown"
    return {200: "paid", 402: "declined"}.get(answer.status_code, "unknown")
