"""What scripts and transactions of a server do, and what they tell of it beforehand."""

from __future__ import annotations

from typing import Any

import redis

# Adds to whatever is named by a key that nobody has declared.
ADDS = "local name = redis.call('GET', KEYS[1]) or 'stock' redis.call('SET', name, (redis.call('GET', name) or '') .. ARGV[1])"


def client(url: str) -> Any:
    return redis.Redis.from_url(url, decode_responses=True)


class Declares:
    """Does all in a script, and shows the script's every key."""

    def __init__(self, url: str) -> None:
        self.redis = client(url)

    def add(self, letter: str) -> None:
        self.redis.eval("redis.call('APPEND', KEYS[1], ARGV[1])", 1, "stock", letter)


class Hides(Declares):
    """Two workers, two keys that are declared, and one that is not."""

    def add(self, letter: str) -> None:
        self.redis.eval(ADDS, 1, f"name:{letter}", letter)


class NamesNone(Declares):
    """Declares no key at all."""

    def add(self, letter: str) -> None:
        self.redis.eval("redis.call('APPEND', 'stock', ARGV[1])", 0, letter)


class Reads(Declares):
    """Looks, and then writes what it has seen: only the order of the undeclared accesses shows that it is wrong."""

    def add(self, letter: str) -> None:
        seen = self.redis.eval("return redis.call('GET', 'stock')", 1, f"name:{letter}") or ""
        self.redis.eval("redis.call('SET', 'stock', ARGV[1])", 1, f"name:{letter}", seen + letter)


class Watches(Declares):
    """An optimistic transaction that tries again."""

    def add(self, letter: str) -> None:
        with self.redis.pipeline() as pipe:
            while True:
                try:
                    self.attempt(pipe, letter)
                except redis.WatchError:
                    continue
                return

    def attempt(self, pipe: Any, letter: str) -> None:
        pipe.watch("stock")
        seen = pipe.get("stock") or ""
        pipe.multi()
        pipe.set("stock", seen + letter)
        pipe.execute()


class WatchesTooLate(Watches):
    """Looks before it watches."""

    def attempt(self, pipe: Any, letter: str) -> None:
        seen = self.redis.get("stock") or ""
        pipe.watch("stock")
        pipe.multi()
        pipe.set("stock", seen + letter)
        pipe.execute()
