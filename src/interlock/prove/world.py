"""What a contract is shown: a Redis, a provider, subjects and workers; made anew for each schedule."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit

from interlock.core.errors import UsageError, nearest
from interlock.prove.provider import MOODS, Provider
from interlock.prove.wire.http_wire import HttpWire
from interlock.prove.wire.redis_wire import RedisWire

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.invariant import Invariant
    from interlock.prove.scheduler import Run
    from interlock.prove.wire.http_wire import Request
    from interlock.prove.wire.redis_server import RedisServer
    from interlock.prove.wire.sockets import Wire

S = TypeVar("S")

REDIS_HOST = "redis.interlock"


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
        self._hosts: dict[str, Callable[[], Wire]] = {REDIS_HOST: lambda: RedisWire(run, redis)}
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
        self.serve(host, lambda: HttpWire(self._run, host, provider))
        return provider

    def serve(self, host: str, wire: Callable[[], Wire]) -> None:
        """Puts a host under control.

        Args:
            host: Its name, as the module's clients know it.
            wire: Makes what stands behind a new connection to it.
        """
        self._hosts[host] = wire

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
        if host not in self._hosts:
            raise self._run.uncontrolled(f"a connection to {address!r}, which the contract does not know")
        wire = self._hosts[host]()
        self._wires.append(wire)
        return wire

    def close(self) -> None:
        """Ends all connections, as the end of a process does."""
        for wire in self._wires:
            wire.close()

    def numbered(self, host: str) -> str | None:
        """The number that a controlled host goes by."""
        name = self._host((host,))
        return f"240.0.0.{list(self._hosts).index(name) + 1}" if name in self._hosts else None

    def _host(self, address: Any) -> str:
        name = str(cast("tuple[object, ...]", address)[0]) if isinstance(address, tuple) else str(address)
        prefix, _, number = name.rpartition(".")
        if prefix == "240.0.0" and 0 < int(number) <= len(self._hosts):
            return list(self._hosts)[int(number) - 1]
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
