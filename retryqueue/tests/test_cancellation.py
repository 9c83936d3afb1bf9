"""Cancellations that are swallowed on their way, by Python, redis-py or a charge function, and end their tasks all the same."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
import redis.asyncio

from retryqueue import Ambiguous, Payment, Policy, RetryQueue, ServerRefused, Succeeded, Worker, wakeup
from retryqueue.cancellation import heeded
from retryqueue.conversation import Send, Talk
from retryqueue.server import AsyncServer
from retryqueue.shards import Shard

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from servers import RedisServer

    from retryqueue import Lease, Outcome

T = TypeVar("T")

LONGEST_END_S = 30.0
STEPS = 60  # A command takes fewer of a loop's rounds than this, opening its connection included.


def in_a_loop(main: Coroutine[Any, Any, T]) -> T:
    """Runs it in a thread that is left behind if it does not end: what swallows cancellations holds up `asyncio.run` too."""
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(asyncio.run(main))
        except BaseException as error:  # noqa: BLE001 - the test looks at it.
            answer.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return answer.result(timeout=2 * LONGEST_END_S)


def ping() -> Talk[Any]:
    return (yield Send(("PING",)))


async def cancelled_after(rounds: int, coroutine: Coroutine[Any, Any, Any], begun: asyncio.Event | None = None) -> str:
    """How a task ends that is cancelled after so many rounds of the loop, once it has begun."""
    task = asyncio.create_task(coroutine)
    if begun is not None:
        await begun.wait()
    for _ in range(rounds):
        await asyncio.sleep(0)
    if task.done():
        return "done before"
    task.cancel()
    await asyncio.wait([task], timeout=LONGEST_END_S)
    return "cancelled" if task.cancelled() else "done all the same" if task.done() else "goes on"


def test_a_command_that_is_cancelled_at_any_step_ends_as_cancelled(server: RedisServer) -> None:
    async def main() -> set[str]:
        ours = AsyncServer(server.url, connections=2)
        await ours.carry(ping())
        ends = {await cancelled_after(rounds, ours.carry(ping())) for rounds in range(STEPS)}
        await ours.aclose()
        return ends

    assert in_a_loop(main()) <= {"cancelled", "done before"}


def test_a_listener_that_is_cancelled_at_any_step_ends(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakeup, "QUIET_S", 0.0)  # It pings at once.

    async def main() -> list[str]:
        async with redis.asyncio.Redis.from_url(server.url, socket_timeout=2.0) as client:
            ends = []
            for rounds in range(STEPS):
                begun = asyncio.Event()
                listening = wakeup.listen(client, [Shard("payments", 0)], lambda _, begun=begun: begun.set())  # type: ignore[misc]
                ends.append(await cancelled_after(rounds, listening, begun))
            return ends

    assert in_a_loop(main()) == ["cancelled"] * STEPS


class SwallowingPubSub(redis.asyncio.client.PubSub):
    """A subscription whose ping is cancelled in the moment in which it was sent, as Python 3.11 has it."""

    pinged = threading.Event()

    async def ping(self, message: Any = None) -> bool:
        """Sends the ping and swallows the cancellation."""
        await super().ping(message)
        self.pinged.set()
        try:
            await asyncio.sleep(LONGEST_END_S)
        except asyncio.CancelledError:
            return True
        return True


class SwallowingRedis(redis.asyncio.Redis):
    """A client with such subscriptions."""

    def pubsub(self, **settings: Any) -> SwallowingPubSub:
        """A subscription that swallows cancellations."""
        return SwallowingPubSub(self.connection_pool, **settings)


def order() -> Payment:
    return Payment(key="order-1", user_id="u1", amount_minor=4999, currency="EUR", payment_method_id="pm_1")


def test_a_worker_that_is_stopped_while_its_listener_pings_ends(
    server: RedisServer, queue: RetryQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeup, "QUIET_S", 0.01)
    SwallowingPubSub.pinged.clear()
    queue.enqueue(order())

    async def main() -> None:
        async def charge(_: Lease) -> Outcome:
            await asyncio.to_thread(SwallowingPubSub.pinged.wait, LONGEST_END_S)
            worker.stop()
            return Succeeded("ch_1")

        async with SwallowingRedis.from_url(server.url) as client:
            worker = Worker(client, charge, durability="ignore", policy=Policy(lease_ms=60_000))
            async with asyncio.timeout(LONGEST_END_S):
                await worker.serve()

    in_a_loop(main())


def test_a_worker_that_fails_leaves_no_task_behind_though_its_charge_function_swallows_the_cancellation(
    server: RedisServer, queue: RetryQueue
) -> None:
    queue.enqueue(order())

    async def charge(_: Lease) -> Outcome:
        with server.client() as client:  # The next extension fails for good.
            client.set("{payments:0}:leased", "no sorted set")
        try:
            await asyncio.sleep(2 * LONGEST_END_S)
        except asyncio.CancelledError:
            return Ambiguous("interrupted")
        return Succeeded("ch_1")

    async def main() -> int:
        worker = Worker(server.url, charge, durability="ignore", policy=Policy(lease_ms=300))
        with pytest.raises(ServerRefused, match="WRONGTYPE"):
            await worker.serve()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        return len((await asyncio.wait(others, timeout=LONGEST_END_S))[1]) if others else 0

    assert in_a_loop(main()) == 0


@pytest.mark.parametrize("ends_by", ["stop", "cancelled twice"])
def test_a_worker_that_ends_while_it_begins_leaves_no_task_behind_at_any_step(server: RedisServer, ends_by: str) -> None:
    async def left_after(rounds: int) -> int:
        worker = Worker(server.url, lambda _: Succeeded("ch"), durability="ignore")
        serving = asyncio.create_task(worker.serve())
        for _ in range(rounds):
            await asyncio.sleep(0)
        if ends_by == "stop":
            worker.stop()
        else:
            serving.cancel()
            await asyncio.sleep(0)
            serving.cancel()
        await asyncio.wait([serving])
        return len(asyncio.all_tasks() - {asyncio.current_task()})

    async def main() -> list[int]:
        return [await left_after(rounds) for rounds in range(STEPS // 2)]

    assert in_a_loop(main()) == [0] * (STEPS // 2)


@pytest.mark.parametrize("ends", [None, redis.ConnectionError("gone")])
def test_whoever_has_caught_a_cancellation_may_still_ask(ends: Exception | None) -> None:
    async def answer() -> str:
        await asyncio.sleep(0)
        if ends is not None:
            raise ends
        return "told"

    async def main() -> str:
        try:
            await asyncio.sleep(LONGEST_END_S)
        except asyncio.CancelledError:
            try:
                return await heeded(answer())
            except redis.ConnectionError as error:
                return str(error)
        return "not cancelled"

    async def cancelled() -> str:
        task = asyncio.create_task(main())
        await asyncio.sleep(0)
        task.cancel()
        return await task

    assert in_a_loop(cancelled()) == ("told" if ends is None else "gone")
