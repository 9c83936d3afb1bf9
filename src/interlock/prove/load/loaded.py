"""What a contract is shown under load: the same names as in a schedule, with real servers and real processes behind them."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from interlock.core.errors import UsageError
from interlock.prove.provider import Provider, check_mood
from interlock.prove.scheduler import Run
from interlock.prove.world import Mishap, World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from interlock.prove.effect import Effect, Step
    from interlock.prove.load.servers import LoadedRedis
    from interlock.prove.load.timeline import Timeline
    from interlock.prove.wire.http_wire import Answer, Request
    from interlock.prove.wire.network import Wire

S = TypeVar("S")


class LoadedWorld(World):
    """The surroundings of one load.

    Args:
        timeline: Its clock.
        redis: Its server.

    Attributes:
        answers: By host: what answers there.
        providers: Those of them that charge, and the moods that the contract gives each.
    """

    def __init__(self, timeline: Timeline, redis: LoadedRedis) -> None:
        super().__init__(Run(lambda ready: ready[0]), None, "ok")
        self._timeline = timeline
        self._loaded = redis
        self._loops = _Loops()
        self.answers: dict[str, Callable[[Request], object]] = {}
        self.providers: list[tuple[Provider, tuple[str, ...]]] = []

    @property
    def now_s(self) -> float:
        """The time of the load, in seconds from its beginning."""
        return self._timeline.now_s

    @property
    def postgres_dsn(self) -> str:
        """There is none under load.

        Raises:
            UsageError: Always.
        """
        raise _refused("world.postgres_dsn")

    def given_schema(self, schema: str | Callable[[], object]) -> None:  # noqa: ARG002 - as in a schedule.
        """There is no Postgres under load.

        Raises:
            UsageError: Always.
        """
        raise _refused("world.given_schema")

    def sql(self, statement: str) -> list[tuple[Any, ...]]:  # noqa: ARG002 - as in a schedule.
        """There is no Postgres under load.

        Raises:
            UsageError: Always.
        """
        raise _refused("world.sql")

    def serve(self, host: str, wire: Callable[[], Wire]) -> None:  # noqa: ARG002 - as in a schedule.
        """No host is under control here, step by step.

        Raises:
            UsageError: Always.
        """
        raise _refused("world.serve")

    def clocks(self, *, ahead_s: tuple[float, ...]) -> None:  # noqa: ARG002 - as in a schedule.
        """All processes of a load share one clock.

        Raises:
            UsageError: Always.
        """
        raise _refused("world.clocks")

    @property
    def history(self) -> Sequence[Step]:
        """Nobody takes every step down here.

        Raises:
            UsageError: Always.
        """
        raise _refused("world.history")

    @property
    def mishaps(self) -> tuple[Mishap, ...]:
        """Nothing goes wrong on purpose here.

        Raises:
            UsageError: Always.
        """
        raise _refused("world.mishaps")

    def redis(self, *command: str | bytes | int) -> Any:
        """Asks the server something, for an invariant."""
        return self._loaded.value(*command)

    def provider(
        self, url: str, *, moods: tuple[str, ...] = ("ok",), payment_of: Callable[[Request], str] | None = None
    ) -> Provider:
        """A provider behind an address; in the first of its moods, unless its calls are payments."""
        for mood in moods:
            check_mood(mood)
        provider = Provider(moods[0] if moods else "ok", lambda: self._timeline.shared_s, payment_of)
        self.answers[_host(url)] = provider.answer
        self.providers.append((provider, moods))
        return provider

    def http(self, url: str, answer: Callable[[Request], Answer]) -> None:
        """Puts something else than payments behind an address."""
        self.answers[_host(url)] = answer

    def outside(self, thing: S) -> S:
        """The thing itself. What processes of a load call on it is their own copy's."""
        return thing

    def subject(self, kind: Callable[..., S], *args: Any, **options: Any) -> Callable[[], S]:
        """A function that gives each process one instance, which its threads share."""
        made: list[S] = []
        making = threading.Lock()

        def instance() -> S:
            with making:
                if not made:
                    made.append(kind(*args, **options))
            return made[0]

        return instance

    def effect(self, effect: Effect, perform: Callable[[], object]) -> None:  # noqa: ARG002 - as in a schedule.
        """Something that the contract itself does."""
        perform()

    def wait(self, seconds: float) -> None:
        """Sleeps."""
        time.sleep(seconds)

    def _whole(self, task: Callable[[], object]) -> Callable[[], object]:
        """The task; and if it is a coroutine, or makes one, that too, in the one event loop of its process."""

        def whole() -> object:
            made = task()
            if not inspect.iscoroutine(made):
                return made
            return asyncio.run_coroutine_threadsafe(made, self._loops.own()).result()

        return whole


class _Loops:
    """The event loop of each process, in a thread of its own."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._making = threading.Lock()

    def own(self) -> asyncio.AbstractEventLoop:
        with self._making:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, daemon=True).start()
            return self._loop


def _refused(name: str) -> UsageError:
    return UsageError(f"{name} is not there under load: expected a contract without it for --load")


def _host(url: str) -> str:
    parts = urlsplit(url)
    if parts.hostname is None:
        raise UsageError(f"no address: {url!r}")
    if parts.scheme != "http":
        raise UsageError(
            f"under load an address is http://, found {url!r}: expected a module that is told where its provider is"
        )
    return parts.hostname
