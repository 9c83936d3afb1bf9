from __future__ import annotations

import asyncio
import gc
import os
import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import permutations
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import redis
import redis.asyncio

from interlock.core.verdict import Verdict
from interlock.prove.contract import Contract, contract
from interlock.prove.explore import Proof, prove
from interlock.prove.invariant import Invariant
from interlock.prove.wire.http_wire import Answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from interlock.prove.world import World

PROVIDER = "https://api.pay.example/charges"


@pytest.fixture(autouse=True)
def _a_redis() -> None:
    if not shutil.which("redis-server") and not shutil.which("valkey-server"):
        message = "NOT RUN: no redis-server on this machine (make servers)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


class Queue:
    """A lease, a key that names the payment, and removal after the charge."""

    key: str | None = "charge:p1"

    def __init__(self, url: str) -> None:
        self.redis: Any = redis.asyncio.Redis.from_url(url, decode_responses=True)

    async def process(self) -> None:
        if await self.redis.get("paid") or not await self.redis.set("lease", "1", nx=True, px=30_000):
            return
        headers = {"Idempotency-Key": self.key} if self.key else {}
        async with httpx.AsyncClient() as client:
            await client.post(PROVIDER, json={"payment": "p1"}, headers=headers)
        await self.redis.set("paid", "1")


class WithoutKey(Queue):
    """Who dies after the charge leaves a payment that is charged again."""

    key = None


def charging_once(kind: type[Queue], *, faults: int) -> Contract:
    @contract(workers=2, faults=faults)
    def a_payment_is_charged_once(world: World) -> None:
        bank = world.provider(PROVIDER)
        queue = world.subject(kind, world.redis_url)
        world.run(lambda: queue().process())
        world.recover(every_s=60, times=2)
        world.check(bank.charged_once("p1"))

    return a_payment_is_charged_once


def test_an_async_queue_that_is_right_passes() -> None:
    proof = prove(charging_once(Queue, faults=0), budget_s=120)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")


def test_an_async_worker_that_is_killed_after_the_charge_charges_twice() -> None:
    proof = prove(charging_once(WithoutKey, faults=1), budget_s=120)

    assert proof.violation is not None
    assert proof.violation.broken == ("p1 was charged twice",)
    assert [step.fault for step in proof.violation.steps if step.fault] in (["crash before"], ["crash after"])


class LeavesIt(Queue):
    """Keeps its client for as long as it lives."""

    async def process(self) -> None:
        await asyncio.gather(self.redis.set("a", 1), self.redis.incr("n"))


class ClosesIt(Queue):
    """Has a client for each time, and closes it."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def process(self) -> None:
        async with redis.asyncio.Redis.from_url(self.url) as client, client.pubsub() as channel:
            await channel.subscribe("news")
            await client.set("a", 1)


@pytest.mark.parametrize("kind", [LeavesIt, ClosesIt])
def test_of_what_a_killed_worker_leaves_open_nobody_hears(kind: type[Queue], caplog: pytest.LogCaptureFixture) -> None:
    @contract(workers=1, faults=1, kinds=("crash before", "crash after"))
    def it_ends(world: World) -> None:
        queue = world.subject(kind, world.redis_url)
        world.run(lambda: queue().process())
        world.recover(times=1)
        world.check(Invariant("it ends", lambda: None))

    unraisable: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "unraisablehook", unraisable.append)
        proof = prove(it_ends, budget_s=60)
        gc.collect()

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")
    assert unraisable == []
    assert caplog.text == ""


def alone(
    task: Callable[[str], Awaitable[object]], *, broken: Callable[[World], str | None] | None = None
) -> tuple[Any, Proof]:
    """What one worker's coroutine gives back in each schedule, and the proof."""
    gave: list[object] = []

    @contract(workers=1, faults=0)
    def one_worker(world: World) -> None:
        world.http("https://slow.example", lambda _: Answer(hangs=True))

        async def noted() -> None:
            gave.append(await task(world.redis_url))

        world.run(noted)
        world.sometimes("it gives something back", lambda: bool(gave))
        world.recover(lambda: None, times=1)
        world.check(Invariant("as expected", lambda: broken(world) if broken else None))

    proof = prove(one_worker, budget_s=60)
    return gave, proof


async def _bump(client: Any) -> None:
    seen = int(await client.get("n") or 0)
    await client.set("n", seen + 1)


def test_tasks_of_one_worker_come_in_either_order() -> None:
    async def two_at_once(url: str) -> None:
        async with redis.asyncio.Redis.from_url(url) as client:
            await asyncio.gather(_bump(client), _bump(client))

    _, proof = alone(two_at_once, broken=lambda world: None if world.redis("GET", "n") == b"2" else "an update is lost")

    assert proof.violation is not None
    assert proof.violation.broken == ("an update is lost",)


def test_tasks_of_one_worker_that_share_nothing_wrong_pass() -> None:
    async def two_at_once(url: str) -> None:
        async with redis.asyncio.Redis.from_url(url) as client:
            await asyncio.gather(client.incr("n"), client.incr("n"))

    _, proof = alone(two_at_once, broken=lambda world: None if world.redis("GET", "n") == b"2" else "an update is lost")

    assert proof.verdict is Verdict.PASS
    assert proof.schedules > 3


def test_a_day_of_asyncio_takes_no_time() -> None:
    async def sleeps(_: str) -> float:
        loop = asyncio.get_running_loop()
        began, steady = loop.time(), time.monotonic()
        assert began == steady
        await asyncio.gather(asyncio.sleep(86_400), asyncio.sleep(3))
        return round(loop.time() - began, 3)

    gave, proof = alone(sleeps)

    assert proof.verdict is Verdict.PASS
    assert set(gave) == {86_400.0}


def test_timeouts_strike_in_virtual_time() -> None:
    async def impatient(_: str) -> list[object]:
        told: list[object] = []
        began = time.monotonic()
        async with httpx.AsyncClient(timeout=7) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.get("https://slow.example/")
            told.append(round(time.monotonic() - began, 3))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(2):
                    await client.get("https://slow.example/")
            told.append(round(time.monotonic() - began, 3))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 1)
        return [*told, round(time.monotonic() - began, 3)]

    gave, proof = alone(impatient)

    assert proof.verdict is Verdict.PASS
    assert gave[0] == [7.0, 9.0, 10.0]


def test_what_is_handed_to_a_thread_is_under_control() -> None:
    async def in_threads(url: str) -> bool:
        client = redis.Redis.from_url(url)

        def bump() -> int:
            assert asyncio._get_running_loop() is None  # noqa: SLF001 - as in a thread.
            seen = int(client.get("n") or 0)
            client.set("n", seen + 1)
            return seen

        loop = asyncio.get_running_loop()
        told = await asyncio.gather(asyncio.to_thread(bump), loop.run_in_executor(None, bump))
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        return sorted(told) == [0, 1]

    gave, proof = alone(in_threads, broken=lambda world: None if world.redis("GET", "n") == b"2" else "an update is lost")

    assert proof.violation is not None
    assert proof.violation.broken == ("an update is lost",)
    assert True in gave


def test_processes_of_a_worker_are_unknown() -> None:
    async def in_processes(_: str) -> None:
        with ProcessPoolExecutor(1) as pool:
            await asyncio.get_running_loop().run_in_executor(pool, time.time)

    _, proof = alone(in_processes)

    assert proof.verdict is Verdict.UNKNOWN
    assert "an executor with processes of its own" in proof.reason


def test_streams_and_tls_are_under_control() -> None:
    async def by_hand(_: str) -> bytes:
        reader, writer = await asyncio.open_connection("slow.example", 443, ssl=True)
        writer.write(b"GET / HTTP/1.1\r\nHost: slow.example\r\n\r\n")
        await writer.drain()
        try:
            async with asyncio.timeout(30):
                return await reader.read(10)
        except TimeoutError:
            writer.close()
            return b"nothing"

    gave, proof = alone(by_hand)

    assert proof.verdict is Verdict.PASS
    assert set(gave) == {b"nothing"}


def test_what_workers_do_at_once_is_tried_with_every_single_fault_and_with_each_command_late() -> None:
    """In as many schedules as it takes, and not in all orders of what is on its way."""
    seen: set[tuple[str, ...]] = set()

    @contract(workers=2, kinds=("reset",))
    def six_are_there(world: World) -> None:
        async def three(name: str) -> None:
            async with redis.asyncio.Redis.from_url(world.redis_url) as client:
                await asyncio.gather(*(client.set(f"{name}:{number}", "1") for number in range(3)))

        def broken() -> str | None:
            said = [
                step.effect.said.split()[1] for step in world.history if step.effect.said.startswith("SET a") and not step.fault
            ]
            seen.add(tuple(said))
            return None if world.redis("DBSIZE") <= 6 else "more"

        world.run(lambda: three("a"), lambda: three("b"))
        world.recover(lambda: None, times=1)
        world.check(Invariant("at most six", broken))

    proof = prove(six_are_there, budget_s=120)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")
    assert proof.bounds == ["all interleavings of 2 workers", "every single fault with 1 preemption at most"]
    assert proof.placements >= 6
    # One is lost, and of the other two either may be the first.
    assert seen >= {pair for one in ("a:0", "a:1", "a:2") for pair in permutations({"a:0", "a:1", "a:2"} - {one})}


def test_tasks_that_wait_for_time_again_and_again_are_tried_in_the_orders_that_differ() -> None:
    """Without a preemption any of the others may go on each time, which are many orders; and no effect tells them apart."""

    @contract(workers=2, kinds=("reset",))
    def four_sleep(world: World) -> None:
        def task(name: str) -> None:
            client = redis.Redis.from_url(world.redis_url)
            for number in range(2):
                world.wait(1)
                client.set(f"{name}:{number}", "1")

        world.run(*(partial(task, name) for name in "abcd"))
        world.recover(lambda: None, times=1)
        world.check(Invariant("at most eight", lambda: None if world.redis("DBSIZE") <= 8 else "more"))

    proof = prove(four_sleep, budget_s=120)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")
    assert proof.bounds == ["all interleavings of 4 workers", "every single fault in all interleavings of 4 workers"]
