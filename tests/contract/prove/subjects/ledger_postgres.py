"""A right ledger on Postgres: a unique key for each transfer, and the rows of both accounts locked in one order."""

from __future__ import annotations

from typing import Any

import psycopg

SCHEMA = """
CREATE TABLE accounts (name text PRIMARY KEY, balance int NOT NULL CHECK (balance >= 0));
CREATE TABLE transfers (key text PRIMARY KEY);
"""
LOCK = "SELECT balance FROM accounts WHERE name IN (%s, %s) ORDER BY name FOR UPDATE"


class NotCoveredError(Exception):
    """There is less in the account."""


class Accounts:
    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.kept: Any = None

    @property
    def connection(self) -> Any:
        """The same one, for as long as it lasts."""
        if self.kept is None or self.kept.closed:
            self.kept = psycopg.connect(self.dsn, autocommit=True)
        return self.kept

    def open(self, account: str, amount: int) -> None:
        self.connection.execute("INSERT INTO accounts VALUES (%s, %s)", (account, amount))

    def transfer(self, key: str, source: str, target: str, amount: int) -> None:
        with self.connection.transaction():
            if not self.connection.execute("INSERT INTO transfers VALUES (%s) ON CONFLICT DO NOTHING", (key,)).rowcount:
                return
            self.connection.execute(LOCK, (source, target))
            taken = "UPDATE accounts SET balance = balance - %s WHERE name = %s AND balance >= %s"
            if not self.connection.execute(taken, (amount, source, amount)).rowcount:
                raise NotCoveredError(source)
            self.connection.execute("UPDATE accounts SET balance = balance + %s WHERE name = %s", (amount, target))

    def balances(self) -> dict[str, int]:
        found = self.connection.execute("SELECT name, balance FROM accounts").fetchall()
        return {str(name): int(balance) for name, balance in found}
