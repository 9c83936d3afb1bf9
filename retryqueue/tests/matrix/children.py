"""Workers in processes of their own, which are killed: at a chosen point by themselves, or by the test at any moment.

They are forked from one server process that has imported everything once, so each takes a few milliseconds to start.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import redis
import redis.asyncio

from matrix.ledger import Ledger
from matrix.subject import Published, outcome, plain_client, subject, working
from retryqueue import Policy, Worker, scripts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerProcess

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__])

START_TIMEOUT_S = 30.0


def die() -> None:
    """SIGKILL to this process: nothing is tidied up."""
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(START_TIMEOUT_S)


@contextmanager
def child(target: Callable[..., None], *arguments: Any, **named: Any) -> Iterator[ForkServerProcess]:
    """A process that runs `target`; gone at the end."""
    process = _context.Process(target=target, args=arguments, kwargs=named, daemon=True)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()
        process.close()


def killed(target: Callable[..., None], *arguments: Any, **named: Any) -> bool:
    """Runs `target` in a process and tells whether that was killed, as it was meant to be."""
    with child(target, *arguments, **named) as process:
        process.join(START_TIMEOUT_S)
        return process.exitcode == -signal.SIGKILL


def killed_while_charging(target: Callable[..., None], *arguments: Any, after_s: float) -> None:
    """Runs `target`, and kills its process so long after it has begun to charge."""
    told, tells = _context.Pipe(duplex=False)
    with told, child(target, *arguments, tells):
        tells.close()
        if not told.poll(START_TIMEOUT_S):
            raise TimeoutError(f"no charge within {START_TIMEOUT_S} s")
        told.recv()  # Or the end of a worker that never came to charge anything, which is an error of the test.
        time.sleep(after_s)


def dies_after_the_charge(name: str, url: str, books: str) -> None:
    """A worker that is killed when the provider has taken the money, before it hears so."""
    queue, ledger = subject(name, url), Ledger(books)

    def charge(order: str, key: str) -> bool:
        ledger.charge(order, key)
        die()
        return True

    queue.work(charge)


def tells_when_it_charges(name: str, url: str, books: str, tells: Connection) -> None:
    """A worker that tells when it begins to charge: 5 ms before the money moves, and 10 ms before the reply comes."""
    queue, ledger = subject(name, url), Ledger(books, before_s=0.005, after_s=0.005)

    def charge(order: str, key: str) -> bool:
        tells.send(order)
        return ledger.charge(order, key)

    queue.work(charge)


class DiesAtDeadLetters(redis.Redis):
    """A client whose process is killed when it wants to write a dead letter."""

    def lpush(self, *_: Any, **__: Any) -> Any:
        """Never comes to it."""
        die()


def dies_at_the_dead_letters(name: str, url: str) -> None:
    """A worker of a published queue that is killed between taking a payment out and making it a dead letter."""
    queue = subject(name, url)
    if isinstance(queue, Published):
        queue.on(DiesAtDeadLetters.from_url(url), lambda *_: False).process_retries()


class DiesAtTheVerdict(redis.asyncio.Redis):
    """A client whose process is killed when a decline is told: before the server hears it, or when it has."""

    server_hears: bool = False

    async def execute_command(self, *parts: Any, **options: Any) -> Any:
        """Carries out everything else."""
        if len(parts) < 2 or parts[1] not in {scripts.function("reschedule"), scripts.digest("reschedule", flagged=True)}:
            return await super().execute_command(*parts, **options)  # type: ignore[no-untyped-call]
        if self.server_hears:
            await super().execute_command(*parts, **options)  # type: ignore[no-untyped-call]
        return die()


def dies_at_the_verdict(url: str, policy: Policy, *, server_hears: bool) -> None:
    """A worker of ours that is killed when it tells of the decline of a payment's last attempt."""
    client = DiesAtTheVerdict(connection_pool=redis.asyncio.ConnectionPool.from_url(url))
    client.server_hears = server_hears
    worker = Worker(client, lambda lease: outcome(lambda *_: False, lease), policy=policy, durability="ignore")
    with working([worker]):
        time.sleep(START_TIMEOUT_S)


def pings(url: str, tells: Connection) -> None:
    """Another client of the server: pings until it is told to end, and tells the longest wait, in seconds."""
    worst_s = 0.0
    with plain_client(url) as client:
        client.ping()
        tells.send("pinging")
        while not tells.poll():
            began_s = time.perf_counter()
            client.ping()
            worst_s = max(worst_s, time.perf_counter() - began_s)
            time.sleep(0.0005)
    tells.send(worst_s)


@contextmanager
def another_client(url: str) -> Iterator[list[float]]:
    """Pings meanwhile; afterwards the list holds the longest wait, in seconds."""
    worst_s: list[float] = []
    ours, theirs = _context.Pipe()
    with ours, child(pings, url, theirs):
        theirs.close()
        ours.recv()
        try:
            yield worst_s
        finally:
            ours.send("end")
            with suppress(EOFError):
                worst_s.append(ours.recv())
