"""Contracts under load: what shows only at the rate of production is found, and what is right is left alone."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from interlock.core.errors import UsageError
from interlock.core.verdict import Verdict
from interlock.prove.contract import contract
from interlock.prove.contracts import RetryQueue
from interlock.prove.invariant import Invariant
from interlock.prove.load.run import loaded
from interlock.prove.load.shapes import burst, steady
from interlock.prove.loading import written_in
from tests.documented import disagreements

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.contract import Contract
    from interlock.prove.load.result import LoadResult
    from interlock.prove.load.shapes import Shape
    from interlock.prove.world import World
    from tests.conftest import Git, Interlock

pytestmark = pytest.mark.usefixtures("redis_server")

EXAMPLES = Path(__file__).parents[3] / "examples" / "contracts"
SUBJECTS = Path(__file__).parent / "subjects"
BUDGET_S = 60.0


def queue(name: str) -> Contract:
    """One of the queues of the examples."""
    [found] = [one for one in written_in(EXAMPLES / "under_load.py") if one.name == name]
    return found


def under(shape: Shape, of: Contract) -> LoadResult:
    return loaded(of, shape, budget_s=BUDGET_S)


def scripted_queue() -> Contract:
    """A subject of the proofs that is right."""
    sys.path.insert(0, str(SUBJECTS))
    adapters: Any = import_module("adapters")
    found: Contract = adapters.of("lua_queue", "lua_queue")
    sys.path.remove(str(SUBJECTS))
    return found


def sign_ups(*, leaks: bool, connections_max: int = 2**31) -> Contract:
    """A contract for sign-ups on a pool."""
    sys.path.insert(0, str(SUBJECTS))
    leaky: Any = import_module("leaky")
    sys.path.remove(str(SUBJECTS))

    @contract
    def users(world: World) -> None:
        users: Any = world.subject(leaky.SignUps, world.redis_url, leaks=leaks, connections_max=connections_max)
        world.load(lambda number: users().sign_up(number))

    return users


class TestTheIncident:
    def test_at_one_call_a_second_nothing_is_wrong_with_its_queue(self) -> None:
        found = under(steady(1, for_s=20, repeats=0, workers=1), queue("the_original"))
        assert (found.verdict, found.calls, found.collisions, found.success) == (Verdict.PASS, 20, 0, 1.0)

    def test_at_420_its_keys_collide_and_the_story_names_both_payments_and_their_key(self) -> None:
        found = under(steady(420, for_s=1, repeats=0, workers=1), queue("the_original"))
        assert found.verdict is Verdict.FAIL
        assert found.collisions == found.lost > 40  # Of 420 payments of 400 users in one second, a good third.
        assert "came under payment_idempotency:u" in found.violations[0]
        assert found.success is not None
        assert found.success < 0.95

    def test_its_published_fix_does_not_collide_and_charges_twice(self) -> None:
        found = under(burst(100), queue("the_published_fix"))
        assert (found.verdict, found.collisions, found.lost) == (Verdict.FAIL, 0, 0)
        assert found.duplicates > 0
        assert "charged more than once" in found.violations[0]

    def test_the_right_queue_stands_both(self) -> None:
        found = under(steady(420, for_s=0.5, workers=1, poll_every_s=0.25), queue("the_right_queue"))
        assert (found.verdict, found.violations, found.reasons) == (Verdict.PASS, [], [])
        assert found.calls == 210

    def test_a_right_queue_of_scripts_stands_a_burst(self) -> None:
        found = under(burst(150), scripted_queue())
        assert (found.verdict, found.violations, found.reasons) == (Verdict.PASS, [], [])

    def test_it_stands_connections_that_end_and_a_redis_that_is_killed(self) -> None:
        shape = burst(300, within_ms=700, faults=("reset", "lost reply", "restart"), success_min=0.0)
        found = under(shape, scripted_queue())
        assert found.restarts > 0
        assert (found.collisions, found.duplicates, found.lost) == (0, 0, 0)


class TestLeaks:
    def test_a_tenth_of_the_traffic_hides_a_pool_that_leaks(self) -> None:
        found = under(burst(80, at_once=8), sign_ups(leaks=True, connections_max=30))
        assert found.verdict is Verdict.PASS

    def test_all_of_it_uses_the_pool_up(self) -> None:
        found = under(burst(800, at_once=8), sign_ups(leaks=True, connections_max=30))
        assert found.verdict is Verdict.FAIL
        assert any("found no connection left" in violation for violation in found.violations)
        assert any(violation.startswith("success") for violation in found.violations)

    def test_connections_that_grow_with_the_calls_are_told_though_every_call_comes_out_right(self) -> None:
        found = under(burst(800, at_once=8), sign_ups(leaks=True))
        assert (found.verdict, found.success) == (Verdict.FAIL, 1.0)
        assert len(found.violations) == 1
        assert "connections to Redis stay open after 800 calls" in found.violations[0]

    def test_a_pool_that_takes_them_back_is_left_alone(self) -> None:
        found = under(burst(800, at_once=8), sign_ups(leaks=False))
        assert (found.verdict, found.violations) == (Verdict.PASS, [])


def sleeps_and_stores(world: World, number: int) -> None:
    time.sleep(100)
    redis.Redis.from_url(world.redis_url).set(f"key:{number}", 1)


def stores_in_a_thread(world: World, number: int) -> None:
    thread = threading.Thread(target=redis.Redis.from_url(world.redis_url).set, args=(f"key:{number}", 1))
    thread.start()
    thread.join()


def calling(call: Callable[[World, int], object], invariant: Callable[[World], Invariant] | None = None) -> Contract:
    """A contract that calls something."""

    @contract
    def calls(world: World) -> None:
        world.load(lambda number: call(world, number))
        if invariant is not None:
            world.check(invariant(world))

    return calls


def fails_often(world: World, number: int) -> None:
    redis.Redis.from_url(world.redis_url).set(f"key:{number}", 1)
    if number % 10 == 0:
        raise ValueError("no")


class TestTheAnswer:
    def test_success_below_what_is_demanded_fails(self) -> None:
        found = under(burst(100), calling(fails_often))
        assert (found.verdict, found.success) == (Verdict.FAIL, 0.9)
        assert found.violations == ["success 90.00% of 100 calls, where 95% are demanded: ValueError: no (10 times)"]

    def test_and_above_it_passes(self) -> None:
        assert under(burst(100, success_min=0.9), calling(fails_often)).verdict is Verdict.PASS

    def test_invariants_are_asked_in_the_end(self) -> None:
        def few(world: World) -> Invariant:
            return Invariant("few keys", lambda: f"{world.redis('DBSIZE')} keys" if world.redis("DBSIZE") else None)

        def store(world: World, number: int) -> None:
            client: Any = redis.Redis
            client.from_url(world.redis_url).set(str(number), "1")

        assert under(burst(10), calling(store, invariant=few)).violations == ["10 keys"]

    @pytest.mark.parametrize("budget_s", [0.0, 1.5])  # Which on a slow machine is over before the first call.
    def test_what_was_not_covered_is_unknown_and_told(self, budget_s: float) -> None:
        found = loaded(calling(lambda _, __: time.sleep(0)), steady(420, for_s=36_000), budget_s=budget_s)
        assert found.verdict is Verdict.UNKNOWN
        assert 0 < found.calls < found.planned
        assert "s of 36,000 s were covered" in found.reasons[0]

    def test_a_burst_that_this_machine_cannot_make_is_unknown(self) -> None:
        found = under(burst(20, within_ms=1, at_once=1), calling(lambda _, __: time.sleep(0.01)))
        assert (found.verdict, found.calls) == (Verdict.UNKNOWN, 20)
        assert "this machine cannot make the load that was asked for" in found.reasons[0]

    def test_a_module_that_does_not_come_back_is_unknown_in_time(self) -> None:
        found = loaded(calling(lambda _, __: time.sleep(1000)), burst(4), budget_s=1.5)
        assert (found.verdict, found.calls) == (Verdict.UNKNOWN, 0)
        assert found.reasons == ["the budget is used up: the calls had not all come back"]

    def test_a_module_that_ends_its_process_is_unknown(self) -> None:
        found = loaded(calling(lambda _, __: os._exit(1)), burst(4), budget_s=10)
        assert found.verdict is Verdict.UNKNOWN
        assert found.reasons == ["a process under load has ended by itself: exit code 1"]

    def test_nothing_else_is_reached(self) -> None:
        def elsewhere(_: World, number: int) -> None:
            socket.create_connection(("127.0.0.1", 6379 + number))

        found = under(burst(2, success_min=0.0), calling(elsewhere))
        assert found.verdict is Verdict.UNKNOWN
        assert "which the contract does not name, was refused" in found.reasons[0]

    def test_sleeping_takes_no_time_in_a_steady_load_and_counts(self) -> None:
        found = under(steady(10, for_s=2), calling(sleeps_and_stores))
        assert (found.verdict, found.calls) == (Verdict.PASS, 20)
        assert found.latency_ms.p50 >= 99_999

    def test_calls_that_do_nothing_are_unknown(self) -> None:
        found = under(burst(20), calling(lambda _, __: None))
        assert found.verdict is Verdict.UNKNOWN
        assert found.reasons == ["the calls did nothing: in 20 calls nothing was sent to any server"]

    def test_calls_that_leave_the_work_to_a_thread_of_theirs_do_something(self) -> None:
        assert under(burst(20), calling(stores_in_a_thread)).verdict is Verdict.PASS

    def test_a_queue_that_sets_everything_aside_is_unknown(self) -> None:
        @contract
        def payments(world: World) -> RetryQueue:
            client = world.subject(redis.Redis.from_url, world.redis_url, decode_responses=True)
            return RetryQueue(
                world.provider("http://api.pay.example/charges"),
                enqueue=lambda payment: client().sadd("dead", payment.key),
                process=lambda: None,
                dead_letters=lambda: map(str, client().smembers("dead")),
            )

        found = under(burst(20, repeats=0), payments)
        assert found.verdict is Verdict.UNKNOWN
        assert found.reasons == ["nothing was charged, as all was set aside: 20 payments"]

    @pytest.mark.parametrize("name", ["nothing is called", "world.look"])
    def test_a_contract_that_cannot_be_put_under_load_is_a_mistake(self, name: str) -> None:
        @contract
        def empty(world: World) -> None:
            if name == "world.look":
                world.load(lambda _: None)
                world.look(lambda: None)

        with pytest.raises(UsageError, match=name):
            under(burst(1), empty)


CONTRACTS = """
import redis
from interlock.prove.contract import contract
from interlock.prove.contracts import RetryQueue
from interlock.prove.load.shapes import burst


@contract(load=burst(20, success_min={least}))
def keys(world):
    client = world.subject(redis.Redis.from_url, world.redis_url)

    def store(number):
        client().set(f"key:{{number}}", 1 // (number % 5))

    world.load(store)


@contract
def idle(world):
    world.load(print)
"""


class TestTheCommand:
    def test_what_passes_is_told_and_leaves_evidence_of_its_own(self, interlock_in: Interlock, git: Git) -> None:
        git.commit({"contracts.py": CONTRACTS.format(least=0.5), "interlock.toml": ""})
        ran = interlock_in("prove", "contracts.py", "--load", folder=git.root)
        assert (ran.code, ran.out.splitlines()[0].partition(" (")[0]) == (0, "keys, burst: 20 calls at once: pass")
        assert "  success      80.00% (at least 50% are demanded)" in ran.out
        [kept] = (git.root / ".interlock" / "evidence" / "prove").iterdir()
        found = json.loads(kept.read_text())["predicate"]
        assert (found["verdict"], found["command"]) == ("pass", ["interlock", "prove", "contracts.py", "--load"])
        assert found["found"]["contracts"] == "contracts.py --load"

    def test_what_fails_says_why_in_every_format(self, interlock_in: Interlock, tmp_path: Path) -> None:
        (tmp_path / "contracts.py").write_text(CONTRACTS.format(least=0.9))
        ran = interlock_in("prove", "contracts.py::keys", "--load", "--format", "json")
        assert disagreements("interlock prove --load", json.loads(ran.out)) == []
        [load] = json.loads(ran.out)["loads"]
        assert (ran.code, load["verdict"], load["success"], load["lost"]) == (1, "fail", 0.8, None)
        assert load["failures"][0]["times"] == 4
        page = interlock_in("prove", "contracts.py", "--load", "--format", "html").out
        assert "<svg" in page
        assert "where 90% are demanded" in page

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (("contracts.py::idle", "--load"), "declares a load"),
            (("contracts.py::kees", "--load"), "'keys'"),
            (("--load",), "expected a PATH"),
        ],
    )
    def test_mistakes_are_told(
        self, interlock_in: Interlock, tmp_path: Path, arguments: tuple[str, ...], complaint: str
    ) -> None:
        (tmp_path / "contracts.py").write_text(CONTRACTS.format(least=0.9))
        ran = interlock_in("prove", *arguments)
        assert ran.code == 2
        assert complaint in ran.err
