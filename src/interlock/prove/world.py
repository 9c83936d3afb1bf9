"""What a contract is shown: a Redis, a provider, subjects and workers; made anew for each schedule."""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit

from interlock.core.errors import UsageError, nearest
from interlock.prove.wire.http_wire import HttpWire
from interlock.prove.wire.redis_wire import RedisWire

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.scheduler import Run
    from interlock.prove.wire.http_wire import Request
    from interlock.prove.wire.redis_server import RedisServer
    from interlock.prove.wire.sockets import Wire

S = TypeVar("S")

MOODS = ("ok", "declines", "declines once")
REDIS_HOST = "redis.interlock"
_PAYMENT_FIELDS = ("payment", "payment_id", "order_id", "order", "id", "reference")


@dataclass(frozen=True, slots=True)
class Invariant:
    """Something that must hold at the end.

    Attributes:
        says: What must hold, for people.
        broken: Tells how it does not, or nothing.
    """

    says: str
    broken: Callable[[], str | None]


@dataclass(slots=True)
class Provider:
    """A payment provider with a ledger: the truth outside of the module.

    It honours idempotency keys as the real ones do: the same key is answered as it was the first time.

    Attributes:
        mood: `ok` charges; `declines` never does; `declines once` declines each payment's first request.
        charges: The payment of each charge, in the order in which they were made.
    """

    mood: str = "ok"
    payment_of: Callable[[Request], str] | None = None
    charges: list[str] = field(default_factory=list[str])
    asked: Counter[str] = field(default_factory=Counter[str])
    _answers: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict[str, tuple[int, dict[str, Any]]])

    def answer(self, request: Request) -> tuple[int, dict[str, Any]]:
        """Charges, or does not."""
        key = request.headers.get("idempotency-key")
        if key is not None and key in self._answers:
            return self._answers[key]
        answer = self._decided(self._payment(request))
        if key is not None:
            self._answers[key] = answer
        return answer

    def charged_once(self, payment: str) -> Invariant:
        """The payment is charged exactly once; not at all if the provider declines."""
        expected = 0 if self.mood == "declines" else 1
        return Invariant(f"{payment} is charged {_times(expected)}", lambda: self._wrong_count(payment, expected, expected))

    def charged_at_most_once(self, payment: str) -> Invariant:
        """The payment is not charged twice."""
        return Invariant(f"{payment} is charged at most once", lambda: self._wrong_count(payment, 0, 1))

    def _decided(self, payment: str) -> tuple[int, dict[str, Any]]:
        self.asked[payment] += 1
        if self.mood == "declines" or (self.mood == "declines once" and self.asked[payment] == 1):
            return 402, {"error": {"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds"}}
        self.charges.append(payment)
        return 200, {"id": f"ch_{len(self.charges)}", "status": "succeeded", "paid": True}

    def _payment(self, request: Request) -> str:
        if self.payment_of is not None:
            return self.payment_of(request)
        body = request.json()
        for fields in (body, _mapping(body.get("metadata"))):
            for name in _PAYMENT_FIELDS:
                if name in fields:
                    return str(fields[name])
        raise UsageError(
            f"no payment in the request {request.body[:200]!r}; say where it is: world.provider(..., payment_of=...)"
        )

    def _wrong_count(self, payment: str, least: int, most: int) -> str | None:
        count = self.charges.count(payment)
        return None if least <= count <= most else f"{payment} was charged {_times(count)}"


def _mapping(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


class World:
    """The surroundings of one schedule.

    Args:
        run: The schedule.
        redis: The proof's own server.
        mood: The provider's mood in this schedule.
    """

    def __init__(self, run: Run, redis: RedisServer, mood: str) -> None:
        self._run = run
        self._redis = redis
        self._mood = mood
        self._hosts: dict[str, Provider] = {}
        self._numbers: list[str] = [REDIS_HOST]
        self._wires: list[Wire] = []
        self.moods: tuple[str, ...] = ("ok",)
        self.setup: list[Callable[[], object]] = []
        self.task: Callable[[], object] | None = None
        self.recovery = (60.0, 12)
        self.invariants: list[Invariant] = []

    @property
    def redis_url(self) -> str:
        """The address of a Redis that holds nothing when a schedule begins."""
        return f"redis://{REDIS_HOST}:6379/0"

    def redis(self, *command: str | int) -> Any:
        """Asks the server something, for an invariant; no effect of any worker."""
        return self._redis.value(*command)

    def provider(
        self, url: str, *, moods: tuple[str, ...] = ("ok",), payment_of: Callable[[Request], str] | None = None
    ) -> Provider:
        """A provider behind an address. Every mood is tried.

        Args:
            url: Where the module sends its charges.
            moods: Of `ok`, `declines` and `declines once`.
            payment_of: Finds the payment in a request; by default a field of the JSON body with a usual name.
        """
        host = urlsplit(url).hostname
        if host is None:
            raise UsageError(f"no address of a provider: {url!r}")
        for mood in moods or ("",):
            if mood not in MOODS:
                raise UsageError(f"no mood of a provider: {mood!r}; {nearest(mood, MOODS)}")
        self.moods = moods
        provider = Provider(self._mood, payment_of)
        self._hosts[host] = provider
        self._numbers.append(host)
        return provider

    def subject(self, kind: Callable[..., S], *args: Any, **options: Any) -> Callable[[], S]:
        """A function that gives each worker an instance of its own, of an import of its own, as processes have."""
        made: dict[int, S] = {}

        def instance() -> S:
            worker = self._run.current().index
            if worker not in made:
                made[worker] = _imported_anew(kind)(*args, **options)
            return made[worker]

        return instance

    def given(self, task: Callable[[], object]) -> None:
        """What has happened before the workers begin. Nothing goes wrong in it."""
        self.setup.append(task)

    def run(self, task: Callable[[], object]) -> None:
        """What each worker does, once; and afterwards a worker that clears up, again and again."""
        self.task = task

    def recover(self, *, every_s: float, times: int) -> None:
        """How long and how often the worker that clears up waits and works: 12 times, 60 s apart, unless told otherwise."""
        self.recovery = (every_s, times)

    def check(self, *invariants: Invariant) -> None:
        """What must hold at the end."""
        self.invariants += invariants

    def wire(self, address: Any) -> Wire:
        """A new connection for a client."""
        host = self._host(address)
        wire: Wire
        if host == REDIS_HOST:
            wire = RedisWire(self._run, self._redis)
        elif host in self._hosts:
            wire = HttpWire(self._run, host, self._hosts[host])
        else:
            raise self._run.uncontrolled(f"a connection to {address!r}, which the contract does not know")
        self._wires.append(wire)
        return wire

    def close(self) -> None:
        """Ends all connections, as the end of a process does."""
        for wire in self._wires:
            wire.close()

    def numbered(self, host: str) -> str | None:
        """The number that a controlled host goes by."""
        name = self._host((host,))
        return f"240.0.0.{self._numbers.index(name) + 1}" if name in self._numbers else None

    def _host(self, address: Any) -> str:
        name = str(cast("tuple[object, ...]", address)[0]) if isinstance(address, tuple) else str(address)
        prefix, _, number = name.rpartition(".")
        if prefix == "240.0.0" and 0 < int(number) <= len(self._numbers):
            return self._numbers[int(number) - 1]
        return name


def _imported_anew(kind: Callable[..., S]) -> Callable[..., S]:
    """The same class or function from a fresh import of its module: what a module keeps is kept by each process apart."""
    name = kind.__module__
    before = sys.modules.get(name)
    if before is None or before.__spec__ is None or not hasattr(before, kind.__name__):
        return kind  # Made in a contract's own file, which no process of theirs imports.
    del sys.modules[name]
    try:
        return getattr(importlib.import_module(name), kind.__name__)  # type: ignore[no-any-return]
    finally:
        sys.modules[name] = before
