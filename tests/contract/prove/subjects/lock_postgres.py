"""A right lock on Postgres: a row whose number grows with each holder, who alone may give it back."""

from __future__ import annotations

import time
from typing import Any

import psycopg

LEASE_S = 30
SCHEMA = """
CREATE TABLE locks (name text PRIMARY KEY, token int NOT NULL, held_until double precision NOT NULL);
INSERT INTO locks VALUES ('lock', 0, 0);
"""
TAKE = "UPDATE locks SET token = token + 1, held_until = %s WHERE name = 'lock' AND held_until <= %s RETURNING token"
GIVE_BACK = "UPDATE locks SET held_until = 0 WHERE name = 'lock' AND token = %s"


class Lock:
    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.kept: Any = None

    @property
    def connection(self) -> Any:
        """The same one, for as long as it lasts."""
        if self.kept is None or self.kept.closed:
            self.kept = psycopg.connect(self.dsn, autocommit=True)
        return self.kept

    def acquire(self) -> int | None:
        taken = self.connection.execute(TAKE, (time.time() + LEASE_S, time.time())).fetchone()
        return int(taken[0]) if taken is not None else None

    def release(self, token: int) -> None:
        self.connection.execute(GIVE_BACK, (token,))
