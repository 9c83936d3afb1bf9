"""The parts of a load, one by one: how much arrives and when, what calls name, what is a leak, what time they are shown."""

from __future__ import annotations

import time
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from interlock.core.errors import UsageError
from interlock.core.verdict import Verdict
from interlock.prove.contract import contract
from interlock.prove.effect import Effect
from interlock.prove.load.accounts import Accounts
from interlock.prove.load.asks import Asks
from interlock.prove.load.calls import Call, Calls
from interlock.prove.load.commands import keys_of
from interlock.prove.load.crew import Duties, Made, Rested
from interlock.prove.load.judge import judged, moments
from interlock.prove.load.leaks import Open, Sample, is_exhaustion
from interlock.prove.load.over_http import Asked, OverHttp, late
from interlock.prove.load.result import LoadResult, Spread
from interlock.prove.load.scene import Seen
from interlock.prove.load.shapes import burst, steady
from interlock.prove.load.timeline import OwnTime, Timeline, own_time
from interlock.prove.wire.resp import encoded


def drawn(repeats: float, calls: int = 2000, seed: int = 1) -> list[tuple[int, int, float]]:
    found = Calls(burst(calls, within_ms=100, seed=seed), repeats).drawn()
    return [(call.payment, call.user, call.due_s) for call in found]


class TestShapes:
    def test_an_hour_at_420_a_second_is_a_million_and_a_half_calls(self) -> None:
        shape = steady(420, for_s=3600)
        assert (shape.calls, shape.over_s, shape.due_s(420)) == (1_512_000, 3600, 1.0)

    def test_names_are_for_people(self) -> None:
        assert burst(100).name == "burst: 100 calls at once"
        assert burst(10_000).name == "burst: 10,000 calls at once, 200 on their way at most"
        assert burst(1000, at_once=1000).name == "burst: 1,000 calls at once"
        assert burst(1000, within_ms=100, at_once=1000).name == "burst: 1,000 calls within 100 ms"
        assert steady(420, for_s=3600).name == "steady: 420 a second for 3600 s"

    @pytest.mark.parametrize(
        ("make", "complaint"),
        [
            (lambda: burst(0), "calls=0"),
            (lambda: burst(1, success_min=95), "success_min=95"),
            (lambda: burst(1, faults=("restrat",)), "restart"),
            (lambda: burst(1, user=3), "users"),
            (lambda: steady(0, for_s=1), "per_s=0"),
            (lambda: contract(load=420), "expected burst"),  # type: ignore[call-overload]
        ],
    )
    def test_figures_that_make_no_sense_are_refused(self, make: Any, complaint: str) -> None:
        with pytest.raises(UsageError, match=complaint):
            make()


class TestCalls:
    def test_the_same_seed_draws_the_same(self) -> None:
        assert drawn(0.1) == drawn(0.1) != drawn(0.1, seed=2)

    def test_repeats_are_of_earlier_payments_with_their_user(self) -> None:
        seen: dict[int, int] = {}
        again = 0
        for payment, user, _ in drawn(0.1):
            again += payment in seen
            assert seen.setdefault(payment, user) == user
        assert 150 < again < 250

    def test_without_repeats_each_payment_comes_once(self) -> None:
        assert [payment for payment, _, _ in drawn(0.0)] == list(range(2000))

    def test_they_are_due_evenly(self) -> None:
        due = [due_s for _, _, due_s in drawn(0.0)]
        assert {round(after - before, 9) for before, after in pairwise(due)} == {0.00005}


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        (("SET", "a", "1", "NX"), ("a",)),
        (("EVALSHA", "abc", 2, "a", "b", "c"), ("a", "b")),
        (("EVAL", "return 1", 0), ()),
        (("MULTI",), ()),
        (("HELLO", 3), ()),
    ],
)
def test_the_keys_of_a_command(command: tuple[str | int, ...], keys: tuple[str, ...]) -> None:
    assert keys_of([encoded(*command)]) == keys


def test_the_keys_of_a_pipeline_and_of_what_is_no_command() -> None:
    assert keys_of([encoded("GET", "a") + encoded("GET", "b"), b"GET / HTTP/1.1\r\n", encoded("GET", "a")[:-3]]) == ("a", "b")


@pytest.mark.parametrize("key", ["a\r\nb", "$1\r\na", "\r\n*1\r\n$1\r\nb\r\n", "k" * 100_000])
def test_a_key_may_have_ends_of_lines_in_it_and_be_long(key: str) -> None:
    assert keys_of([encoded("GET", "before") + encoded("SET", key, "1") + encoded("GET", "after")]) == ("before", key, "after")


def test_what_looks_like_a_command_and_is_not_whole_names_no_key() -> None:
    assert keys_of([b"*3\r\n$3\r\nSET\r\n$5\r\na\r\nbb\r\n"]) == ()


class TestTheBooks:
    @staticmethod
    def books(*named: tuple[int, str]) -> Accounts:
        """Those of calls for payments, each of which has named a key."""
        found = Accounts()
        found.take(
            [Made(Call(place, payment, 0, float(place)), 0.0, 0.1, "", (key,)) for place, (payment, key) in enumerate(named)],
            None,
        )
        return found

    def test_payments_that_have_named_one_key_share_it_both_ways(self) -> None:
        found = self.books((0, "k"), (1, "own"), (2, "k"), (2, "k"), (3, "k"))
        assert [found.shared(payment) for payment in range(4)] == [[("k", 2)], [], [("k", 0)], [("k", 0)]]

    def test_a_key_that_very_many_have_named_is_nobody_s(self) -> None:
        found = self.books(*((payment, key) for payment in range(100) for key in ("queue", f"payment:{payment // 2}")))
        assert found.shared(4) == [("payment:2", 5)]

    def test_they_know_what_was_asked_for(self) -> None:
        found = self.books((0, "a"), (2, "b"), (0, "a"))
        found.take([Made(Call(3, 3, 0, 3.0), 0.0, 0.1, "no", ())], None)
        assert (list(found.accepted()), list(found.returned), found.payments) == ([(0, 0.0), (2, 1.0)], [2, 0, 1, 0], 3)
        assert [found.is_asked_for(key) for key in ("p0", "p1", "p2", "p3", "p4", "p00", "order-1", "p")] == [
            True,
            False,
            True,
            True,
        ] + [False] * 4


class TestLeaks:
    @staticmethod
    def leaks(*redis: int, at_once: int = 8) -> list[str]:
        return Open([Sample(number * 100, count, 0, count) for number, count in enumerate(redis)]).leaks(at_once, 1)

    def test_what_grows_to_the_end_and_is_more_than_a_pool_is_one(self) -> None:
        [told] = self.leaks(0, 10, 20, 30, 40)
        assert told.startswith("40 connections to Redis stay open after 400 calls, and 20 did after 200,")

    def test_so_it_is_where_nobody_could_look_before_nearly_all_was_over(self) -> None:
        [told] = Open([Sample(0, 0, 0, 0), Sample(390, 39, 0, 39), Sample(400, 40, 0, 40)]).leaks(8, 1)
        assert told.startswith("40 connections to Redis stay open after 400 calls, and 0 did after 0,")

    def test_a_pool_that_has_grown_to_its_size_is_none(self) -> None:
        assert self.leaks(0, 40, 40, 40, 40) == []

    def test_nor_is_what_was_given_back(self) -> None:
        assert self.leaks(0, 10, 20, 30, 2) == []

    def test_nor_is_a_few_more(self) -> None:
        assert self.leaks(0, 5, 10, 15, 20) == []

    def test_files_that_are_no_connections_leak_too(self) -> None:
        [told] = Open([Sample(number * 100, 0, 0, number * 50) for number in range(5)]).leaks(8, 1)
        assert told.startswith("200 files and connections stay open")

    def test_an_error_of_a_pool_is_known(self) -> None:
        assert is_exhaustion("MaxConnectionsError: Too many connections")
        assert is_exhaustion("ResponseError: max number of clients reached")
        assert not is_exhaustion("ConnectionError: Connection refused")


class TestTime:
    def test_a_call_has_its_own_and_its_sleeps_take_none(self) -> None:
        timeline = Timeline()
        timeline.jump(100.0)
        own = OwnTime(500.0 - time.monotonic(), sleeps=False)
        token = own_time.set(own)
        try:
            timeline.wait(1000.0, Effect("wait", ""))
            assert timeline.now_s >= 1500.0
            assert own.slept_s > 999.0
        finally:
            own_time.reset(token)
        assert 100.0 <= timeline.now_s < 500.0


class TestFaults:
    def test_one_that_has_not_struck_is_told_though_another_has(self) -> None:
        rested = Rested(frozenset(), frozenset(), Counter({"reset": 3}), has_asked=True, cpu_s=0.1, sources=frozenset())
        seen = Seen(rested=[rested])
        seen.accounts.take([Made(Call(0, 0, 0, 0.0), 0.0, 0.1, "", ())], 0.0)
        asked = Asks(Duties(lambda _: None), 0.0, 0.0, (), None)
        found = judged("c", burst(1, faults=("reset", "lost reply")), asked, seen)
        assert (found.verdict, found.struck) == (Verdict.UNKNOWN, 3)
        assert found.reasons == ["no lost reply has struck: the load was over too soon"]


class TestRates:
    LOAD = OverHttp(url="http://shop.example", per_s=10, for_s=20)

    @staticmethod
    def asked(count: int, each_s: float, on_their_way: int) -> list[Asked]:
        return [Asked(number / 10, number * each_s, 1.0, "", on_their_way) for number in range(count)]

    def test_one_that_was_kept_is_no_matter(self) -> None:
        assert late(self.LOAD, self.asked(200, 0.1, 0), 20) == []

    def test_one_that_was_not_is_for_the_server_if_everybody_waited_for_it(self) -> None:
        assert self.LOAD.users == 100
        assert late(self.LOAD, self.asked(200, 0.2, 95), 20) == [
            "200 of 200 requests were made, within 39.8 s, not 20: the server is too slow, all 100 users waited for it"
        ]

    def test_and_for_this_machine_if_somebody_was_free_to_ask(self) -> None:
        [told] = late(self.LOAD, self.asked(200, 0.2, 5), 20)
        assert told.endswith("this machine is too slow for the rate")

    def test_what_was_not_made_is_not_kept_either(self) -> None:
        assert late(self.LOAD, self.asked(150, 0.1, 5), 20)


class TestResults:
    def test_nothing_that_is_not_known_passes(self) -> None:
        cases: tuple[tuple[list[str], list[str], Verdict], ...] = (
            ([], [], Verdict.PASS),
            ([], ["why"], Verdict.UNKNOWN),
            (["x"], ["why"], Verdict.FAIL),
        )
        for violations, reasons, verdict in cases:
            result = LoadResult("c", "s", violations=violations, reasons=reasons)
            assert result.verdict is Verdict.UNKNOWN  # Nobody has decided yet.
            result.decide()
            assert result.verdict is verdict

    def test_a_spread_is_of_values_that_were_seen(self) -> None:
        assert Spread.of([float(value) for value in range(200)]) == Spread(100.0, 198.0, 199.0)
        assert Spread.of([]) == Spread()

    def test_the_course_of_a_load_counts_every_call_once(self) -> None:
        course = moments([number / 100 for number in range(600)], [1.0] * 600)
        lengths = {round(after.at_s - before.at_s, 6) for before, after in pairwise(course)}
        assert len(course) == 60
        assert round(sum(one.rate for one in course) * lengths.pop()) == 600
