"""For each kind of fault a module that only it breaks, and one beside it that survives."""

from __future__ import annotations

import time
from typing import Any

import redis
import requests
from redis.backoff import NoBackoff
from redis.retry import Retry

PROVIDER = "http://api.pay.example/charges"


class Subject:
    def __init__(self, url: str) -> None:
        self.redis: Any = redis.Redis.from_url(url, decode_responses=True)

    def enqueue(self, order: str) -> None:
        self.redis.sadd("payments", order)

    def charge(self, order: str, key: str | None = None) -> None:
        requests.post(PROVIDER, json={"payment": order}, headers={"Idempotency-Key": key} if key else {}, timeout=5)


class CountsUnderLease(Subject):
    """Does not look whether it still holds its lease: a worker that was held up writes an old count."""

    def process(self) -> bool:
        if not self.redis.set("lease", "1", nx=True, px=30_000):
            return False
        count = int(self.redis.get("count") or 0)
        self.redis.set("count", count + 1)
        self.redis.delete("lease")
        return True


class CountsWhileItHoldsTheLease(Subject):
    """Writes where the lease is looked at in the same step."""

    ADD = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('INCR', KEYS[2]) end return 0"

    def process(self) -> bool:
        token = str(self.redis.incr("tokens"))
        if not self.redis.set("lease", token, nx=True, px=30_000):
            return False
        return bool(self.redis.eval(self.ADD, 2, "lease", "count", token))


class LeasesByItsOwnClock(Subject):
    """Writes down until when it has the lease, and others compare that with their own clocks. Looks and takes in one step."""

    TAKE = """
    local ends = redis.call('GET', KEYS[1])
    if ends and tonumber(ends) > tonumber(ARGV[1]) then return 0 end
    redis.call('SET', KEYS[1], ARGV[2])
    return 1
    """

    def process(self) -> None:
        self.redis.get("payments")
        if self.takes():
            self.charge("p1")

    def takes(self) -> bool:
        now = time.time()
        return bool(self.redis.eval(self.TAKE, 1, "lease", now, now + 30))


class LeasesByTheServersClock(LeasesByItsOwnClock):
    """The server says when a lease ends."""

    def takes(self) -> bool:
        return bool(self.redis.set("lease", "1", nx=True, px=30_000))


class DropsWhatTheServerRefuses(Subject):
    """Takes every error that the server answers with for a bad item. Loads its script once."""

    TAKE = "return redis.call('SET', KEYS[1], '1', 'NX', 'PX', 30000)"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.redis.set_retry(
            Retry(NoBackoff(), 1)
        )  # So that it is there again after a restart, with what it has loaded before.
        self.sha = self.redis.script_load(self.TAKE)

    def process(self) -> None:
        for order in self.redis.smembers("payments"):
            try:
                taken = self.take(order)
            except redis.exceptions.ResponseError:
                self.redis.srem("payments", order)
                continue
            if taken:
                self.charge(order, key=f"charge:{order}")
                self.redis.srem("payments", order)

    def take(self, order: str) -> bool:
        return bool(self.redis.evalsha(self.sha, 1, f"lease:{order}"))


class LeavesWhatTheServerRefuses(DropsWhatTheServerRefuses):
    """Fails, and somebody tries again later. Its script is sent each time."""

    def process(self) -> None:
        for order in self.redis.smembers("payments"):
            if self.take(order):
                self.charge(order, key=f"charge:{order}")
                self.redis.srem("payments", order)

    def take(self, order: str) -> bool:
        return bool(self.redis.eval(self.TAKE, 1, f"lease:{order}"))


class DropsWhileTheServerLoads(LeavesWhatTheServerRefuses):
    """Takes a server that is loading its data for one that has none."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.redis.set_retry(Retry(NoBackoff(), 0))

    def process(self) -> None:
        try:
            super().process()
        except redis.exceptions.BusyLoadingError:
            self.redis.delete("payments")


class MarksThenCharges(Subject):
    """Charges at most once, as long as Redis keeps the mark."""

    def process(self) -> None:
        for order in self.redis.smembers("payments"):
            if self.redis.set(f"done:{order}", "1", nx=True):
                self.charge(order)
                self.redis.srem("payments", order)


class MarksThenChargesWithKey(MarksThenCharges):
    """The provider knows the payment again, whatever Redis has forgotten."""

    def charge(self, order: str, key: str | None = None) -> None:
        super().charge(order, key or f"charge:{order}")


class ChargesAgainAfterTrouble(MarksThenCharges):
    """Takes what went wrong for not done, and does not tell the provider that it is the same payment."""

    def charge(self, order: str, key: str | None = None) -> None:
        try:
            answer = self.post(order, key)
            if answer.status_code < 500 and (answer.status_code != 200 or answer.json()):
                return
        except (requests.Timeout, ValueError):
            pass
        self.post(order, key)

    def post(self, order: str, key: str | None) -> requests.Response:
        return requests.post(PROVIDER, json={"payment": order}, headers={"Idempotency-Key": key} if key else {}, timeout=5)


class ChargesAgainWithTheKey(ChargesAgainAfterTrouble):
    """Tells the provider."""

    def charge(self, order: str, key: str | None = None) -> None:
        super().charge(order, key or f"charge:{order}")


class DropsWhatIsRefused(Subject):
    """Takes every 4xx for a card that is declined."""

    def process(self) -> None:
        for order in self.redis.smembers("payments"):
            headers = {"Idempotency-Key": f"charge:{order}"}
            answer = requests.post(PROVIDER, json={"payment": order}, headers=headers, timeout=5)
            if self.is_settled(answer.status_code):
                self.redis.srem("payments", order)

    def is_settled(self, status: int) -> bool:
        return status < 500


class KeepsWhatMayComeLater(DropsWhatIsRefused):
    """Knows that 429 says nothing of the card."""

    def is_settled(self, status: int) -> bool:
        return status in {200, 402}


class ChargesWithoutRedis(Subject):
    """Tries twice, and then does without the lease."""

    def process(self) -> None:
        if self.takes("p1"):
            self.charge("p1", self.key("p1"))
            self.redis.set("done:p1", "1")

    def takes(self, order: str) -> bool:
        for _ in range(2):
            try:
                return bool(not self.redis.get(f"done:{order}") and self.redis.set(f"lease:{order}", "1", nx=True))
            except redis.exceptions.RedisError:
                continue
        return True

    def key(self, order: str) -> str | None:
        return None


class ChargesWithoutRedisWithKey(ChargesWithoutRedis):
    """The same, where the provider knows the payment again."""

    def key(self, order: str) -> str | None:
        return f"charge:{order}"
