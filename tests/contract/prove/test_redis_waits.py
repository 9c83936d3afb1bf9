from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
import redis
import redis.asyncio

from interlock.core.verdict import Verdict
from interlock.prove.contract import contract
from interlock.prove.explore import Proof, prove
from interlock.prove.invariant import Invariant

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.world import World

pytestmark = pytest.mark.usefixtures("redis_server")


def proof_of(
    *tasks: Callable[[Any], object],
    is_so: Callable[[World], bool] = lambda _: True,
    faults: int = 0,
    protocol: int = 2,
    given: Callable[[Any], object] | None = None,
) -> Proof:
    """The proof of workers that are each given a client."""

    @contract(workers=len(tasks), faults=faults)
    def on_redis(world: World) -> None:
        def client() -> Any:
            return redis.Redis.from_url(world.redis_url, decode_responses=True, protocol=protocol, socket_timeout=None)

        if given is not None:
            world.given(lambda: given(client()))
        world.run(*(lambda task=task: task(client()) for task in tasks))
        world.sometimes("they do something", lambda: bool(world.history))
        world.recover(lambda: None, times=1)
        world.check(Invariant("as expected", lambda: None if is_so(world) else "it is not"))

    return prove(on_redis, budget_s=120)


def noted(told: list[Any], task: Callable[[Any], object]) -> Callable[[Any], None]:
    def note(client: Any) -> None:
        told.append(task(client))

    return note


PROTOCOLS = pytest.mark.parametrize("protocol", [2, 3])

# A command that waits, what lets it go on, and what it gives then.
WAITS: list[tuple[Callable[[Any], object], Callable[[Any], object], object]] = [
    (lambda client: client.blpop(["q", "r"], 60), lambda client: client.rpush("r", "x"), ["r", "x"]),
    (lambda client: client.brpop("q"), lambda client: client.rpush("q", "x"), ["q", "x"]),
    (lambda client: client.blmove("q", "done", 60), lambda client: client.rpush("q", "x"), "x"),
    (lambda client: client.brpoplpush("q", "done", 60), lambda client: client.rpush("q", "x"), "x"),
    (lambda client: client.bzpopmin("z", 60), lambda client: client.zadd("z", {"x": 2}), ["z", "x", 2.0]),
    (lambda client: client.blmpop(60, 1, "q", direction="LEFT"), lambda client: client.rpush("q", "x"), ["q", ["x"]]),
    (lambda client: client.xread({"s": "$"}, block=60_000), lambda client: client.xadd("s", {"a": "b"}), "{'a': 'b'}"),
    (
        lambda client: client.xreadgroup("g", "me", {"s": ">"}, block=60_000),
        lambda client: client.xadd("s", {"a": "b"}),
        "{'a': 'b'}",
    ),
]


def plain(value: Any) -> Any:
    return [plain(part) for part in value] if isinstance(value, tuple | list) else value


@PROTOCOLS
@pytest.mark.parametrize(("waits", "brings", "expected"), WAITS)
def test_a_command_that_waits_goes_on_when_its_item_comes(
    waits: Callable[[Any], object], brings: Callable[[Any], object], expected: object, protocol: int
) -> None:
    told: list[Any] = []

    def group(client: Any) -> None:
        client.xgroup_create("s", "g", id="$", mkstream=True)

    proof = proof_of(noted(told, waits), brings, protocol=protocol, given=group)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")
    if isinstance(expected, str) and expected.startswith("{"):
        assert any(expected in str(one) for one in told)
    else:
        assert plain(expected) in [plain(one) for one in told]


@PROTOCOLS
@pytest.mark.parametrize("waits", [one[0] for one in WAITS if one[0].__code__.co_consts and 60 in one[0].__code__.co_consts])
def test_who_waits_in_vain_is_told_so_after_the_time_it_has_set(waits: Callable[[Any], object], protocol: int) -> None:
    told: list[Any] = []

    def timed(client: Any) -> tuple[object, float]:
        began = time.monotonic()
        return waits(client), round(time.monotonic() - began, 3)

    proof = proof_of(noted(told, timed), protocol=protocol)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")
    assert set(told) == {(None, 60.0)}


def test_a_client_that_is_less_patient_than_its_command_is_timed_out() -> None:
    seen: list[float] = []

    @contract(workers=1, faults=0)
    def impatient(world: World) -> None:
        def task() -> None:
            client = redis.Redis.from_url(world.redis_url, socket_timeout=5)
            began = time.monotonic()
            with pytest.raises(redis.TimeoutError):
                client.blpop("q", 60)
            seen.append(round(time.monotonic() - began, 3))

        world.run(task)
        world.sometimes("its patience ends", lambda: bool(seen))
        world.recover(lambda: None, times=1)
        world.check(Invariant("it ends", lambda: None))

    assert prove(impatient, budget_s=60).verdict is Verdict.PASS
    assert set(seen) == {5.0}


def test_two_who_wait_for_one_item_do_not_both_get_it() -> None:
    def takes(client: Any) -> None:
        if client.blpop("q", 5):
            client.incr("taken")

    proof = proof_of(
        takes, takes, lambda client: client.rpush("q", "x"), is_so=lambda world: world.redis("GET", "taken") == b"1"
    )

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")


def test_an_item_that_its_taker_dies_with_is_lost() -> None:
    def takes(client: Any) -> None:
        if client.blpop("q", 5):
            client.set("done", 1)

    proof = proof_of(
        takes,
        given=lambda client: client.rpush("q", "x"),
        faults=1,
        is_so=lambda world: bool(world.redis("EXISTS", "done", "q")),
    )

    assert proof.violation is not None
    assert [step.fault for step in proof.violation.steps if step.fault] in (["crash after"], ["crash before"], ["lost reply"])


@PROTOCOLS
def test_messages_reach_who_has_subscribed_before(protocol: int) -> None:
    told: list[Any] = []

    def listens(client: Any) -> list[object]:
        with client.pubsub() as pubsub:
            pubsub.subscribe("news")
            pubsub.psubscribe("other*")
            found = []
            while message := pubsub.get_message(timeout=30):
                found += [message["data"]] if message["type"] in {"message", "pmessage"} else []
            return found

    proof = proof_of(
        noted(told, listens), lambda client: (client.publish("news", "a"), client.publish("other1", "b")), protocol=protocol
    )

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")
    assert ["a", "b"] in told
    assert [] in told  # It came too late.


FUNCTION = "#!lua name=news\nredis.register_function('tell', function(keys, args) redis.call('PUBLISH', keys[1], args[1]) end)"
WAYS_TO_TELL: dict[str, Callable[[Any], object]] = {
    "a command": lambda client: client.publish("news", "x"),
    "a transaction": lambda client: client.pipeline(transaction=True).set("k", 1).publish("news", "x").execute(),
    "a script": lambda client: client.eval("redis.call('PUBLISH', KEYS[1], ARGV[1])", 1, "news", "x"),
    "a function": lambda client: (client.function_load(FUNCTION, replace=True), client.fcall("tell", 1, "news", "x")),
}


@PROTOCOLS
@pytest.mark.parametrize("way", WAYS_TO_TELL)
def test_a_message_is_heard_however_it_is_sent_and_not_by_who_listens_no_more(way: str, protocol: int) -> None:
    """Also by the worker that clears up, to whose scripts nobody looks, and on connections that have served before."""
    told: list[Any] = []

    def hears(client: Any) -> object:
        with client.pubsub() as pubsub:
            pubsub.subscribe("news")
            pubsub.get_message(timeout=5)
            WAYS_TO_TELL[way](client)
            message = pubsub.get_message(timeout=5)
        return message and message["data"], client.publish("news", "y")

    @contract(workers=1, faults=0)
    def whoever_comes_hears(world: World) -> None:
        def task() -> None:
            told.append(hears(redis.Redis.from_url(world.redis_url, decode_responses=True, protocol=protocol)))

        world.run(task)
        world.recover(task, times=2)
        world.check(Invariant("it ends", lambda: None))

    proof = prove(whoever_comes_hears, budget_s=60)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")
    assert told
    assert set(told) == {("x", 0)}


def test_a_message_comes_between_any_two_effects_of_who_listens() -> None:
    """Though they touch nothing that whoever sends it touches."""
    noticed_after: set[int | None] = set()

    def listens(client: Any) -> None:
        with client.pubsub(ignore_subscribe_messages=True) as pubsub:
            pubsub.subscribe("news")
            pubsub.get_message(timeout=1)
            found = None
            for number in range(3):
                client.set(f"own:{number}", 1)
                found = number if pubsub.get_message(timeout=0) else found
            noticed_after.add(found)

    proof = proof_of(listens, lambda client: client.publish("news", "a"))

    assert (proof.verdict, proof.bounds) == (Verdict.PASS, ["all interleavings of 2 workers"])
    assert noticed_after == {None, 0, 1, 2}


def test_an_event_loop_waits_for_items_and_messages() -> None:
    told: list[Any] = []

    @contract(workers=2, faults=0)
    def in_a_loop(world: World) -> None:
        async def takes() -> None:
            async with redis.asyncio.Redis.from_url(world.redis_url, decode_responses=True, socket_timeout=None) as client:
                item, missed = await asyncio.gather(client.blpop("q", 60), client.blpop("never", 3))
                async with client.pubsub() as pubsub:
                    await pubsub.subscribe("news")
                    await pubsub.get_message(timeout=60)
                    await client.rpush("ready", "1")
                    message = await pubsub.get_message(timeout=60)
            told.append((*(item or ()), missed, message and message["data"]))

        async def brings() -> None:
            async with redis.asyncio.Redis.from_url(world.redis_url, socket_timeout=None) as client:
                await client.rpush("q", "x")
                await client.blpop("ready", 60)
                await client.publish("news", "a")

        world.run(takes, brings)
        world.recover(lambda: None, times=1)
        world.check(Invariant("it ends", lambda: None))

    proof = prove(in_a_loop, budget_s=120)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")
    assert set(told) == {("q", "x", None, "a")}


def test_who_has_cancelled_its_wait_takes_nothing() -> None:
    @contract(workers=2, faults=0)
    def gives_up(world: World) -> None:
        async def takes() -> None:
            client = redis.asyncio.Redis.from_url(world.redis_url)
            try:
                async with asyncio.timeout(1):
                    await client.blpop("q", 0)
            except TimeoutError:
                pass
            await asyncio.sleep(10)
            await client.aclose()

        async def brings() -> None:
            await asyncio.sleep(5)
            async with redis.asyncio.Redis.from_url(world.redis_url) as client:
                await client.rpush("q", "x")

        world.run(takes, brings)
        world.recover(lambda: None, times=1)
        world.check(Invariant("it is there", lambda: None if world.redis("LLEN", "q") == 1 else "it is gone"))

    proof = prove(gives_up, budget_s=60)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")


def test_a_lock_of_redis_py_keeps_others_out() -> None:
    def bumps(client: Any) -> None:
        with client.lock("lock", timeout=60, blocking_timeout=600):
            client.set("n", int(client.get("n") or 0) + 1)

    proof = proof_of(bumps, bumps, is_so=lambda world: world.redis("GET", "n") == b"2")

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")


@pytest.mark.parametrize(
    "command",
    [
        *("MONITOR", "CLIENT TRACKING ON", "CLIENT PAUSE 100", "CLIENT LIST", "CONFIG SET maxmemory 1000000"),
        *("CONFIG RESETSTAT", "ACL SETUSER bob on nopass", "SHUTDOWN NOSAVE", "REPLICAOF 127.0.0.1 1", "DEBUG SLEEP 0"),
    ],
)
def test_what_changes_the_server_for_others_is_unknown(command: str) -> None:
    proof = proof_of(lambda client: client.execute_command(*command.split()))

    assert proof.verdict is Verdict.UNKNOWN
    assert command.split(maxsplit=1)[0] in proof.reason


def test_waiting_for_replicas_takes_the_time_it_is_given() -> None:
    told: list[Any] = []

    def waits(client: Any) -> tuple[int, float]:
        began = time.monotonic()
        client.set("a", 1)
        return client.wait(1, 2000), round(time.monotonic() - began, 3)

    proof = proof_of(noted(told, waits))

    assert proof.verdict is Verdict.PASS
    assert set(told) == {(0, 2.0)}
