"""Workers that change nothing break nothing: that is unknown, with what was found and what to do."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
import requests

from interlock.core.verdict import Verdict
from interlock.prove.contract import Contract, contract
from interlock.prove.contracts import Ledger, Lock, RetryQueue
from interlock.prove.explore import Proof, prove
from interlock.prove.invariant import Invariant
from interlock.prove.loading import apart
from interlock.prove.wire.redis_server import running_redis

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.world import World

pytestmark = pytest.mark.usefixtures("redis_server")

SUBJECTS = Path(__file__).parent / "subjects"
LIMIT_S = 60
REMOVES_WHAT_IS_DUE = "return redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, ARGV[1])"


def under(*tasks: Callable[[Any], object], faults: int = 0, seen: Callable[[World], bool] | None = None) -> Contract:
    """A contract that nothing breaks, of workers that are each given a client. Before and after them something is written."""

    @contract(workers=len(tasks), faults=faults)
    def holds(world: World) -> None:
        def client() -> Any:
            return redis.Redis.from_url(world.redis_url, decode_responses=True)

        world.provider("http://pay.example/charges")
        world.given(lambda: client().zadd("due", {"p1": 60}))
        world.run(*(lambda task=task: task(client()) for task in tasks))
        if seen is not None:
            world.sometimes("a worker finds p1", lambda: seen(world))
        world.recover(lambda: client().zrem("due", "p1"), times=1)
        world.check(Invariant("p1 is done", lambda: None if world.redis("ZCARD", "due") == 0 else "p1 is still there"))

    return holds


def proof_of(*tasks: Callable[[Any], object], jobs: int = 1, **options: Any) -> Proof:
    return prove(under(*tasks, **options), budget_s=LIMIT_S, jobs=jobs)


def returns_at_once(_: Any) -> None:
    """Nothing is due, it thinks."""


def looks(client: Any) -> None:
    client.zrangebyscore("due", 0, 0)


def removes_nothing(client: Any) -> None:
    client.zrem("due", "p2")


def removes_nothing_in_a_script(client: Any) -> None:
    client.eval(REMOVES_WHAT_IS_DUE, 1, "due", 0)


@pytest.mark.parametrize(
    ("task", "did"),
    [
        (returns_at_once, "they did nothing at all"),
        (looks, "they did `ZRANGEBYSCORE due 0 0`"),
        (removes_nothing, "they did `ZREM due p2`"),
        (removes_nothing_in_a_script, "they did `EVAL script 1 due 0`"),
    ],
)
@pytest.mark.parametrize("jobs", [1, 2])
def test_workers_that_change_nothing_are_unknown_however_right_it_ends(
    task: Callable[[Any], object], did: str, jobs: int
) -> None:
    proof = proof_of(task, task, faults=1, jobs=jobs)

    assert (proof.verdict, proof.violation) == (Verdict.UNKNOWN, None)
    assert proof.reason.startswith(f"the workers changed nothing, in {proof.schedules} schedules: {did}; ")
    assert "world.given(lambda: world.wait(61))" in proof.reason


def removes(client: Any) -> None:
    client.zrem("due", "p1")


def removes_in_a_script(client: Any) -> None:
    client.eval(REMOVES_WHAT_IS_DUE, 1, "due", 60)


def charges(_: Any) -> None:
    requests.post("http://pay.example/charges", json={"payment": "p1"}, timeout=5)


def tells(client: Any) -> None:
    client.publish("news", "p1")


@pytest.mark.parametrize("task", [removes, removes_in_a_script, charges, tells])
def test_one_worker_that_changes_something_is_enough(task: Callable[[Any], object]) -> None:
    assert proof_of(task, looks).verdict is Verdict.PASS


def test_workers_may_do_nothing_in_some_schedules() -> None:
    """Each of them is killed before its only command in some."""
    proof = proof_of(removes, faults=1)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")
    assert proof.placements > 1


def test_what_only_a_fault_leads_to_is_something() -> None:
    def looks_or_else(client: Any) -> None:
        try:
            looks(client)
        except redis.ConnectionError:
            client.set("was", "down")

    assert proof_of(looks_or_else, faults=1).verdict is Verdict.PASS


def test_readers_say_what_they_must_have_seen() -> None:
    assert proof_of(looks, seen=lambda world: bool(world.history)).verdict is Verdict.PASS


def test_what_must_happen_and_never_does_is_unknown_though_much_is_changed() -> None:
    proof = proof_of(removes, looks, seen=lambda world: world.redis("GET", "found") == b"p1")

    assert proof.verdict is Verdict.UNKNOWN
    assert proof.reason == (
        f"it never happened that a worker finds p1, in {proof.schedules} schedules: "
        "they did `ZREM due p1`, `ZRANGEBYSCORE due 0 0`"
    )


def test_a_fault_that_finds_nothing_to_strike_is_unknown() -> None:
    @contract(workers=1, kinds=("bad gateway",))
    def nobody_is_asked(world: World) -> None:
        world.run(lambda: redis.Redis.from_url(world.redis_url).set("done", 1))
        world.recover(lambda: None, times=1)
        world.check(Invariant("it ends", lambda: None))

    proof = prove(nobody_is_asked, budget_s=LIMIT_S)

    assert proof.verdict is Verdict.UNKNOWN
    assert proof.reason == "no fault that this is about has struck anything, in 3 schedules: they did `SET done 1`"
    assert proof.bounds == ["all interleavings of 1 worker"]


def test_violations_are_told_though_nothing_was_changed() -> None:
    @contract(workers=1, faults=0)
    def something_is_done(world: World) -> None:
        world.run(lambda: None)
        world.check(Invariant("it is done", lambda: "it is not done"))

    assert prove(something_is_done, budget_s=LIMIT_S).verdict is Verdict.FAIL


# The ready contracts name what must happen, because their modules may well write when nothing comes of it.


def scenario(made: Contract, name: str) -> Proof:
    [found] = [one for one in apart(made) if one.scenario and one.scenario.name == name]
    return prove(found, budget_s=LIMIT_S)


def subject(name: str) -> Any:
    if str(SUBJECTS) not in sys.path:
        sys.path.insert(0, str(SUBJECTS))
    return importlib.import_module(name)


def queue_of(world: World, *, is_slow: bool, **figures: Any) -> RetryQueue:
    """A right queue. If it is slow, its workers only say that they are there, until a minute is over."""
    queue: Any = world.subject(subject("lua_queue").LuaQueue, world.redis_url)

    def process() -> None:
        queue().redis.incr("beats")
        if not is_slow or world.now_s >= 60:
            queue().process()

    return RetryQueue(
        world.provider("http://api.pay.example/charges"),
        enqueue=lambda payment: queue().enqueue(payment.key, {"user": payment.user}),
        process=process,
        dead_letters=lambda: queue().dead_letters(),
        to_reconcile=lambda: queue().unsure(),
        attempts=3,
        **figures,
    )


@pytest.mark.parametrize("name", ["two workers on one item", "crash before the charge"])
def test_a_queue_whose_workers_come_too_soon_is_unknown(name: str) -> None:
    proof = scenario(contract(workers=1)(lambda world: queue_of(world, is_slow=True)), name)

    assert (proof.verdict, proof.violation) == (Verdict.UNKNOWN, None)
    assert proof.reason.startswith("it never happened that a worker asks the provider, in ")
    assert "`INCRBY beats 1`" in proof.reason
    assert "RetryQueue has due_after_s=0" in proof.reason


@pytest.mark.parametrize("name", ["two workers on one item", "lost reply on enqueue and on charge"])
def test_and_is_none_once_it_says_how_long_a_payment_waits(name: str) -> None:
    proof = scenario(contract(workers=1)(lambda world: queue_of(world, is_slow=True, due_after_s=60)), name)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")


def test_a_lock_that_no_worker_gets_is_unknown() -> None:
    @contract
    def one_at_a_time(world: World) -> Lock:
        lock: Any = world.subject(subject("lock").Lock, world.redis_url)

        def acquire() -> object:
            lock().redis.incr("tries")
            return lock().acquire() if world.now_s else None

        return Lock(acquire, lambda token: lock().release(token), lease_s=30)

    proof = scenario(one_at_a_time, "two want one lock at once")

    assert proof.verdict is Verdict.UNKNOWN
    assert proof.reason.startswith("it never happened that a worker gets the lock, in ")


def test_a_ledger_that_refuses_every_transfer_is_unknown() -> None:
    @contract
    def balances(world: World) -> Ledger:
        accounts: Any = world.subject(subject("ledger").Accounts, world.redis_url)

        def refuses(_: object) -> None:
            accounts().redis.incr("refusals")
            raise ValueError("not today")

        return Ledger(lambda account, minor: accounts().open(account, minor), refuses, lambda: accounts().balances())

    proof = scenario(balances, "two transfers at once")

    assert proof.verdict is Verdict.UNKNOWN
    assert "transfer is booked" in proof.reason


def test_what_the_guard_itself_does_to_the_server_is_no_change() -> None:
    with running_redis() as server:
        server.clear()
        before = server.changes
        server.value("SET", "lease", "1", "PX", 30_000)
        server.remember()
        server.pass_time(5)
        server.restart(0.0)
        server.fail_over(0)

        assert server.value("GET", "lease") == b"1"
        assert server.changes == before + 1
