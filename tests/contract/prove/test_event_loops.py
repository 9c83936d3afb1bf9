"""An event loop under control does what is to be done in the order in which the library's own does it.

Each is tried in a loop of the standard library's, also in debug mode, and in one of a module's own kind,
which keeps the library's rounds.
"""

from __future__ import annotations

import asyncio
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any

import redis

from interlock.prove.world import REDIS_HOST

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

variable = ContextVar("variable", default="nothing")


def test_calls_come_in_rounds_and_timers_when_they_are_due(gave: Any) -> None:
    async def calls() -> list[str]:
        loop, told = asyncio.get_running_loop(), list[str]()

        def first() -> None:
            told.append("first")
            loop.call_soon(told.append, "next round")
            loop.call_later(0, told.append, "due at once")
            loop.call_later(2, told.append, "due later")
            loop.call_later(1, told.append, "due sooner")
            loop.call_later(1, told.append, "cancelled").cancel()
            never.cancel()

        loop.call_soon(first)
        never = loop.call_soon(told.append, "never")
        loop.call_soon(told.append, "same round")
        for number in range(3):
            await asyncio.sleep(0)
            told.append(f"round {number}")
        await asyncio.sleep(5)
        return told

    told = gave(calls)

    assert told[:3] == ["first", "same round", "round 0"]
    assert sorted(told[3:7]) == ["due at once", "next round", "round 1", "round 2"]
    assert told[7:] == ["due sooner", "due later"]
    assert told.index("next round") < told.index("round 1")


def test_many_timers_that_are_cancelled_are_cleared_away(gave: Any) -> None:
    async def cancels() -> int:
        loop: Any = asyncio.get_running_loop()
        for timer in [loop.call_later(60 + number, print) for number in range(300)]:
            timer.cancel()
        await asyncio.sleep(1)
        return len(loop._scheduled)  # noqa: SLF001 - nothing else tells.

    assert gave(cancels) == 0


def test_a_loop_that_is_stopped_ends_the_round(gave: Any) -> None:
    def by_hand(kind: type[asyncio.AbstractEventLoop]) -> list[str]:
        loop, told = kind(), list[str]()
        loop.call_soon(loop.stop)
        loop.call_soon(told.append, "same round")
        loop.call_soon(lambda: loop.call_soon(told.append, "next round"))
        loop.run_forever()
        told.append("stopped")
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.close()
        return told

    async def nested() -> list[str]:
        return await asyncio.to_thread(by_hand, type(asyncio.get_running_loop()))

    assert gave(nested) == ["same round", "stopped", "next round"]


def test_a_call_sees_the_variables_of_who_has_made_it(gave: Any) -> None:
    async def looks() -> list[str]:
        loop, told, empty = asyncio.get_running_loop(), list[str](), Context()
        variable.set("here")
        loop.call_soon(lambda: told.append(variable.get()))
        loop.call_soon(lambda: told.append(variable.get()), context=empty)
        await asyncio.sleep(0)
        return told

    assert gave(looks) == ["here", "nothing"]


def test_at_its_end_a_loop_closes_what_is_open(gave: Any) -> None:
    told: list[str] = []
    kept: list[Any] = []  # Or the interpreter clears it away.

    async def numbers() -> AsyncGenerator[int]:
        try:
            yield 1
            yield 2
        finally:
            told.append("generator closed")

    async def waits() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            told.append("task cancelled")

    async def leaves() -> str:
        kept.extend([asyncio.create_task(waits()), numbers()])
        await asyncio.sleep(0)
        await anext(kept[-1])
        asyncio.get_running_loop().call_soon(lambda: asyncio.get_running_loop().call_soon(told.append, "called"))
        return "left"

    assert gave(leaves) == "left"
    assert told[:3] == ["called", "task cancelled", "generator closed"]


def test_what_blocks_within_a_call_is_an_effect_and_time_may_pass_meanwhile(gave: Any) -> None:
    async def blocks() -> list[object]:
        loop, told = asyncio.get_running_loop(), list[object]()
        loop.call_later(1, told.append, "due")
        loop.call_soon(lambda: told.append(redis.Redis(REDIS_HOST, socket_timeout=None).blpop("never", 3)))
        for _ in range(4):
            await asyncio.sleep(0)
        return told

    assert gave(blocks) == [None, "due"]
