from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
import redis

from interlock.core.verdict import Verdict
from interlock.prove.contract import contract
from interlock.prove.effect import EVERYTHING
from interlock.prove.explore import prove
from interlock.prove.invariant import Invariant
from interlock.prove.wire.listener import command
from interlock.prove.wire.redis_server import running_redis

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.explore import Proof
    from interlock.prove.world import World

SCRIPT = "return redis.call('INCR', KEYS[1])"
UNDECLARED = "a script touches stock, which it does not declare: no Redis Cluster runs it"

# Of two workers with nothing in common: twice either comes first, with no preemption and with one; then any order will do.
ONE_ORDER = 5


@pytest.fixture
def scripted(redis_server: None, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ARG001 - it must be there.
    from pathlib import Path  # noqa: PLC0415

    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "prove_subjects")
    import scripted  # type: ignore[import-not-found]  # noqa: PLC0415 - a subject is imported as its users would.

    return scripted


def proof_of(kind: Any) -> Proof:
    def nothing_is_lost(world: World) -> None:
        stock = world.subject(kind, world.redis_url)

        def lost() -> str | None:
            value = (world.redis("GET", "stock") or b"").decode()
            return None if sorted(value) == ["a", "b"] else f"the stock is {value!r}"

        world.run(lambda: stock().add("a"), lambda: stock().add("b"))
        world.recover(lambda: None, times=1)
        world.check(Invariant("both are in stock", lost))

    return prove(contract(faults=0)(nothing_is_lost), budget_s=60)


@pytest.mark.parametrize(
    ("name", "verdict", "notes"),
    [
        ("Declares", Verdict.PASS, []),
        ("Hides", Verdict.PASS, [UNDECLARED]),
        ("NamesNone", Verdict.PASS, [UNDECLARED]),
        ("Reads", Verdict.FAIL, [UNDECLARED]),
        ("Watches", Verdict.PASS, []),
        ("WatchesTooLate", Verdict.FAIL, []),
    ],
)
def test_what_an_effect_really_touches_decides_which_orders_are_run(
    scripted: Any, name: str, verdict: Verdict, notes: list[str]
) -> None:
    proof = proof_of(getattr(scripted, name))

    assert (proof.verdict, proof.notes, proof.reason) == (verdict, notes, "")


@pytest.mark.usefixtures("redis_server")
def test_no_schedule_finds_a_script_that_an_earlier_one_has_loaded() -> None:
    found: list[bool] = []

    @contract(workers=2, faults=0)
    def loads(world: World) -> None:
        def load() -> None:
            client = redis.Redis.from_url(world.redis_url)
            found.append(bool(client.script_exists(hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest())[0]))
            client.eval(SCRIPT, 1, "key")

        world.run(load, lambda: redis.Redis.from_url(world.redis_url).incr("key"))
        world.recover(lambda: None, times=1)
        world.check(Invariant("it ends", lambda: None))

    proof = prove(loads, budget_s=30)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")
    assert len(found) > 1
    assert not any(found)


@pytest.mark.usefixtures("redis_server")
def test_the_server_forgets_a_script_that_it_was_given_by_the_proof_itself() -> None:
    with running_redis() as server:
        number = server.value("SCRIPT", "LOAD", SCRIPT)
        server.clear()

        assert server.value("SCRIPT", "EXISTS", number) == [0]


@pytest.mark.usefixtures("redis_server")
def test_the_server_tells_what_scripts_and_functions_call() -> None:
    library = "#!lua name=lib\nredis.register_function('put', function(keys) return redis.call('SET', 'a b', '\\1\\n\"') end)"
    with running_redis() as server:
        if server.value("COMMAND", "INFO", "FUNCTION") == [None]:
            pytest.skip("functions are younger than this server")
        server.value("FUNCTION", "LOAD", library)
        answer, called = server.heard(lambda: server.value("FCALL", "put", 0))
        assert (answer, called) == (b"OK", [[b"SET", b"a b", b'\1\n"']])
        assert server.heard(lambda: server.value("GET", "a b")) == (b'\1\n"', [])


def test_a_line_of_monitor_is_read_as_it_was_meant() -> None:
    assert command(rb'+1729175837.250000 [0 lua] "SET" "a\\b \"c\"" "\x00\n"') == [b"SET", rb'a\b "c"', b"\x00\n"]


def orders_of(put: Callable[[Any], object], *tasks: Callable[[Any], object], seen: str) -> list[object]:
    """What a key holds in the end, in the schedules of workers that are given a client."""
    found: list[object] = []

    @contract(workers=len(tasks), faults=0)
    def in_every_order(world: World) -> None:
        def client() -> Any:
            return redis.Redis.from_url(world.redis_url, decode_responses=True)

        world.given(lambda: put(client()))
        world.run(*(lambda task=task: task(client()) for task in tasks))
        world.recover(lambda: None, times=1)
        world.check(Invariant("noted", lambda: found.append(world.redis("GET", seen))))

    assert prove(in_every_order, budget_s=60).verdict is Verdict.PASS
    return found


@pytest.mark.usefixtures("redis_server")
def test_who_of_a_group_reads_first_gets_the_first_entry() -> None:
    def put(client: Any) -> None:
        client.xgroup_create("stream", "group", mkstream=True)
        for number in ("1-1", "1-2"):
            client.xadd("stream", {"payment": "p"}, id=number)

    def read(client: Any, name: str) -> None:
        [(_, [(number, _)])] = client.xreadgroup("group", name, {"stream": ">"}, count=1)
        client.set(name, number)

    def says_so_and_reads(client: Any) -> None:
        client.set("go", "1")
        read(client, "A")

    def reads_when_told(client: Any) -> None:
        if client.get("go"):
            read(client, "B")

    assert set(orders_of(put, says_so_and_reads, reads_when_told, seen="B")) == {None, b"1-1", b"1-2"}


@pytest.mark.usefixtures("redis_server")
def test_what_a_sort_looks_at_by_a_pattern_is_read_by_it() -> None:
    def put(client: Any) -> None:
        client.rpush("items", "1", "2")
        client.mset({"weight_1": "1", "weight_2": "2"})

    def says_so_and_sorts(client: Any) -> None:
        client.set("go", "1")
        client.set("order", ",".join(client.sort("items", by="weight_*")))

    def changes_when_told(client: Any) -> None:
        if client.get("go"):
            client.set("weight_1", "9")

    assert set(orders_of(put, says_so_and_sorts, changes_when_told, seen="order")) == {b"1,2", b"2,1"}


BY_THE_CLOCK = "redis.call('TIME') redis.call('PUBLISH', 'news', KEYS[1]) return redis.call('SET', KEYS[1], 'x')"
LIBRARY = """#!lua name=lib
redis.register_function('put', function(keys) redis.call('TIME') return redis.call('SET', keys[1], 'x') end)
"""


def proof_of_two(task: Callable[[Any, str], object], *, given: Callable[[Any], object] = lambda _: None) -> Proof:
    """Of two workers that each have a key of their own."""

    @contract(workers=2, faults=0)
    def both_are_there(world: World) -> None:
        def client() -> Any:
            return redis.Redis.from_url(world.redis_url)

        world.given(lambda: given(client()))
        world.run(lambda: task(client(), "a"), lambda: task(client(), "b"))
        world.recover(lambda: None, times=1)
        world.check(Invariant("both are there", lambda: None if world.redis("DBSIZE") == 2 else "one is missing"))

    return prove(both_are_there, budget_s=60)


@pytest.mark.usefixtures("redis_server")
def test_the_time_is_no_thing_that_scripts_have_in_common() -> None:
    proof = proof_of_two(lambda client, key: client.eval("redis.call('TIME') return redis.call('SET', KEYS[1], 'x')", 1, key))

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")
    assert proof.schedules == ONE_ORDER


@pytest.mark.usefixtures("redis_server")
def test_a_library_of_functions_is_one_that_calls_and_lists_read_and_a_load_writes() -> None:
    def loads(client: Any) -> None:
        client.execute_command("FUNCTION", "LOAD", "REPLACE", LIBRARY)

    def looks_and_calls(client: Any, key: str) -> None:
        client.execute_command("FUNCTION", "LIST", "LIBRARYNAME", "lib")
        client.fcall("put", 1, key)

    def loads_and_calls(client: Any, key: str) -> None:
        loads(client)
        client.fcall("put", 1, key)

    with running_redis() as server:
        if server.value("COMMAND", "INFO", "FUNCTION") == [None]:
            pytest.skip("functions are younger than this server")
    apart, together = proof_of_two(looks_and_calls, given=loads), proof_of_two(loads_and_calls)

    assert (apart.verdict, together.verdict) == (Verdict.PASS, Verdict.PASS), apart.reason
    assert apart.schedules == ONE_ORDER < together.schedules


@pytest.mark.usefixtures("redis_server")
def test_a_channel_is_no_key_that_a_script_would_have_to_declare() -> None:
    assert proof_of_two(lambda client, key: client.eval(BY_THE_CLOCK, 1, key)).notes == []


def told(client: Any, task: Callable[[], object]) -> None:
    """Notes whether a script was there."""
    try:
        task()
    except redis.exceptions.NoScriptError:
        client.set("was", "missing")
    else:
        client.set("was", "there")


@pytest.mark.usefixtures("redis_server")
@pytest.mark.parametrize("who", ["loads", "flushes"])
def test_a_script_that_another_worker_loads_or_forgets_may_be_missing(who: str) -> None:
    digest = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()

    def loads(client: Any) -> None:
        client.script_load(SCRIPT)

    def flushes(client: Any) -> None:
        client.script_flush()

    def calls(client: Any) -> None:
        told(client, lambda: client.evalsha(digest, 1, "n"))

    def given(client: Any) -> None:
        if who == "flushes":
            loads(client)

    assert set(orders_of(given, loads if who == "loads" else flushes, calls, seen="was")) == {b"missing", b"there"}


@pytest.mark.usefixtures("redis_server")
def test_who_loads_a_script_that_is_missing_does_well_in_either_order_which_costs_nothing() -> None:
    def calls(client: Any, key: str) -> None:
        client.register_script("return redis.call('SET', KEYS[1], 'x')")(keys=[key])

    proof = proof_of_two(calls)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")
    assert proof.schedules == ONE_ORDER


@pytest.mark.usefixtures("redis_server")
@pytest.mark.parametrize(
    "look",
    [
        lambda client: client.info("keyspace").get("db0", {}).get("keys", 0),
        lambda client: client.dbsize(),
        lambda client: len(client.keys("*")),
        lambda client: len(list(client.scan_iter())),
        lambda client: int(client.randomkey() is not None),
    ],
    ids=["INFO", "DBSIZE", "KEYS", "SCAN", "RANDOMKEY"],
)
def test_what_looks_at_all_keys_comes_before_and_after_what_others_write(look: Callable[[Any], int]) -> None:
    def looks(client: Any) -> None:
        client.set("seen", look(client))

    found = orders_of(lambda client: client.set("go", 1), looks, lambda client: client.delete("go"), seen="seen")

    assert set(found) == {b"0", b"1"}


@pytest.mark.usefixtures("redis_server")
@pytest.mark.parametrize("words", ["DBSIZE", "KEYS *", "SCAN 0", "RANDOMKEY", "INFO keyspace"])
def test_two_that_only_look_at_all_keys_have_nothing_in_common(words: str) -> None:
    with running_redis() as server:
        reads, writes = server.footprints.of(words.encode().split())

    assert (reads, writes) == (frozenset({EVERYTHING}), frozenset())
