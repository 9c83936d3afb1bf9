"""Retry queues for one payment: one that is right, and each of its guards taken out."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import redis
import requests

PROVIDER = "http://api.pay.example/charges"


class Right:
    """A lease that one worker gets, a key that names the payment, and removal after the charge."""

    def __init__(self, url: str) -> None:
        self.redis: Any = redis.Redis.from_url(url, decode_responses=True)

    def enqueue(self, order: str) -> None:
        self.redis.sadd("payments", order)

    def process(self) -> None:
        for order in self.redis.smembers("payments"):
            if self.takes(order):
                self.charge(order)
                self.redis.srem("payments", order)

    def takes(self, order: str) -> bool:
        return bool(self.redis.set(f"lease:{order}", "1", nx=True, px=30_000))

    def charge(self, order: str) -> None:
        answer = requests.post(PROVIDER, json={"payment": order}, headers=self.headers(order), timeout=5)
        if answer.status_code >= 500:
            raise RuntimeError("nobody knows whether it was charged")  # Its lease ends, and then it is tried again.

    def headers(self, order: str) -> dict[str, str]:
        return {"Idempotency-Key": f"charge:{order}"}


class WithoutLease(Right):
    """Everybody takes everything; and no key tells the provider."""

    def takes(self, order: str) -> bool:
        return True

    def headers(self, order: str) -> dict[str, str]:
        return {}


class LooksThenTakes(Right):
    """Two commands where one would do; and no key tells the provider."""

    def takes(self, order: str) -> bool:
        if self.redis.get(f"lease:{order}"):
            return False
        self.redis.set(f"lease:{order}", "1", px=30_000)
        return True

    def headers(self, order: str) -> dict[str, str]:
        return {}


class WithoutKey(Right):
    """A worker that dies between charge and removal leaves a payment that is charged again."""

    def headers(self, order: str) -> dict[str, str]:
        return {}


class KeyOfTheAttempt(Right):
    """A key that is made anew for each attempt recognises no other attempt."""

    def headers(self, order: str) -> dict[str, str]:
        return {"Idempotency-Key": f"{order}:{uuid.uuid4().hex[:8]}"}


class RemovesFirst(Right):
    """A worker that dies between removal and charge loses the payment."""

    def process(self) -> None:
        for order in self.redis.smembers("payments"):
            if self.redis.srem("payments", order):
                self.charge(order)


class LeaseForEver(Right):
    """A worker that dies leaves a payment that nobody may take."""

    def takes(self, order: str) -> bool:
        return bool(self.redis.set(f"lease:{order}", "1", nx=True))


class StartsThreads(Right):
    """Does its work where nobody sees it."""

    def process(self) -> None:
        worker = threading.Thread(target=super().process)
        worker.start()
        worker.join()


class GoesElsewhere(Right):
    """Asks a server that the contract does not know, and swallows what it is told."""

    def headers(self, order: str) -> dict[str, str]:
        try:
            requests.get("http://elsewhere.example/", timeout=1)
        except Exception:  # noqa: BLE001, S110 - as such code does.
            pass
        return super().headers(order)
