"""Sign-ups on a pool of connections, which one in so many takes and does not give back."""

from __future__ import annotations

from typing import Any

from redis import ConnectionPool, Redis

LEAKS_EVERY = 10


class SignUps:
    def __init__(self, url: str, *, leaks: bool, connections_max: int, takes_turns: bool = False) -> None:
        kind: Any = TakesTurns if takes_turns else ConnectionPool
        self.pool = kind.from_url(url, max_connections=connections_max)
        self.redis: Any = Redis(connection_pool=self.pool)
        self.leaks = leaks

    def sign_up(self, number: int) -> None:
        self.redis.set(f"user:{number}", "1")
        if number % LEAKS_EVERY == 0:
            self.audit(number)

    def audit(self, number: int) -> None:
        connection: Any = self.pool.get_connection()
        connection.send_command("RPUSH", "audit", number)
        connection.read_response()
        if self.leaks:
            FORGOTTEN.append(connection)
        else:
            self.pool.release(connection)


class TakesTurns(ConnectionPool):
    """Gives out what it has had for longest, as pools of SQLAlchemy do."""

    def release(self, connection: Any) -> None:
        super().release(connection)
        free: list[Any] = self._available_connections
        free.insert(0, free.pop())


FORGOTTEN: list[object] = []
