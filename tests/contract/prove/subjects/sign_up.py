"""A right sign-up: an id from the server, and the whole record in one step."""

from __future__ import annotations

from typing import Any

import redis


class Users:
    def __init__(self, url: str) -> None:
        self.redis: Any = redis.Redis.from_url(url, decode_responses=True)

    def create(self, name: str) -> str:
        user_id = f"user-{self.redis.incr('users:last')}"
        if not self.redis.hsetnx("users", user_id, name):
            message = f"{user_id} is taken"
            raise ValueError(message)
        return user_id

    def name_of(self, user_id: str) -> str | None:
        name: str | None = self.redis.hget("users", user_id)
        return name
