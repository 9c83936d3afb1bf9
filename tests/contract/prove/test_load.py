"""Contracts under load: what shows only at the rate of production is found, and what is right is left alone."""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import socket
import struct
import sys
import threading
import time
from http import HTTPStatus
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
import uvloop

from interlock.core.errors import UsageError, WorldError
from interlock.core.verdict import Verdict
from interlock.prove.contract import contract
from interlock.prove.contracts import RetryQueue
from interlock.prove.invariant import Invariant
from interlock.prove.load import drive
from interlock.prove.load.run import loaded
from interlock.prove.load.shapes import burst, steady
from interlock.prove.loading import written_in
from interlock.prove.server_clock import ServerClock
from tests.documented import disagreements

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.contract import Contract
    from interlock.prove.contracts import Payment
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


def sign_ups(*, leaks: bool, connections_max: int = 2**31, takes_turns: bool = False) -> Contract:
    """A contract for sign-ups on a pool."""
    sys.path.insert(0, str(SUBJECTS))
    leaky: Any = import_module("leaky")
    sys.path.remove(str(SUBJECTS))

    @contract
    def users(world: World) -> None:
        how = {"leaks": leaks, "connections_max": connections_max, "takes_turns": takes_turns}
        users: Any = world.subject(leaky.SignUps, world.redis_url, **how)
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
        found = under(burst(400), queue("the_published_fix"))
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
    def test_a_tenth_of_the_traffic_breaks_nothing_and_a_look_afterwards_finds_the_leak(self) -> None:
        found = under(burst(80, at_once=8), sign_ups(leaks=True))
        assert (found.verdict, found.success, found.calls) == (Verdict.FAIL, 1.0, 80)
        [told] = found.violations
        assert told.startswith("600 further calls, made one after the other, used 20 connections to Redis once and never again")

    def test_a_pool_of_the_size_of_a_great_load_hides_none(self) -> None:
        found = under(burst(200, at_once=200), sign_ups(leaks=True))
        [told] = found.violations
        assert "connections to Redis once and never again" in told

    def test_work_that_leaks_is_found_in_a_load_whose_calls_need_many_connections(self) -> None:
        @contract
        def users(world: World) -> None:
            client = world.subject(redis.Redis.from_url, world.redis_url)
            kept: list[object] = []

            def work() -> None:
                kept.append(other := redis.Redis.from_url(world.redis_url))
                other.ping()

            world.load(lambda number: client().set(f"user:{number}", 1))
            world.run(work)

        [told] = under(burst(100, at_once=50), users).violations
        # On a busy machine fewer calls are on their way at one time, and what was kept shows without any further ones.
        if "connections to Redis stay open after 100 calls" not in told:
            assert "and the work, done " in told
            assert "more connections to Redis open" in told

    def test_a_pool_that_takes_turns_is_left_alone(self) -> None:
        found = under(burst(200, at_once=200), sign_ups(leaks=False, takes_turns=True))
        assert (found.verdict, found.violations) == (Verdict.PASS, [])

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


def stores(world: World, number: int) -> None:
    redis.Redis.from_url(world.redis_url).set(f"key:{number}", 1)


def post(payment: str) -> int:
    connection = http.client.HTTPConnection("api.pay.example")
    connection.request("POST", "/charges", json.dumps({"payment": payment}))
    answer = connection.getresponse()
    answer.read()
    return answer.status


KEPT: list[int] = []


def connected_in_c(port: int) -> int:
    """A connection that no function of Python's socket module has made."""
    libc: Any = ctypes.CDLL(None)
    number = int(libc.socket(socket.AF_INET, socket.SOCK_STREAM, 0))
    address = struct.pack("=HH4s8x", socket.AF_INET, socket.htons(port), socket.inet_aton("127.0.0.1"))
    assert libc.connect(number, address, len(address)) == 0
    return number


def setting_aside(every: int, *, charges_all: bool = False) -> Contract:
    """A queue that charges at once, but for some payments, which it gives up; all of them, if told 0."""

    @contract
    def payments(world: World) -> RetryQueue:
        client = world.subject(redis.Redis.from_url, world.redis_url, decode_responses=True)

        def enqueue(payment: Payment) -> None:
            is_given_up = not every or int(payment.key[1:]) % every == 0
            if is_given_up:
                client().sadd("dead", payment.key)
            if charges_all or not is_given_up:
                post(payment.key)

        return RetryQueue(
            world.provider("http://api.pay.example/charges"),
            enqueue=enqueue,
            process=lambda: None,
            dead_letters=lambda: map(str, client().smembers("dead")),
        )

    return payments


def trying_again(*moods: str, forgets: bool = False, attempts: int | None = 5) -> Contract:
    """A queue that tries again at once what was declined, five times at most; or forgets it."""

    @contract
    def payments(world: World) -> RetryQueue:
        client: Callable[[], Any] = world.subject(redis.Redis.from_url, world.redis_url, decode_responses=True)

        def process() -> None:
            while key := client().lpop("queue"):
                if post(key) == HTTPStatus.OK or forgets:
                    continue
                if attempts is None:
                    client().sadd("declined", key)
                elif client().incr(f"attempts:{key}") < attempts:
                    client().rpush("queue", key)
                else:
                    client().sadd("dead", key)

        return RetryQueue(
            world.provider("http://api.pay.example/charges", moods=moods),
            enqueue=lambda payment: client().rpush("queue", payment.key),
            process=process,
            dead_letters=lambda: client().smembers("dead"),
            attempts=attempts,
        )

    return payments


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
        assert "of 15,120,000 calls; all of it needs about" in found.reasons[0]

    def test_a_burst_for_which_there_are_too_few_threads_is_unknown(self) -> None:
        found = under(burst(20, within_ms=1, at_once=1), calling(lambda _, __: time.sleep(0.01)))
        assert (found.verdict, found.calls) == (Verdict.UNKNOWN, 20)
        assert "all 1 threads waited for the module" in found.reasons[0]

    def test_who_calls_waits_since_the_call_was_due_and_not_since_a_thread_was_free(self) -> None:
        found = under(burst(20, at_once=2), calling(lambda _, __: time.sleep(0.02)))
        assert found.latency_ms.most >= 20 / 2 * 20
        assert found.service_ms.p50 >= 20
        assert found.service_ms.p50 < found.latency_ms.p50

    def test_a_burst_that_the_module_holds_up_is_told_from_one_that_the_machine_cannot_make(self) -> None:
        def computes(_: World, __: int) -> None:
            ends_at_s = time.thread_time() + 0.05
            while time.thread_time() < ends_at_s:
                pass

        found = under(burst(40, within_ms=400, at_once=40, processes=1), calling(computes))
        assert found.verdict is Verdict.UNKNOWN
        assert any("as many empty ones" in reason for reason in found.reasons)

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

    def test_a_queue_that_sets_everything_aside_gives_up_too_soon(self) -> None:
        found = under(burst(20, repeats=0), setting_aside(0))
        assert (found.verdict, found.success) == (Verdict.FAIL, 0.0)
        assert found.violations[0].startswith("20 payments given up too soon: p0 after 0 attempts, where 5 are promised")
        assert found.reasons == ["nothing was charged, as all was set aside: 20 payments"]

    def test_so_does_one_that_sets_a_few_aside_though_success_is_high_enough(self) -> None:
        found = under(burst(60, repeats=0), setting_aside(20))
        assert (found.verdict, found.success, found.set_aside) == (Verdict.FAIL, 0.95, 3)
        assert [violation.partition(":")[0] for violation in found.violations] == ["3 payments given up too soon"]

    def test_what_was_charged_is_no_dead_letter(self) -> None:
        found = under(burst(60, repeats=0), setting_aside(20, charges_all=True))
        assert found.violations == ["3 payments charged, and set aside as dead all the same: p0; p20; p40"]

    @pytest.mark.parametrize(
        "name", ["given_schema", "postgres_dsn", "sql", "serve", "clocks", "https://api.pay.example", "nothing is called"]
    )
    def test_what_is_not_there_under_load_is_named(self, name: str) -> None:
        @contract
        def asking(world: World) -> None:
            if name == "nothing is called":
                return
            world.load(lambda _: None)
            if name.startswith("https"):
                world.provider(name)
            elif name == "postgres_dsn":
                assert world.postgres_dsn
            else:
                asked: dict[str, Callable[[], object]] = {
                    "given_schema": lambda: world.given_schema("CREATE TABLE users ()"),
                    "sql": lambda: world.sql("SELECT 1"),
                    "serve": lambda: world.serve("shop.example", lambda: pytest.fail("nothing is served")),
                    "clocks": lambda: world.clocks(ahead_s=(0.0, 1.0)),
                }
                asked[name]()

        with pytest.raises(UsageError, match=name):
            under(burst(1), asking)

    def test_a_redis_that_cannot_be_shown_the_time_is_no_redis_for_a_load(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ServerClock, "environment", {})
        with pytest.raises(WorldError, match="cannot be shown the time of a load"):
            under(burst(1), calling(stores))

    @pytest.mark.parametrize("name", ["history", "mishaps"])
    def test_an_invariant_that_asks_for_every_step_or_fault_is_named(self, name: str) -> None:
        def steps(world: World) -> Invariant:
            return Invariant("no step", lambda: "a step" if getattr(world, name) else None)

        with pytest.raises(UsageError, match=rf"world\.{name}"):
            under(burst(1), calling(stores, invariant=steps))

    def test_what_the_contract_looks_at_in_the_end_is_there_for_its_invariants(self) -> None:
        @contract
        def keys(world: World) -> None:
            client = world.subject(redis.Redis.from_url, world.redis_url)
            found: list[object] = []
            world.load(lambda number: client().set(f"key:{number}", 1))
            world.look(lambda: found.append(client().dbsize()))
            world.check(Invariant("none", lambda: f"{found} keys"))
            world.sometimes("a pig flies", lambda: False)

        found = under(burst(10), keys)
        assert found.violations == ["[10] keys"]
        assert found.reasons == ["it never happened that a pig flies"]

    def test_a_steady_load_whose_calls_do_not_come_back_is_over_in_time(self) -> None:
        found = loaded(calling(lambda _, __: threading.Event().wait()), steady(10, for_s=1), budget_s=2)
        assert (found.verdict, found.calls) == (Verdict.UNKNOWN, 0)
        assert "the budget is used up: the calls had not all come back" in found.reasons

    @pytest.mark.parametrize(("hangs", "who"), [("call", "the calls of"), ("work", "the work beside the calls of")])
    def test_a_steady_load_that_hangs_is_given_up_long_before_a_great_budget_ends(
        self, monkeypatch: pytest.MonkeyPatch, hangs: str, who: str
    ) -> None:
        monkeypatch.setattr(drive, "SLICE_WITHIN_S", 1.0)

        @contract
        def keys(world: World) -> None:
            def call(number: int) -> None:
                stores(world, number)
                if hangs == "call" and number == 5:
                    threading.Event().wait()

            world.load(call)
            world.run(threading.Event().wait if hangs == "work" else lambda: None)

        found = loaded(keys, steady(10, for_s=60), budget_s=3600)
        assert (found.verdict, found.violations) == (Verdict.UNKNOWN, [])
        assert found.reasons[0].startswith("the load was given up: ")
        assert found.reasons[1].startswith(who)

    def test_a_redis_that_ends_is_no_answer(self) -> None:
        def ends_it(world: World, _: int) -> None:
            redis.Redis.from_url(world.redis_url).shutdown(nosave=True)

        found = under(burst(2, success_min=0.0), calling(ends_it))
        assert found.verdict is Verdict.UNKNOWN
        assert "the Redis under load has ended by itself" in found.reasons[0]

    def test_whoever_clears_up_does_so_before_the_invariants_are_asked(self) -> None:
        def none(world: World) -> Invariant:
            return Invariant("no keys", lambda: f"{world.redis('DBSIZE')} keys" if world.redis("DBSIZE") else None)

        @contract
        def keys(world: World) -> None:
            client = world.subject(redis.Redis.from_url, world.redis_url)
            world.load(lambda number: client().set(f"key:{number}", 1))
            world.recover(lambda: client().flushall(), times=1)
            world.check(none(world))

        assert under(burst(10), keys).violations == []

    def test_a_load_that_does_not_come_to_begin_is_unknown(self) -> None:
        @contract
        def waits(world: World) -> None:
            world.given(lambda: threading.Event().wait())
            world.load(lambda number: stores(world, number))

        found = loaded(waits, burst(1), budget_s=0.5)
        assert (found.verdict, found.calls) == (Verdict.UNKNOWN, 0)
        assert found.reasons == ["the budget is used up: world.given did not come back"]

    def test_what_was_charged_twice_is_told_though_the_budget_is_used_up(self) -> None:
        @contract
        def payments(world: World) -> RetryQueue:
            def charge_twice_and_wait(payment: Payment) -> None:
                for _ in range(2):
                    post(payment.key)
                threading.Event().wait()

            bank = world.provider("http://api.pay.example/charges")
            return RetryQueue(bank, enqueue=charge_twice_and_wait, process=lambda: None, dead_letters=list)

        found = loaded(payments, burst(2, repeats=0), budget_s=6)
        assert found.verdict is Verdict.FAIL
        assert [violation.partition(":")[0] for violation in found.violations] == ["2 payments charged more than once"]
        assert found.reasons == ["the budget is used up: the calls had not all come back"]

    def test_errors_throughout_are_no_pass_whatever_is_demanded(self) -> None:
        def fails(world: World, number: int) -> None:
            stores(world, number)
            int("none")

        found = under(burst(4, success_min=0.0), calling(fails))
        assert (found.verdict, found.reasons) == (
            Verdict.UNKNOWN,
            ["not one call came back without an error: ValueError: invalid literal for int() with base 10: 'none'"],
        )

    def test_a_pool_that_is_used_up_is_told_though_the_module_has_another_name_for_it(self) -> None:
        def signs_up(world: World, number: int) -> None:
            stores(world, number)
            pool: Any = redis.ConnectionPool.from_url(world.redis_url, max_connections=1)
            try:
                both = [pool.get_connection() for _ in range(2)]
            except redis.RedisError as error:
                raise RuntimeError("try again later") from error
            assert not both

        found = under(burst(4, success_min=0.0), calling(signs_up))
        assert found.verdict is Verdict.FAIL
        assert found.violations == [
            "4 calls found no connection left: RuntimeError: try again later, from MaxConnectionsError: Too many connections"
        ]

    def test_a_client_in_c_is_not_let_past(self) -> None:
        def elsewhere(world: World, number: int) -> None:
            stores(world, number)
            make_loop: Any = uvloop
            make_loop.new_event_loop()

        found = under(burst(2, success_min=0.0), calling(elsewhere))
        assert (found.verdict, found.reasons[0]) == (
            Verdict.UNKNOWN,
            "a connection to uvloop's server, which the contract does not name, was refused",
        )

    def test_nor_is_a_datagram(self) -> None:
        def counts(world: World, number: int) -> None:
            stores(world, number)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                one.sendto(b"sign_up:1|c", ("127.0.0.1", 8125))

        found = under(burst(2, success_min=0.0), calling(counts))
        assert (found.verdict, "8125" in found.reasons[0]) == (Verdict.UNKNOWN, True)

    def test_a_connection_that_somebody_in_c_has_made_is_seen(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as elsewhere:
            port = elsewhere.getsockname()[1]

            def passes_by(world: World, number: int) -> None:
                stores(world, number)
                if not KEPT:
                    KEPT.append(connected_in_c(port))

            found = under(burst(1), calling(passes_by))
        assert found.verdict is Verdict.UNKNOWN
        assert f"a connection to 127.0.0.1 port {port} was made past this guard" in found.reasons[0]

    def test_it_is_evidence_of_what_is_first_imported_by_a_call(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "imported_late.py").write_text("LATE = 1\n")
        monkeypatch.syspath_prepend(tmp_path)

        def imports(world: World, number: int) -> None:
            stores(world, number)
            import_module("imported_late")

        assert str(tmp_path / "imported_late.py") in under(burst(1), calling(imports)).sources

    def test_each_payment_is_met_in_one_of_the_provider_s_moods(self) -> None:
        found = under(steady(100, for_s=0.5, repeats=0), trying_again("ok", "declines once", "declines"))
        assert (found.verdict, found.violations, found.reasons) == (Verdict.PASS, [], [])
        assert 0 < found.set_aside < 50

    def test_a_payment_that_is_declined_and_forgotten_is_lost_though_those_in_the_first_mood_are_charged(self) -> None:
        found = under(burst(40, repeats=0), trying_again("ok", "declines once", "declines", forgets=True))
        assert found.verdict is Verdict.FAIL
        assert 0 < found.lost < 40
        assert under(burst(40, repeats=0), trying_again("ok", forgets=True)).verdict is Verdict.PASS

    def test_what_is_tried_for_ever_is_not_lost(self) -> None:
        found = under(burst(40, repeats=0), trying_again("ok", "declines", attempts=None))
        assert (found.violations, found.lost) == ([], 0)

    def test_a_mood_in_which_no_payment_was_met_leaves_the_answer_unknown(self) -> None:
        found = under(burst(1, repeats=0), trying_again("ok", "declines 2 times"))
        assert found.verdict is Verdict.UNKNOWN
        assert [reason.partition(":")[0] for reason in found.reasons] in (
            [f"the provider has met no payment in the mood {mood!r}"] for mood in ("ok", "declines 2 times")
        )

    @pytest.mark.parametrize("way", ["in chunks", "when asked for"])
    def test_a_provider_is_told_of_a_payment_in_whatever_way_a_client_sends_it(self, way: str) -> None:
        @contract
        def payments(world: World) -> RetryQueue:
            def charge(payment: Payment) -> None:
                body = json.dumps({"payment": payment.key}).encode()
                connection = http.client.HTTPConnection("api.pay.example", timeout=5)
                connection.putrequest("POST", "/charges")
                if way == "in chunks":
                    connection.putheader("Transfer-Encoding", "chunked")
                    connection.endheaders()
                    connection.send(b"3\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (body[:3], len(body) - 3, body[3:]))
                else:
                    connection.putheader("Content-Length", str(len(body)))
                    connection.putheader("Expect", "100-continue")
                    connection.endheaders()
                    assert connection.sock.recv(64) == b"HTTP/1.1 100 Continue\r\n\r\n"
                    connection.send(body)
                assert connection.getresponse().status == HTTPStatus.OK

            bank = world.provider("http://api.pay.example/charges")
            return RetryQueue(bank, enqueue=charge, process=lambda: None, dead_letters=list)

        found = under(burst(8, repeats=0), payments)
        assert (found.verdict, found.violations, found.reasons) == (Verdict.PASS, [], [])


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
            (("contracts.py", "--load", "--rate", "420"), "--rate is for a server"),
            (("contracts.py", "--load", "--success-min", "0.5"), "--success-min is for a server"),
        ],
    )
    def test_mistakes_are_told(
        self, interlock_in: Interlock, tmp_path: Path, arguments: tuple[str, ...], complaint: str
    ) -> None:
        (tmp_path / "contracts.py").write_text(CONTRACTS.format(least=0.9))
        ran = interlock_in("prove", *arguments)
        assert ran.code == 2
        assert complaint in ran.err
