"""One face for the three queues, so that a row can ask the same of each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import redis
from published_queues import fixed, original
from redis.backoff import NoBackoff
from redis.retry import Retry

from retryqueue import Breaker, Declined, Payment, Policy, RetryQueue, State, Succeeded, Worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from retryqueue import Lease, Outcome

# Charges an order under an idempotency key (empty: without one); no is a decline, and an exception tells nothing.
Charge = Callable[[str, str], bool]

NEXT_SECOND_S = 1.0
SETTLE_TIMEOUT_S = 60.0
SOON_MS = 50


@dataclass(frozen=True, slots=True)
class Purchase:
    """What somebody buys.

    Attributes:
        key: Names the purchase. The published queues take no such name.
        fields: What they are given.
    """

    key: str
    fields: dict[str, Any]


def purchase(key: str, *, user_id: str = "user-1", names_order: bool = True, **changed: object) -> Purchase:
    """A purchase; without `names_order` its fields do not tell it from another one of the same user and amount."""
    fields = {"user_id": user_id, "amount": 4999, "currency": "EUR", "payment_method_id": "pm_1"}
    return Purchase(key, {**fields, **({"order_id": key} if names_order else {}), **changed})


class Subject(Protocol):
    """A queue under measurement, on one server."""

    name: str

    def enqueue(self, bought: Purchase) -> bool:
        """Offers a purchase, due at once; says whether the queue took it for a new one."""

    def stored(self) -> int:
        """How many payments wait in the queue."""

    def work(self, charge: Charge, workers: int = 1) -> None:
        """Lets so many workers begin at the same time, and waits until nothing is due."""

    def make_due(self) -> None:
        """Moves the due times of everything that waits into the past."""

    def close(self) -> None:
        """Closes its connections."""


class Published:
    """A published queue, as its authors would use it.

    Args:
        module: Which of the two.
        url: Its server.
        retry_delay_s: The queue's own; 0 where a row needs payments that are due at once.
        client: A client to use instead of an ordinary one.
    """

    def __init__(self, module: ModuleType, url: str, *, retry_delay_s: float = 0, client: redis.Redis | None = None) -> None:
        self.name = module.__name__.rpartition(".")[2]
        self.module = module
        self.retry_delay_s = retry_delay_s
        self._url = url
        self.client = client or plain_client(url)
        self.queue = self.on(self.client, lambda *_: True)

    def on(self, client: redis.Redis, charge: Charge) -> Any:
        """The queue on another client, with another provider."""
        return self.module.PaymentRetryQueue(
            client, lambda payment: charge(_order(payment), ""), retry_delay_s=self.retry_delay_s
        )

    def enqueue(self, bought: Purchase) -> bool:
        """Offers a purchase."""
        return bool(self.queue.enqueue(dict(bought.fields)))

    def stored(self) -> int:
        """How many payments wait in the sorted set."""
        return int(self.client.zcard(self.module.QUEUE))

    def work(self, charge: Charge, workers: int = 1) -> None:
        """Lets each worker poll once."""
        together = threading.Barrier(workers)

        def poll(_: int) -> None:
            with plain_client(self._url) as client:
                client.ping()
                together.wait()
                self.on(client, charge).process_retries()

        with ThreadPoolExecutor(workers) as threads:
            list(threads.map(poll, range(workers)))

    def make_due(self) -> None:
        """Sets every score to 0."""
        waiting: Any = self.client.zrange(self.module.QUEUE, 0, -1)
        if waiting:
            self.client.zadd(self.module.QUEUE, dict.fromkeys(waiting, 0))

    def put(self, raw: bytes) -> None:
        """Puts bytes into the sorted set, due at once."""
        self.client.zadd(self.module.QUEUE, {raw: 0})

    def members(self) -> list[tuple[bytes, float]]:
        """What waits, and when it is due, in seconds."""
        found: Any = self.client.zrange(self.module.QUEUE, 0, -1, withscores=True)
        return [(bytes(member), float(score)) for member, score in found]

    def dead_letters(self) -> int:
        """How many dead letters there are; the original has no place for them."""
        return int(self.client.llen(getattr(self.module, "DEAD_LETTERS", "none")))

    def keys(self) -> int:
        """How many idempotency keys there are."""
        return sum(1 for _ in self.client.scan_iter(f"{self.module.IDEMPOTENCY}:*", count=1000))

    def close(self) -> None:
        """Closes its connections."""
        self.client.close()


QUICK = Policy(lease_ms=100, backoff_base_ms=1)


@dataclass(slots=True)
class Ours:
    """`retryqueue`.

    Attributes:
        url: Its server.
        policy: Its numbers.
        patience_s: How long a call waits for the server.
    """

    url: str
    policy: Policy = QUICK
    patience_s: float = 5.0
    name: str = "ours"
    queue: RetryQueue = field(init=False)

    def __post_init__(self) -> None:
        self.queue = RetryQueue(self.url, policy=self.policy, durability="ignore", patience_s=self.patience_s)

    def enqueue(self, bought: Purchase) -> bool:
        """Offers a purchase."""
        return self.queue.enqueue(payment(bought)).answer == "new"

    def stored(self) -> int:
        """How many payments are scheduled."""
        return self.queue.status().counts[State.SCHEDULED]

    def work(self, charge: Charge, workers: int = 1) -> None:
        """Runs workers until nothing is leased and nothing due."""
        with working([self.worker(charge) for _ in range(workers)]):
            self.settle()

    def worker(self, charge: Charge, **options: Any) -> Worker:
        """A worker with this provider, which never takes the provider for unreachable."""
        usual: dict[str, Any] = {"policy": self.policy, "durability": "ignore", "breaker": Breaker(after=10**9), "seed": 1}
        return Worker(self.url, lambda lease: outcome(charge, lease), **{**usual, **options})

    def settle(self) -> None:
        """Waits until nothing is leased and nothing due."""
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        while True:
            status = self.queue.status()
            due = status.next_due_ms is not None and status.next_due_ms <= status.now_ms + SOON_MS
            if not due and not status.counts[State.LEASED]:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"not settled after {SETTLE_TIMEOUT_S} s: {status.counts}")
            time.sleep(0.01)

    def make_due(self) -> None:
        """Sets every due time to 0."""
        with redis.Redis.from_url(self.url) as client:
            waiting: Any = client.zrange("{payments:0}:due", 0, -1)
            if waiting:
                client.zadd("{payments:0}:due", dict.fromkeys(waiting, 0))

    def close(self) -> None:
        """Closes its connections."""
        self.queue.close()


def subject(name: str, url: str, *, retry_delay_s: float = 0, policy: Policy = QUICK) -> Subject:
    """The queue of this name on this server; each takes what it knows of the settings."""
    if name == "ours":
        return Ours(url, policy)
    return Published({"original": original, "fixed": fixed}[name], url, retry_delay_s=retry_delay_s)


def plain_client(url: str) -> redis.Redis:
    """An ordinary client that tries each command once, as redis-py did by default at the time of the incident."""
    return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0))


def payment(bought: Purchase) -> Payment:
    """The purchase as ours takes it: what only accompanies the call is context, every other field is part of the payment."""
    fields = dict(bought.fields)
    context = {name: fields.pop(name) for name in ("trace_id", "retry_count") if name in fields}
    amount_minor = fields.pop("amount", None)
    return Payment.from_fields(bought.key, {**fields, "amount_minor": amount_minor, "context": context})


def outcome(charge: Charge, lease: Lease) -> Outcome:
    """What a charge tells ours."""
    paid = charge(lease.key, lease.provider_key)
    return Succeeded(f"ch_{lease.key}") if paid else Declined("insufficient_funds")


@contextmanager
def working(workers: list[Worker]) -> Iterator[None]:
    """These workers at work; stopped at the end. What ends one early is raised."""
    with ThreadPoolExecutor(len(workers)) as threads:
        running = [threads.submit(worker.run) for worker in workers]
        try:
            yield
        finally:
            for worker in workers:
                worker.stop()
        for one in running:
            one.result()


def _order(found: object) -> str:
    """What a published payload says it is for; whatever it is, the published queues would charge it."""
    return str(found["order_id"]) if isinstance(found, dict) and "order_id" in found else repr(found)
