"""A worker: claims what is due, charges it, and tells the server what came of it."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from retryqueue.breaker import Breaker
from retryqueue.cancellation import cancelled
from retryqueue.charging import charger
from retryqueue.operations import Operations
from retryqueue.policy import Policy
from retryqueue.server import CONNECTIONS, AsyncServer
from retryqueue.shift import Settings, Shift

if TYPE_CHECKING:
    from retryqueue.address import AsyncClient
    from retryqueue.charging import Charge
    from retryqueue.conversation import Durability
    from retryqueue.events import Hook

logger = logging.getLogger("retryqueue")


class Worker:
    """Charges the payments of a queue that are due, in threads or in a loop.

    Killed at any point, it leaves payments that are leased; they are due again when their leases end.

    Args:
        server: An address (see `address`), or an asyncio client of redis-py that leaves replies as bytes.
        charge: Charges one payment and says what came of it: a coroutine function, which shares the worker's loop, or a plain
            function, which runs in threads. It must send `lease.provider_key` as the idempotency key. What it raises means
            that money may have moved. It should give up within the lease, though the lease is extended while it runs.
        name: The queue's name.
        policy: The queue's numbers.
        concurrency: How many payments are charged at the same time.
        prefetch: How many more are claimed ahead; by default as many.
        breaker: Opens when the provider does not answer.
        shards: As for `RetryQueue`, like everything that follows.
        durability: What to do if the server does not keep what it accepts.
        connections: How many connections there are at most.
        hook: Is told what happens.
        seed: Of the jitter.
    """

    def __init__(
        self,
        server: str | AsyncClient,
        charge: Charge,
        *,
        name: str = "payments",
        policy: Policy | None = None,
        concurrency: int = 8,
        prefetch: int | None = None,
        breaker: Breaker | None = None,
        shards: int | None = None,
        durability: Durability = "warn",
        connections: int = CONNECTIONS,
        hook: Hook | None = None,
        seed: int | None = None,
    ) -> None:
        if concurrency < 1 or (prefetch or 0) < 0:
            raise ValueError(f"concurrency must be at least 1 and prefetch at least 0, found {concurrency} and {prefetch}")
        self._settings = Settings(
            policy=policy or Policy(),
            concurrency=concurrency,
            prefetch=concurrency if prefetch is None else prefetch,
            breaker=breaker or Breaker(),
            hook=hook,
            chance=random.Random(seed),  # noqa: S311 - jitter, no secret.
        )
        self._server = server
        self._connections = connections
        self._queue = (name, shards, durability)
        self._charge = charge
        self._stopping = threading.Event()
        self._shift: tuple[asyncio.AbstractEventLoop, Shift] | None = None
        self._at_work_in = 0  # The process in which it is.

    def run(self) -> None:
        """Works until `stop` is called or, in the main thread, SIGTERM or SIGINT arrives."""
        asyncio.run(self._run())

    async def serve(self) -> None:
        """Works until `stop` is called. Redis may restart or fail over meanwhile; whatever else goes wrong, is raised.

        Cancelled, it stops in the same way, so that what was charged is told; cancelled once more, it ends at once.

        Raises:
            RuntimeError: If this worker is at work already.
        """
        if self._at_work_in == os.getpid():
            raise RuntimeError("this worker is at work already; make another one")
        self._at_work_in = os.getpid()
        work = asyncio.ensure_future(self._work())
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            self.stop()
            await work
            raise
        finally:
            self._at_work_in = 0

    async def _work(self) -> None:
        server = AsyncServer(self._server, connections=self._connections)
        threads = ThreadPoolExecutor(self._settings.concurrency, thread_name_prefix="charge")
        try:
            await self._serve(server, threads)
        except Exception:
            logger.critical("a worker ends because of an error", exc_info=True)
            raise
        finally:
            self._shift = None
            threads.shutdown(wait=False, cancel_futures=True)
            if isinstance(self._server, str):  # A client that was given is its giver's to close.
                await server.aclose()

    def stop(self) -> None:
        """Ends the work: what is being charged is finished, the rest is given back. May be called from any thread."""
        self._stopping.set()
        if self._shift is not None:
            loop, shift = self._shift
            with suppress(RuntimeError):  # The loop has ended meanwhile.
                loop.call_soon_threadsafe(shift.stop)

    async def _run(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, self.stop)
        await self.serve()

    async def _serve(self, server: AsyncServer, threads: ThreadPoolExecutor) -> None:
        name, shards, durability = self._queue
        operations = Operations(
            name=name,
            policy=self._settings.policy,
            shards=shards,
            clustered=server.clustered,
            durability=durability,
            patience_s=None,
            hook=self._settings.hook,
        )
        opening = asyncio.ensure_future(server.carry(operations.shards()))
        try:
            while not opening.done() and not self._stopping.is_set():  # A worker may be started before its server, and stopped.
                await asyncio.wait([opening], timeout=0.1)
            if self._stopping.is_set():
                return
        finally:
            await cancelled([opening])  # Or its connection would be open when all others are closed.
        shift = Shift(self._settings, server, operations, await opening, charger(self._charge, threads))
        self._shift = (asyncio.get_running_loop(), shift)
        if self._stopping.is_set():
            shift.stop()
        logger.info("worker %s begins: queue %s, %d at the same time", shift.name, name, self._settings.concurrency)
        await shift.work()
        logger.info("worker %s ends", shift.name)
