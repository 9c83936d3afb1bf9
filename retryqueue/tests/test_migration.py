"""The migration of another queue's sorted set, on real servers: what ends where, whatever crashes on the way."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis
from servers import RedisServer
from topologies import Cluster, Ledger, Working, debian_redis, wait_until

from retryqueue import InvalidPayment, Payment, Policy, QueueUnavailable, RetryQueue, State, Worker
from retryqueue.cli.main import main
from retryqueue.migration import Migration, Plan, Reading, moving
from retryqueue.migration.foreign_payment import json_object
from retryqueue.migration.foreign_queue import ForeignQueue, Found
from retryqueue.migration.ledger import Ledger as Memory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    import redis

    from retryqueue.migration import Report

SET, LETTERS, ACCEPTED = "payments:retry:queue", "payments:retry:dead", "payments:retry:idempotency"
HOUR_S = 3600
BY_ORDER = Reading(key="order_id")
HOUR_AGO_MS = -HOUR_S * 1000


def fields(order: str = "o1", **changed: object) -> dict[str, Any]:
    """A payment as the incident's queue wrote it."""
    usual = {"order_id": order, "user_id": "u1", "amount_minor": 4999, "currency": "EUR", "payment_method_id": "pm_1"}
    return {**usual, "idempotency_key": f"u1:{order}", "retry_count": 0, **changed}


def add(client: Any, *payments: object, due_in_s: float = HOUR_S, key: str = SET) -> None:
    """Stores members, raw or as JSON, due at the same time."""
    due_s = time.time() + due_in_s
    for payment in payments:
        raw = payment if isinstance(payment, bytes) else json.dumps(payment).encode()
        client.zadd(key, {raw: due_s})


def migrate(server: RedisServer, plan: Plan | None = None, **options: Any) -> Report:
    """Migrates for good; by default by the order's id."""
    settings = {"dry_run": False, "durability": "ignore", **options}
    with Migration(server.url, plan or Plan(source=SET, reading=BY_ORDER), **settings) as migration:
        return migration.run()


def keys_in(queue: RetryQueue) -> dict[State, list[str]]:
    """The keys of all payments."""
    return {state: sorted(item.key for item in queue.items(state)) for state in State}


def ends(report: Report) -> dict[str, int]:
    """The counts that are not zero."""
    assert sum(report.outcomes.values()) == report.read
    return {outcome: count for outcome, count in report.outcomes.items() if count}


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    with server.client() as client:
        yield client


class TestWhereAMemberEnds:
    def test_what_is_not_due_yet_is_scheduled_and_keeps_its_due_time(
        self, server: RedisServer, client: redis.Redis, queue: RetryQueue
    ) -> None:
        add(client, *(fields(f"o{number}") for number in range(250)))
        members: Any = client.zrange(SET, 0, -1, withscores=True)
        due_ms = {json.loads(raw)["order_id"]: score * 1000 for raw, score in members}
        report = migrate(server)
        assert (ends(report), report.left, report.needs_a_person) == ({"scheduled": 250}, 0, False)
        items = list(queue.items(State.SCHEDULED))
        assert {item.key for item in items} == set(due_ms)
        assert max(abs(item.since_ms - due_ms[item.key]) for item in items) < 2_000

    def test_what_the_old_queue_noted_is_kept_beside_the_payment_and_is_not_compared(
        self, server: RedisServer, client: redis.Redis, queue: RetryQueue
    ) -> None:
        add(client, fields(note="gift", price=0.1, trace_id="t1"))
        migrate(server)
        payment = queue.inspect("o1").payment  # type: ignore[union-attr]
        assert payment is not None
        assert dict(payment.details) == {"note": "gift", "price": 0.1}
        assert payment.context["migrated"]["from"] == SET
        assert payment.context["migrated"]["fields"] == {"idempotency_key": "u1:o1", "retry_count": 0, "trace_id": "t1"}

    @pytest.mark.parametrize(
        ("due_in_s", "changed", "kind"),
        [
            (-HOUR_S, {}, "overdue"),
            (0, {}, "overdue"),
            (HOUR_S, {"retry_count": 2}, "attempted"),
            (30 * 86_400, {}, "too_late"),
            (float("inf"), {}, "no_due_time"),
            (float("-inf"), {}, "no_due_time"),
        ],
    )
    def test_what_may_have_been_charged_or_would_be_charged_early_waits_for_a_person(  # noqa: PLR0917 - fixtures and cases.
        self,
        server: RedisServer,
        client: redis.Redis,
        queue: RetryQueue,
        due_in_s: float,
        changed: dict[str, Any],
        kind: str,
    ) -> None:
        add(client, fields(**changed), due_in_s=due_in_s)
        report = migrate(server)
        assert (ends(report), dict(report.kinds), report.needs_a_person) == ({"reconcile": 1}, {kind: 1}, True)
        item = queue.inspect("o1")
        assert item is not None
        assert item.state is State.RECONCILE
        assert item.note == report.findings[0].reason

    def test_the_operator_may_decide_that_it_was_not_charged(
        self, server: RedisServer, client: redis.Redis, queue: RetryQueue
    ) -> None:
        add(client, fields("late"), due_in_s=-HOUR_S)
        add(client, fields("tried", retry_count=3))
        plan = Plan(source=SET, reading=BY_ORDER, overdue="schedule", attempted="schedule")
        assert ends(migrate(server, plan)) == {"scheduled": 2}
        assert keys_in(queue)[State.SCHEDULED] == ["late", "tried"]

    def test_a_longer_longest_delay_keeps_a_late_due_time(
        self, server: RedisServer, client: redis.Redis, queue: RetryQueue
    ) -> None:
        add(client, fields(), due_in_s=30 * 86_400)
        migrate(server, policy=Policy(longest_delay_ms=40 * 86_400_000))
        item = queue.inspect("o1")
        assert item is not None
        assert item.since_ms > (time.time() + 29 * 86_400) * 1000

    def test_only_what_was_due_while_old_workers_ran_is_overdue(
        self, server: RedisServer, client: redis.Redis, queue: RetryQueue
    ) -> None:
        add(client, fields("before"), due_in_s=-2 * HOUR_S)
        add(client, fields("since"), due_in_s=-600)
        stopped_at_ms = int(time.time() * 1000) + HOUR_AGO_MS
        migrate(server, Plan(source=SET, reading=BY_ORDER, stopped_at_ms=stopped_at_ms))
        found = keys_in(queue)
        assert (found[State.RECONCILE], found[State.SCHEDULED]) == (["before"], ["since"])

    def test_everything_can_be_held_back(self, server: RedisServer, client: redis.Redis, queue: RetryQueue) -> None:
        add(client, fields("o1"), fields("o2"))
        migrate(server, Plan(source=SET, reading=BY_ORDER, hold_all=True))
        assert keys_in(queue)[State.RECONCILE] == ["o1", "o2"]

    def test_dead_letters_wait_for_a_person_and_two_of_the_same_bytes_are_two(
        self, server: RedisServer, client: redis.Redis, queue: RetryQueue
    ) -> None:
        client.lpush(LETTERS, *(json.dumps(fields(order)) for order in ("d1", "d2", "d2", "d3")))
        report = migrate(server, Plan(source=SET, reading=BY_ORDER, dead_letters=LETTERS))
        assert dict(report.kinds) == {"dead_letter": 3, "same_payment": 1}
        assert [key.partition("~")[0] for key in keys_in(queue)[State.RECONCILE]] == ["d1", "d2", "d2", "d3"]
        assert client.exists(LETTERS) == 0

    def test_a_payment_that_is_dead_and_queued_at_once_is_not_scheduled(
        self, server: RedisServer, client: redis.Redis, queue: RetryQueue
    ) -> None:
        client.lpush(LETTERS, json.dumps(fields()))
        add(client, fields())
        migrate(server, Plan(source=SET, reading=BY_ORDER, dead_letters=LETTERS))
        found = keys_in(queue)
        assert (len(found[State.RECONCILE]), found[State.SCHEDULED]) == (2, [])


class TestHostileMembers:
    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"5",
            b"null",
            b"[1]",
            b"not JSON",
            b"\xff\xfe{}",
            b"\x00",
            b"[" * 100_000,
            b'{"a":' * 900 + b"1" + b"}" * 900,
            b"{}",
            json.dumps(fields(blob="x" * 1_000_000)).encode(),
            json.dumps(fields(amount_minor=-5)).encode(),
            json.dumps(fields(amount_minor=0)).encode(),
            json.dumps(fields(amount_minor=49.99)).encode(),
            json.dumps(fields(amount_minor=None)).encode(),
            json.dumps(fields(amount_minor=True)).encode(),
            json.dumps(fields(amount_minor=float("nan"))).encode(),
            json.dumps(fields(amount_minor=float("inf"))).encode(),
            json.dumps(fields(amount_minor="NaN")).encode(),
            json.dumps(fields()).replace("4999", "9" * 5_000).encode(),
            json.dumps(fields()).replace("4999", "1e999999999").encode(),
            json.dumps(fields()).replace("4999", "1e99999999999999999999").encode(),
            json.dumps(fields(user_id=None)).encode(),
            json.dumps(fields(user_id="")).encode(),
            json.dumps(fields(user_id="\ud800")).encode(),
            json.dumps(fields(note="\ud800")).encode(),
            json.dumps(fields(currency="EURO")).encode(),
            json.dumps(fields(currency=["EUR"])).encode(),
            json.dumps(fields(payment_method_id="4242424242424242")).encode(),
            json.dumps(fields(order_id=None)).encode(),
            json.dumps(fields(order_id=["o1"])).encode(),
            json.dumps(fields(order_id="\ud800")).encode(),
            json.dumps(fields(order_id="x" * 300)).encode(),
            json.dumps(fields()).replace('"currency"', '"amount_minor": 1, "currency"').encode(),
            json.dumps(fields(idempotency_key="x" * 50_000)).encode(),
        ],
        ids=lambda raw: repr(raw[:60]),
    )
    def test_what_is_no_payment_lies_in_quarantine_with_its_bytes(
        self, server: RedisServer, client: redis.Redis, queue: RetryQueue, raw: bytes
    ) -> None:
        client.zadd(SET, {raw: time.time() + HOUR_S})
        report = migrate(server)
        assert (ends(report), report.needs_a_person, client.exists(SET)) == ({"quarantined": 1}, True, 0)
        (item,) = queue.items(State.QUARANTINED)
        assert item.raw == raw
        assert item.key == report.findings[0].key
        assert SET in item.note

    def test_every_bad_field_is_named_at_once(self, server: RedisServer, client: redis.Redis) -> None:
        add(client, fields(amount_minor=1.5, currency="?", user_id=""))
        reason = migrate(server).findings[0].reason
        assert all(name in reason for name in ("amount_minor", "currency", "user_id"))

    def test_they_stop_nobody_else(self, server: RedisServer, client: redis.Redis, queue: RetryQueue) -> None:
        add(client, b"5", b"null", b"\xff", fields("o1"), b"{}", fields("o2"))
        assert ends(migrate(server)) == {"scheduled": 2, "quarantined": 4}
        assert keys_in(queue)[State.SCHEDULED] == ["o1", "o2"]


class TestAmounts:
    @pytest.mark.parametrize(
        ("text", "currency", "minor"),
        [
            ("49.99", "EUR", 4999),
            ("49.990", "EUR", 4999),
            ("0.29", "EUR", 29),
            ("1.1e2", "EUR", 11000),
            ('"49.99"', "EUR", 4999),
            ("50", "eur", 5000),
            ("4999", "JPY", 4999),
            ("4999.0", "JPY", 4999),
            ("1.234", "KWD", 1234),
            ("90071992547409.93", "EUR", 9007199254740993),
        ],
    )
    def test_a_major_amount_is_taken_digit_for_digit(self, text: str, currency: str, minor: int) -> None:
        found = json_object(f'{{"user_id":"u","amount":{text},"currency":"{currency}","payment_method_id":"pm"}}'.encode())
        if minor > 10**15:
            with pytest.raises(InvalidPayment, match="amount_minor must be from 1"):
                Reading(amount_unit="major").payment(found, {})
        else:
            assert Reading(amount_unit="major").payment(found, {}).amount_minor == minor

    @pytest.mark.parametrize(
        ("text", "currency"),
        [
            ("49.999", "EUR"),
            ("0.1", "JPY"),
            ("49.99000000000000000000000000000000000000000000000000000000000000000001", "EUR"),
            ("1e-400", "EUR"),
            ('"4 999"', "EUR"),
            ('""', "EUR"),
            ('{"amount":1}', "EUR"),
        ],
    )
    def test_a_major_amount_that_is_not_exact_is_never_rounded(self, text: str, currency: str) -> None:
        found = json_object(f'{{"user_id":"u","amount":{text},"currency":"{currency}","payment_method_id":"pm"}}'.encode())
        with pytest.raises(InvalidPayment, match="amount"):
            Reading(amount_unit="major").payment(found, {})

    def test_a_number_in_the_details_keeps_all_its_digits(self) -> None:
        raw = json.dumps(fields()).replace("4999", "4999, 'a': 0.1, 'b': 0.1000000000000000000001".replace("'", '"')).encode()
        payment = BY_ORDER.payment(json_object(raw), {})
        assert dict(payment.details) == {"a": 0.1, "b": "0.1000000000000000000001"}
        assert json_object(raw)["b"] == Decimal("0.1000000000000000000001")

    def test_fields_may_have_other_names(self) -> None:
        reading = Reading(key="id", fields={"user_id": "customer", "amount": "total"}, amount_unit="major")
        found = json_object(b'{"id":7,"customer":"u","total":1.50,"currency":"EUR","payment_method_id":"pm","sku":"tea"}')
        payment = reading.payment(found, {})
        assert (payment.key, payment.user_id, payment.amount_minor, dict(payment.details)) == ("7", "u", 150, {"sku": "tea"})

    @pytest.mark.parametrize(
        "settings",
        [
            {"key": "user_id"},
            {"identity": ("user_id", "amount_minor")},
            {"key": "idempotency_key"},
            {"identity": ("order_id", "trace_id")},
            {"key": "order_id", "identity": ("order_id",)},
            {"fields": {"user": "customer"}},
        ],
    )
    def test_what_cannot_name_a_payment_is_refused_before_anything_is_read(self, settings: Any) -> None:
        with pytest.raises(ValueError, match=r"name|say either|no field"):
            Reading(**settings)


class TestIdentity:
    def test_the_service_that_enqueues_the_same_order_again_is_told_that_it_is_there(
        self, server: RedisServer, client: redis.Redis, queue: RetryQueue
    ) -> None:
        add(client, fields("o1"))
        add(client, fields("o2"), key="second")
        migrate(server)
        migrate(server, Plan(source="second", reading=Reading(identity=("order_id",))))
        charged = {"user_id": "u1", "amount_minor": 4999, "currency": "EUR", "payment_method_id": "pm_1"}
        assert queue.enqueue(Payment.from_fields("o1", charged)).answer == "duplicate"
        again = Payment.identified_by(("order_id",), {**charged, "order_id": "o2"})
        assert queue.enqueue(again).answer == "duplicate"

    def test_what_the_service_has_enqueued_before_is_not_stored_again(
        self, server: RedisServer, client: redis.Redis, queue: RetryQueue
    ) -> None:
        queue.enqueue(Payment(key="o1", user_id="u1", amount_minor=4999, currency="EUR", payment_method_id="pm_1"))
        add(client, fields("o1"))
        report = migrate(server)
        assert (ends(report), client.exists(SET)) == ({"already_there": 1}, 0)
        assert keys_in(queue)[State.SCHEDULED] == ["o1"]

    @pytest.mark.parametrize("reading", [BY_ORDER, Reading(identity=("order_id",)), Reading()])
    def test_two_members_of_one_payment_are_charged_once_and_a_person_hears_of_it(
        self, server: RedisServer, client: redis.Redis, queue: RetryQueue, reading: Reading
    ) -> None:
        add(client, fields(), fields(idempotency_key="another", trace_id="t"))
        report = migrate(server, Plan(source=SET, reading=reading))
        assert (ends(report), dict(report.kinds)) == ({"scheduled": 1, "reconcile": 1}, {"same_payment": 1})
        found = keys_in(queue)
        assert report.findings[0].key == found[State.RECONCILE][0]
        assert report.findings[0].same_as == found[State.SCHEDULED][0]

    def test_two_amounts_under_one_name_are_a_conflict(
        self, server: RedisServer, client: redis.Redis, queue: RetryQueue
    ) -> None:
        add(client, fields(amount_minor=1000))
        add(client, fields(amount_minor=2000), due_in_s=2 * HOUR_S)
        report = migrate(server)
        assert dict(report.kinds) == {"conflict": 1}
        held = queue.inspect(report.findings[0].key)
        first = queue.inspect("o1")
        assert held is not None
        assert first is not None
        assert (first.state, held.state) == (State.SCHEDULED, State.RECONCILE)
        assert (first.payment and first.payment.amount_minor, held.payment and held.payment.amount_minor) == (1000, 2000)

    def test_a_member_that_contradicts_what_the_service_has_enqueued_is_a_conflict(
        self, server: RedisServer, client: redis.Redis, queue: RetryQueue
    ) -> None:
        queue.enqueue(Payment(key="o1", user_id="u1", amount_minor=1, currency="EUR", payment_method_id="pm_1"))
        add(client, fields())
        report = migrate(server)
        assert (ends(report), dict(report.kinds)) == ({"reconcile": 1}, {"conflict": 1})
        assert len(keys_in(queue)[State.RECONCILE]) == 1

    def test_two_payments_of_one_user_that_differ_are_two(
        self, server: RedisServer, client: redis.Redis, queue: RetryQueue
    ) -> None:
        add(client, fields("o1"), fields("o2"))
        assert ends(migrate(server, Plan(source=SET))) == {"scheduled": 2}
        assert len(keys_in(queue)[State.SCHEDULED]) == 2


class TestDryRun:
    def test_it_changes_nothing_and_foretells_everything(self, server: RedisServer, client: redis.Redis) -> None:
        self._fill(client)
        plan = Plan(source=SET, reading=BY_ORDER, dead_letters=LETTERS, accepted=f"{ACCEPTED}:*")
        before = self._everything(client)
        foretold = migrate(server, plan, dry_run=True)
        assert self._everything(client) == before
        done = migrate(server, plan)
        names = ("read", "outcomes", "kinds", "findings", "accepted_keys", "suspects")
        assert [getattr(foretold, name) for name in names] == [getattr(done, name) for name in names]
        assert done.left == 0

    def test_it_knows_what_is_in_the_queue_already(self, server: RedisServer, client: redis.Redis, queue: RetryQueue) -> None:
        charged = {"user_id": "u1", "currency": "EUR", "payment_method_id": "pm_1"}
        queue.enqueue(Payment.from_fields("o1", {**charged, "amount_minor": 4999}))
        queue.enqueue(Payment.from_fields("o2", {**charged, "amount_minor": 1}))
        add(client, fields("o1"), fields("o2"), fields("o3"))
        before = client.zrange(SET, 0, -1)
        foretold = migrate(server, dry_run=True)
        assert ends(foretold) == {"already_there": 1, "reconcile": 1, "scheduled": 1}
        assert client.zrange(SET, 0, -1) == before
        assert ends(migrate(server)) == ends(foretold)

    def _everything(self, client: Any) -> dict[bytes, bytes]:
        return {key: client.dump(key) for key in client.scan_iter()}

    def _fill(self, client: redis.Redis) -> None:
        add(client, *(fields(f"o{number}", user_id=f"u{number % 50}") for number in range(230)))
        add(client, fields("late"), b"5", fields("o1", amount_minor=1), due_in_s=-5)
        add(client, fields("o2", trace_id="t"), due_in_s=2 * HOUR_S)
        client.lpush(LETTERS, *(json.dumps(fields(f"d{number % 120}")) for number in range(130)))
        for number in range(4):
            client.set(f"{ACCEPTED}:u49:172917640{number}", "1")
            client.set(f"{ACCEPTED}:u99:172917640{number}", "1")


class TestWhatTheOldQueueSwallowed:
    def test_the_deployed_queue_swallowed_a_purchase_with_the_same_bytes(
        self, server: RedisServer, client: redis.Redis, published: tuple[ModuleType, ModuleType]
    ) -> None:
        original, _ = published
        queue = original.PaymentRetryQueue(client, charge=lambda _: True, retry_delay_s=HOUR_S)
        purchase = {"user_id": "u1", "amount": 49.99, "currency": "EUR", "payment_method_id": "pm_1"}
        assert queue.enqueue(purchase)
        wait_until(lambda: queue.enqueue(purchase), "another second has begun")
        assert queue.enqueue({**purchase, "user_id": "u2"})
        assert client.zcard(original.QUEUE) == 2
        self._check(server, original)

    def test_so_did_the_published_correction(
        self, server: RedisServer, client: redis.Redis, published: tuple[ModuleType, ModuleType]
    ) -> None:
        _, fixed = published
        queue = fixed.PaymentRetryQueue(client, charge=lambda _: True, retry_delay_s=HOUR_S)
        purchase = {"user_id": "u1", "amount": 49.99, "currency": "EUR", "payment_method_id": "pm_1"}
        assert [queue.enqueue(purchase) for _ in range(2)] == [True, True]
        assert queue.enqueue({**purchase, "user_id": "u2"})
        assert client.zcard(fixed.QUEUE) == 2
        self._check(server, fixed)

    def _check(self, server: RedisServer, module: ModuleType) -> None:
        plan = Plan(source=module.QUEUE, reading=Reading(amount_unit="major"), accepted=f"{module.IDEMPOTENCY}:*")
        report = migrate(server, plan)
        assert (ends(report), report.accepted_keys) == ({"scheduled": 2}, 3)
        assert [(item.subject, item.accepted, item.members) for item in report.suspects] == [("u1", 2, 1)]
        assert "  u1: accepted 2 times, 1 member" in report.lines()
        assert report.needs_a_person

    def test_where_the_keys_hold_an_order_each_order_without_a_member_is_reported(
        self, server: RedisServer, client: redis.Redis
    ) -> None:
        add(client, fields("o1"), fields("o2"))
        for number, order in enumerate(("o1", "o1", "o2", "o3")):
            client.set(f"{ACCEPTED}:u1:{time.time_ns()}:{number:08x}", order)
        plan = Plan(source=SET, reading=BY_ORDER, accepted=f"{ACCEPTED}:*", accepted_value="order_id")
        report = migrate(server, plan)
        assert [(item.subject, item.accepted, item.members) for item in report.suspects] == [("o3", 1, 0)]

    def test_keys_that_do_not_say_whose_they_are_are_counted(self, server: RedisServer, client: redis.Redis) -> None:
        add(client, fields())
        client.mset({f"{ACCEPTED}:u1:1729176400": "1", f"{ACCEPTED}:0123456789abcdef": "1"})
        report = migrate(server, Plan(source=SET, reading=BY_ORDER, accepted=f"{ACCEPTED}:*"))
        assert (report.accepted_keys, report.unattributed_keys, report.suspects) == (2, 1, [])
        assert report.needs_a_person

    def test_a_key_that_the_scan_tells_twice_is_counted_once(
        self, server: RedisServer, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add(client, fields())
        client.set(f"{ACCEPTED}:u1:1729176400", "1")
        scan = Redis.scan_iter

        def twice(client: Any, **options: Any) -> Iterator[bytes]:
            yield from [*scan(client, **options), *scan(client, **options)]

        monkeypatch.setattr(Redis, "scan_iter", twice)
        report = migrate(server, Plan(source=SET, reading=BY_ORDER, accepted=f"{ACCEPTED}:*"))
        assert (report.accepted_keys, report.suspects) == (1, [])

    def test_a_second_run_still_knows_what_the_first_one_moved(self, server: RedisServer, client: redis.Redis) -> None:
        add(client, fields())
        client.mset({f"{ACCEPTED}:u1:1729176400": "1", f"{ACCEPTED}:u2:1729176400": "1"})
        plan = Plan(source=SET, reading=BY_ORDER, accepted=f"{ACCEPTED}:*")
        first, second = migrate(server, plan), migrate(server, plan)
        assert second.read == 0
        assert first.suspects == second.suspects
        assert [item.subject for item in second.suspects] == ["u2"]


@pytest.fixture
def published() -> tuple[ModuleType, ModuleType]:
    """The two queues of the incident, from the examples."""
    from published_queues import fixed, original  # noqa: PLC0415 - they need tenacity, which nothing else here does.

    return original, fixed


KILLED = """
import sys
from retryqueue.migration import Migration, Plan, Reading
plan = Plan(source=sys.argv[2], reading=Reading(key="order_id"), dead_letters=sys.argv[3])
with Migration(sys.argv[1], plan, dry_run=False, durability="ignore") as migration:
    migration._old.check()
    print("ready", flush=True)
    migration.run()
    print("done", flush=True)
"""


class TestCrashes:
    def test_killed_at_any_moment_and_run_again_it_loses_and_doubles_nothing(self) -> None:
        chance = random.Random(20241017)
        cut = 0
        with RedisServer() as server, server.client() as client, RetryQueue(server.url, durability="ignore") as queue:
            for number in range(20):
                client.flushall()
                queue.operations._dialect = None
                expected = self._fill(client, number)
                while client.exists(SET, LETTERS) and cut < 200:
                    cut += self._killed(server, chance)
                migrate(server, Plan(source=SET, reading=BY_ORDER, dead_letters=LETTERS))
                assert self._stored(queue) == expected
                assert client.exists(SET, LETTERS) == 0
        assert cut >= 20

    def _fill(self, client: redis.Redis, number: int) -> Counter[str]:
        """Some of everything; answers where each must be found, by state and order (or bytes)."""
        add(client, *(fields(f"o{number}-{order}") for order in range(150)))
        add(client, *(fields(f"late{order}") for order in range(40)), *(f"{bad}".encode() for bad in range(15)), due_in_s=-60)
        add(client, *(fields(f"o{number}-{order}", trace_id="t") for order in range(20)), due_in_s=2 * HOUR_S)
        client.lpush(LETTERS, *(json.dumps(fields(f"d{order // 2}")) for order in range(120)))
        scheduled = [f"scheduled o{number}-{order}" for order in range(150)]
        held = [f"reconcile late{order}" for order in range(40)] + [f"reconcile o{number}-{order}" for order in range(20)]
        letters = [f"reconcile d{order // 2}" for order in range(120)]
        return Counter(scheduled + held + letters + [f"quarantined {bad}" for bad in range(15)])

    def _killed(self, server: RedisServer, chance: random.Random) -> int:
        """Starts a migration and kills it; answers 1 if it was not done by then."""
        command = [sys.executable, "-c", KILLED, server.url, SET, LETTERS]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(chance.uniform(0, 0.03))
            process.kill()
            return int("done" not in process.stdout.read())

    def _stored(self, queue: RetryQueue) -> Counter[str]:
        found: Counter[str] = Counter()
        for state in (State.SCHEDULED, State.RECONCILE):
            found.update(f"{state} {item.key.partition('~')[0]}" for item in queue.items(state))
        found.update(f"quarantined {(item.raw or b'').decode()}" for item in queue.items(State.QUARANTINED))
        return found

    def test_what_was_charged_between_two_runs_is_not_charged_again(
        self, server: RedisServer, client: redis.Redis, queue: RetryQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add(client, *(fields(f"o{number}") for number in range(5)), due_in_s=-1)
        plan = Plan(source=SET, reading=BY_ORDER, overdue="schedule")
        self._die_before_removing(server, plan, monkeypatch)
        ledger = Ledger()
        with Working(Worker(server.url, ledger.charge, durability="ignore")):
            wait_until(lambda: queue.status().counts[State.SUCCEEDED] == 5, "all are charged")
            assert client.zcard(SET) == 5
            assert ends(migrate(server, plan)) == {"already_there": 5}
            time.sleep(0.2)
        assert {key: len(references) for key, references in ledger.charges.items()} == {f"o{n}": 1 for n in range(5)}
        assert queue.status().counts[State.SUCCEEDED] == 5

    def test_other_options_after_a_crash_schedule_nothing_twice(
        self, server: RedisServer, client: redis.Redis, queue: RetryQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add(client, fields("o1"))
        self._die_before_removing(server, Plan(source=SET), monkeypatch)
        report = migrate(server)
        assert (ends(report), dict(report.kinds)) == ({"reconcile": 1}, {"earlier_run": 1})
        found = keys_in(queue)
        assert (len(found[State.SCHEDULED]), len(found[State.RECONCILE])) == (1, 1)

    def test_a_run_that_is_ended_after_keys_may_have_been_forgotten_schedules_nothing_from_before(
        self, server: RedisServer, client: redis.Redis, queue: RetryQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add(client, fields("o1"))
        self._die_before_removing(server, Plan(source=SET, reading=BY_ORDER), monkeypatch)
        client.delete("{payments:0}:items", "{payments:0}:due")  # As if it had been charged, and its key's life were over.
        read = ForeignQueue.members
        later_ms = Policy().key_lives_ms + 1000

        def days_later(old: ForeignQueue, skipped: int) -> tuple[int, list[Found]]:
            now_ms, page = read(old, skipped)
            return now_ms + later_ms, page

        with monkeypatch.context() as patch:
            patch.setattr(ForeignQueue, "members", days_later)
            report = migrate(server, Plan(source=SET, reading=BY_ORDER, overdue="schedule"))
        assert dict(report.kinds) == {"earlier_run": 1}
        assert keys_in(queue)[State.SCHEDULED] == []

    def _die_before_removing(self, server: RedisServer, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
        def die(*_: object) -> list[Found]:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(ForeignQueue, "remove", die)
            with pytest.raises(KeyboardInterrupt):
                migrate(server, plan)

    def test_it_goes_on_through_a_restart_of_the_server(self) -> None:
        with RedisServer(appendfsync="always") as server, server.client() as client:
            add(client, *(fields(f"o{number}") for number in range(450)))
            restarted: list[int] = []

            def restart(report: Report) -> None:
                if report.read >= 200 and not restarted:
                    restarted.append(report.read)
                    server.kill()
                    threading.Timer(0.3, server.start).start()

            report = migrate(server, progress=restart, patience_s=20.0)
            assert restarted
            assert (report.finished, ends(report), report.left) == (True, {"scheduled": 450}, 0)
            with RetryQueue(server.url, durability="ignore") as queue:
                assert keys_in(queue)[State.SCHEDULED] == sorted(f"o{number}" for number in range(450))

    def test_a_server_that_stays_away_is_told_with_what_was_done_and_a_second_run_ends_it(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        remove = ForeignQueue.remove
        with RedisServer(appendfsync="always") as server, server.client() as client:
            add(client, *(fields(f"o{number}") for number in range(250)))

            def remove_and_crash(old: ForeignQueue, page: list[Found]) -> list[Found]:
                gone = remove(old, page)
                server.kill()
                return gone

            command = ["--server", server.url, "--patience-s", "0.3", "migrate", SET, "--key", "order_id", "--yes"]
            with monkeypatch.context() as patch:
                patch.setattr(ForeignQueue, "remove", remove_and_crash)
                assert main([*command, "--format", "json"]) == 3
            told = json.loads(capsys.readouterr().out)
            assert (told["finished"], told["counts"]["read"], told["counts"]["scheduled"]) == (False, 100, 100)
            server.start()
            assert main(command) == 0
            assert "read                         150" in capsys.readouterr().out
            with RetryQueue(server.url, durability="ignore") as queue:
                assert queue.status().counts[State.SCHEDULED] == 250

    def test_stopped_by_a_person_it_tells_what_it_has_done(
        self,
        server: RedisServer,
        client: redis.Redis,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        add(client, *(fields(f"o{number}") for number in range(150)))
        read = ForeignQueue.members

        def stopped(old: ForeignQueue, skipped: int) -> tuple[int, list[Found]]:
            if client.zcard(SET) == 50:
                raise KeyboardInterrupt
            return read(old, skipped)

        monkeypatch.setattr(ForeignQueue, "members", stopped)
        assert main(["--server", server.url, "migrate", SET, "--key", "order_id", "--yes"]) == 130
        told = capsys.readouterr().out
        assert "NOT FINISHED" in told
        assert "scheduled                    100" in told


class TestOldProcessesThatStillRun:
    def test_what_an_old_producer_adds_meanwhile_is_migrated_too(
        self, server: RedisServer, client: redis.Redis, queue: RetryQueue
    ) -> None:
        add(client, *(fields(f"o{number}") for number in range(300)))
        added = [300]

        def produce(_report: Report) -> None:
            if added[0] < 500:
                add(client, *(fields(f"o{number}") for number in range(added[0], added[0] + 50)))
                added[0] += 50

        report = migrate(server, progress=produce)
        assert (ends(report), report.left) == ({"scheduled": 500}, 0)
        assert queue.status().counts[State.SCHEDULED] == 500

    def test_what_comes_after_the_last_page_is_reported_as_left(
        self, server: RedisServer, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add(client, fields("o1"))
        check = Migration._look_for_lost

        def late(migration: Migration) -> None:
            add(client, fields("o2"))
            check(migration)

        monkeypatch.setattr(Migration, "_look_for_lost", late)
        report = migrate(server)
        assert (report.left, report.needs_a_person) == (1, True)
        assert client.zcard(SET) == 1

    def test_a_purchase_of_the_same_bytes_that_comes_while_the_first_one_is_stored_is_not_swallowed(
        self, server: RedisServer, client: redis.Redis, queue: RetryQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add(client, fields("o1"))
        self._when_stored(monkeypatch, lambda: add(client, fields("o1"), due_in_s=2 * HOUR_S))
        report = migrate(server, Plan(source=SET))
        assert (ends(report), dict(report.kinds)) == ({"scheduled": 1, "reconcile": 1}, {"same_payment": 1})
        assert len(keys_in(queue)[State.RECONCILE]) == 1

    def test_a_purchase_of_the_same_bytes_that_comes_afterwards_is_not_swallowed(
        self, server: RedisServer, client: redis.Redis, queue: RetryQueue
    ) -> None:
        add(client, fields("o1"))
        migrate(server, Plan(source=SET))
        add(client, fields("o1"), due_in_s=2 * HOUR_S)
        assert ends(migrate(server, Plan(source=SET))) == {"reconcile": 1}
        found = keys_in(queue)
        assert (len(found[State.SCHEDULED]), len(found[State.RECONCILE])) == (1, 1)

    def test_what_an_old_worker_removes_after_it_was_stored_is_told(
        self, server: RedisServer, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add(client, fields("o1"), fields("o2"))
        self._when_stored(monkeypatch, lambda: client.zrem(SET, json.dumps(fields("o2"))))
        report = migrate(server)
        assert (report.taken, report.needs_a_person) == (["o2"], True)
        assert any("an old worker is still running" in line for line in report.lines())

    def test_a_dead_letter_that_comes_meanwhile_is_not_taken_for_the_one_that_was_read(
        self, server: RedisServer, client: redis.Redis, queue: RetryQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        letter = json.dumps(fields("d1"))
        client.lpush(LETTERS, letter)
        self._when_stored(monkeypatch, lambda: client.lpush(LETTERS, letter))
        report = migrate(server, Plan(source=SET, reading=BY_ORDER, dead_letters=LETTERS))
        assert (ends(report), report.left) == ({"reconcile": 2}, 0)
        assert len(keys_in(queue)[State.RECONCILE]) == 2

    def _when_stored(self, monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
        """Does something once, after the first page is stored and before it is removed."""
        remove, done = ForeignQueue.remove, threading.Event()

        def acted(old: ForeignQueue, page: list[Found]) -> list[Found]:
            if not done.is_set():
                done.set()
                act()
            return remove(old, page)

        monkeypatch.setattr(ForeignQueue, "remove", acted)


class TestServers:
    def test_the_old_queue_may_lie_on_another_server(self, server: RedisServer, client: redis.Redis, queue: RetryQueue) -> None:
        with RedisServer() as old, old.client() as old_client:
            add(old_client, *(fields(f"o{number}") for number in range(120)))
            report = migrate(server, old_server=old.url)
            assert (ends(report), old_client.dbsize()) == ({"scheduled": 120}, 0)
        assert client.exists(SET) == 0
        assert queue.status().counts[State.SCHEDULED] == 120

    def test_both_may_lie_on_a_cluster(self) -> None:
        with Cluster(debian_redis()) as cluster, RetryQueue(cluster.url, durability="ignore") as queue:
            client = queue._server.client
            add(client, *(fields(f"o{number}", user_id=f"u{number}") for number in range(220)), b"5")
            client.lpush(LETTERS, *[json.dumps(fields("d1"))] * 2)
            for number in range(230):
                client.set(f"{ACCEPTED}:u{number}:1729176400", f"o{number}")
            for value in (None, "order_id"):
                plan = Plan(source=SET, reading=BY_ORDER, dead_letters=LETTERS, accepted=f"{ACCEPTED}:*", accepted_value=value)
                with Migration(cluster.url, plan, durability="ignore") as migration:
                    assert len(migration.run().suspects) == 10
            with Migration(cluster.url, plan, dry_run=False, durability="ignore") as migration:
                report = migration.run()
            assert ends(report) == {"scheduled": 220, "reconcile": 2, "quarantined": 1}
            assert (report.left, len(report.suspects), client.exists(SET)) == (0, 10, 0)
            assert queue.status().counts[State.SCHEDULED] == 220


class TestCommand:
    def test_without_yes_it_is_a_dry_run(
        self, server: RedisServer, client: redis.Redis, capsys: pytest.CaptureFixture[str]
    ) -> None:
        add(client, fields("o1"))
        assert main(["--server", server.url, "migrate", SET, "--key", "order_id"]) == 0
        assert "dry run" in capsys.readouterr().out
        assert client.zcard(SET) == 1
        assert main(["--server", server.url, "migrate", SET, "--key", "order_id", "--yes"]) == 0
        assert client.zcard(SET) == 0

    def test_the_report_as_json_names_its_version_and_adds_up(
        self, server: RedisServer, client: redis.Redis, capsys: pytest.CaptureFixture[str]
    ) -> None:
        add(client, fields("o1"), fields("o2", retry_count=1), b"5")
        code = main(["--server", server.url, "migrate", SET, "--key", "order_id", "--yes", "--format", "json"])
        told = json.loads(capsys.readouterr().out)
        counts = told["counts"]
        assert (code, told["version"], told["finished"], told["needs_a_person"]) == (1, 1, True, True)
        assert counts == {"read": 3, "scheduled": 1, "reconcile": 1, "quarantined": 1, "already_there": 0, "left": 0}
        assert {finding["kind"] for finding in told["findings"]} == {"attempted", "unreadable"}

    def test_every_option_reaches_the_migration(self, server: RedisServer, client: redis.Redis, queue: RetryQueue) -> None:
        member = {"order": "o1", "who": "u1", "total": 49.99, "currency": "EUR", "pm": "pm_1", "n": 2, "seen": "x"}
        add(client, member, due_in_s=-600)
        stopped = (datetime.now(tz=UTC) - timedelta(hours=1)).isoformat()
        options = ["--identity", "order", "--amount-unit", "major", "--context", "seen", "--attempted", "schedule"]
        for pair in ("user_id=who", "amount=total", "payment_method_id=pm", "retry_count=n"):
            options += ["--field", pair]
        assert main(["--server", server.url, "migrate", SET, "--yes", "--workers-stopped-at", stopped, *options]) == 0
        (item,) = queue.items(State.SCHEDULED)
        assert item.payment is not None
        assert (item.payment.amount_minor, item.payment.user_id, dict(item.payment.details)) == (4999, "u1", {"order": "o1"})
        assert item.payment.context["migrated"]["fields"] == {"n": 2, "seen": "x"}

    def test_a_misspelt_name_is_not_taken_for_an_empty_queue(
        self, server: RedisServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["--server", server.url, "migrate", "payments:retry:quee", "--yes"]) == 1
        assert "is the name right?" in capsys.readouterr().out

    def test_a_queue_that_was_emptied_before_is_empty(
        self, server: RedisServer, client: redis.Redis, capsys: pytest.CaptureFixture[str]
    ) -> None:
        add(client, fields())
        assert [main(["--server", server.url, "migrate", SET, "--yes"]) for _ in range(2)] == [0, 0]
        assert "is the name right?" not in capsys.readouterr().out

    @pytest.mark.parametrize(
        "options",
        [
            ["--key", "user_id"],
            ["--key", "order_id", "--identity", "order_id"],
            ["--field", "nonsense"],
            ["--field", "shoe=size"],
            ["--workers-stopped-at", "2026-01-31T03:12:00"],
            ["--workers-stopped-at", "2999-01-31T03:12:00Z"],
            ["--workers-stopped-at", "yesterday"],
            ["--identity", "a,,b"],
            ["--accepted-value", "order_id"],
            ["--from", "redis://user:secret@host:port"],
            ["--yes", "--dry-run"],
        ],
    )
    def test_wrong_options_are_told_before_anything_is_read(
        self, server: RedisServer, client: redis.Redis, capsys: pytest.CaptureFixture[str], options: list[str]
    ) -> None:
        add(client, fields())
        assert main(["--server", server.url, "migrate", SET, *options]) == 2
        assert "secret" not in "".join(capsys.readouterr())
        assert client.zcard(SET) == 1

    def test_a_key_of_another_kind_is_refused(self, server: RedisServer, client: redis.Redis) -> None:
        client.lpush(LETTERS, "x")
        assert main(["--server", server.url, "migrate", LETTERS, "--yes"]) == 2
        add(client, fields())
        assert main(["--server", server.url, "migrate", SET, "--yes", "--dead-letters", SET]) == 2
        assert (client.llen(LETTERS), client.zcard(SET)) == (1, 1)

    def test_it_tells_how_far_it_is_while_it_takes_long(
        self,
        server: RedisServer,
        client: redis.Redis,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("retryqueue.cli.verbs.migrate._TELLS_EVERY_S", 0.0)
        add(client, *(fields(f"o{number}") for number in range(150)))
        main(["--server", server.url, "migrate", SET, "--key", "order_id", "--yes"])
        assert "100 read\n150 read\n" in capsys.readouterr().err

    def test_no_bytes_of_a_member_reach_the_report(
        self, server: RedisServer, client: redis.Redis, capsys: pytest.CaptureFixture[str]
    ) -> None:
        add(client, fields(payment_method_id="4242424242424242"), b"4242424242424242 \x1b[2J")
        command = ["--server", server.url, "migrate", SET, "--yes"]
        assert [main(command), main([*command, "--accept-unreadable"])] == [2, 1]
        said = "".join(capsys.readouterr())
        assert "42424242" not in said  # Four of them may well be part of a made-up name.
        assert "\x1b" not in said


def incident(who: str = "u1", **changed: object) -> dict[str, Any]:
    """A payment as the incident's service gave it to its queue: in major units, and without an order."""
    usual = {"retry_count": 0, "user_id": who, "amount": 49.99, "currency": "EUR", "payment_method_id": "pm_1"}
    return {**usual, **changed}


MAJOR = Plan(source=SET, reading=Reading(amount_unit="major"))


class TestWrongOptions:
    @pytest.mark.parametrize(
        ("reading", "changed", "told"),
        [
            (Reading(), {}, "there is an amount; give --amount-unit major, or --field amount=amount for minor units"),
            (
                Reading(),
                {"amount": None, "total": 5},
                "there is a total; give --field amount=total, and --amount-unit major if",
            ),
            (Reading(), {"amount": None, "price": "1.50"}, "there is a price; give --field amount=price, and"),
            (Reading(), {"amount": None, "amount_cents": 5}, "there is an amount_cents; give --field amount=amount_cents"),
            (
                Reading(amount_unit="major"),
                {"amount": None, "amount_minor": 5},
                "there is an amount_minor; give --field amount=amount_minor and --amount-unit minor",
            ),
            (Reading(), {"user_id": None, "user": "u"}, "there is a user; give --field user_id=user"),
            (
                Reading(fields={"payment_method_id": "pm"}),
                {},
                "there is a payment_method_id; give --field payment_method_id=payment_method_id",
            ),
            (
                Reading(),
                {"payment_method_id": None, "payment_method": "pm"},
                "there is a payment_method; give --field payment_method_id=payment_method",
            ),
            (Reading(key="order_id"), {}, "order_id names the payment, but is missing; without --key, equal members are one"),
        ],
    )
    def test_a_member_that_cannot_be_read_tells_which_option_would_read_it(
        self, reading: Reading, changed: dict[str, Any], told: str
    ) -> None:
        with pytest.raises(InvalidPayment) as caught:
            reading.payment(json_object(json.dumps(incident(**changed)).encode()), {})
        assert told in str(caught.value)

    @pytest.mark.parametrize("changed", [{"user_id": None, "user": {"id": 1}}, {"amount": None, "price": ["1"]}])
    def test_nothing_is_told_that_would_not_help(self, changed: dict[str, Any]) -> None:
        with pytest.raises(InvalidPayment) as caught:
            Reading(amount_unit="major").payment(json_object(json.dumps(incident(**changed)).encode()), {})
        assert "there is" not in str(caught.value)

    def test_yes_moves_nothing_if_most_of_the_first_members_cannot_be_read(
        self, server: RedisServer, client: redis.Redis, capsys: pytest.CaptureFixture[str]
    ) -> None:
        add(client, *(incident(f"u{number}") for number in range(9)), b"5")
        before = client.dump(SET)
        assert main(["--server", server.url, "migrate", SET, "--yes"]) == 2
        said = capsys.readouterr().err
        assert f"nothing was moved: 10 of the first 10 members of {SET} cannot be read as payments\n" in said
        assert "  9 times: there is an amount; give --amount-unit major" in said
        assert "  once: a payment is a JSON object, found int\n" in said
        assert "--accept-unreadable" in said
        assert client.dump(SET) == before
        assert list(client.scan_iter(match="*:migrated:*")) == []

    def test_a_dry_run_tells_that_yes_would_refuse(
        self, server: RedisServer, client: redis.Redis, capsys: pytest.CaptureFixture[str]
    ) -> None:
        add(client, incident())
        assert main(["--server", server.url, "migrate", SET]) == 1
        assert "--yes would refuse: 1 of the first 1 member of" in capsys.readouterr().err

    def test_half_of_them_are_moved_and_so_is_everything_if_that_is_said(
        self, server: RedisServer, client: redis.Redis, queue: RetryQueue
    ) -> None:
        add(client, incident(), fields())
        assert main(["--server", server.url, "migrate", SET, "--yes"]) == 1
        add(client, incident("u2"))
        assert main(["--server", server.url, "migrate", SET, "--yes", "--accept-unreadable"]) == 1
        assert queue.status().counts[State.QUARANTINED] == 2
        assert client.exists(SET) == 0

    def test_dead_letters_are_looked_at_too(self, server: RedisServer, client: redis.Redis) -> None:
        add(client, fields())
        client.lpush(LETTERS, json.dumps(incident()))
        assert main(["--server", server.url, "migrate", SET, "--yes", "--dead-letters", LETTERS]) == 2
        assert (client.zcard(SET), client.llen(LETTERS)) == (1, 1)


KILLED_AGAIN = """
import sys
from retryqueue.migration import Migration, Plan, Reading
plan = Plan(source=sys.argv[2], reading=Reading(amount_unit="major"), dead_letters=sys.argv[3], again=True)
with Migration(sys.argv[1], plan, dry_run=False, durability="ignore") as migration:
    migration._old.check()
    print("ready", flush=True)
    migration.run()
    print("done", flush=True)
"""


class TestAgain:
    AGAIN = Plan(source=SET, reading=Reading(amount_unit="major"), dead_letters=LETTERS, again=True)

    def test_what_was_unreadable_becomes_what_it_should_have_been(
        self, server: RedisServer, client: redis.Redis, queue: RetryQueue
    ) -> None:
        add(client, *(incident(f"u{number}") for number in range(250)))
        add(client, incident("late"), due_in_s=-60)
        add(client, incident("u1", trace_id="t"), due_in_s=2 * HOUR_S)
        add(client, b"5")
        due_s: Any = client.zscore(SET, json.dumps(incident("u7")))
        client.lpush(LETTERS, json.dumps(incident("u2")))
        assert ends(migrate(server, Plan(source=SET, dead_letters=LETTERS))) == {"quarantined": 254}
        report = migrate(server, self.AGAIN)
        assert ends(report) == {"scheduled": 249, "reconcile": 4, "quarantined": 1}
        assert dict(report.kinds) == {"overdue": 1, "same_payment": 2, "dead_letter": 1, "unreadable": 1}
        counts = queue.status().counts
        assert [counts[state] for state in (State.SCHEDULED, State.RECONCILE, State.QUARANTINED)] == [249, 4, 1]
        (item,) = (item for item in queue.items(State.SCHEDULED) if item.payment and item.payment.user_id == "u7")
        assert item.payment is not None
        assert abs(item.since_ms - due_s * 1000) < 2_000
        assert item.payment.amount_minor == 4999
        assert item.payment.context["migrated"]["from"] == SET

    def test_a_dry_run_foretells_it_and_changes_nothing(self, server: RedisServer, client: redis.Redis) -> None:
        add(client, *(incident(f"u{number % 90}", trace_id=str(number)) for number in range(130)), b"5")
        migrate(server, Plan(source=SET))
        before = self._everything(client)
        foretold = migrate(server, self.AGAIN, dry_run=True)
        assert self._everything(client) == before
        done = migrate(server, self.AGAIN)
        assert [foretold.outcomes, foretold.kinds] == [done.outcomes, done.kinds]
        assert ends(migrate(server, self.AGAIN)) == {"quarantined": 1}

    def _everything(self, client: redis.Redis) -> dict[bytes, object]:
        """All keys; of a hash what is in it, since reading may change the order in which the server keeps it."""
        keys = list(client.scan_iter())
        return {key: client.hgetall(key) if client.type(key) == b"hash" else client.dump(key) for key in keys}

    def test_a_dry_run_on_a_server_without_the_queue_makes_none(self, server: RedisServer, client: redis.Redis) -> None:
        assert migrate(server, self.AGAIN, dry_run=True).read == 0
        assert client.dbsize() == 0

    def test_only_members_of_this_sorted_set_are_read(
        self, server: RedisServer, client: redis.Redis, queue: RetryQueue
    ) -> None:
        add(client, incident(), key="another")
        migrate(server, Plan(source="another"))
        queue._server.carry(queue.operations.refuse("by-hand", json.dumps(incident("u2")).encode(), "by somebody"))
        assert migrate(server, self.AGAIN).read == 0
        assert queue.status().counts[State.QUARANTINED] == 2

    @pytest.mark.parametrize("is_older", [False, True])
    def test_what_is_forgotten_stays_and_is_told(
        self, server: RedisServer, client: redis.Redis, queue: RetryQueue, *, is_older: bool
    ) -> None:
        add(client, incident())
        migrate(server, Plan(source=SET))
        for key in list(client.scan_iter(match="*:migrated:*")):
            notes: Any = client.hgetall(key)
            client.delete(key)
            for name, note in notes.items() if is_older else ():
                client.hset(key, name, json.dumps(json.loads(note)[:6]) if name.startswith(b"member:") else note)
        report = migrate(server, self.AGAIN)
        assert (report.read, report.forgotten, report.needs_a_person) == (0, 1, True)
        assert any(line.startswith("1 stays in quarantine") for line in report.lines())
        assert queue.status().counts[State.QUARANTINED] == 1

    def test_killed_at_any_moment_and_run_again_it_loses_and_doubles_nothing(self) -> None:
        chance = random.Random(20241018)
        cut = 0
        with RedisServer() as server, server.client() as client, RetryQueue(server.url, durability="ignore") as queue:
            for _ in range(5):
                client.flushall()
                queue.operations._dialect = None
                add(client, *(incident(f"u{number % 200}", trace_id=str(number)) for number in range(300)), b"5")
                client.lpush(LETTERS, *(json.dumps(incident(f"d{number}")) for number in range(30)))
                migrate(server, Plan(source=SET, dead_letters=LETTERS))
                for _ in range(4):
                    cut += self._killed(server, chance)
                migrate(server, self.AGAIN)
                scheduled = [item.payment.user_id for item in queue.items(State.SCHEDULED) if item.payment]
                counts = queue.status().counts
                assert sorted(scheduled) == sorted(f"u{number}" for number in range(200))
                assert (counts[State.RECONCILE], counts[State.QUARANTINED]) == (130, 1)
        assert cut >= 5

    def _killed(self, server: RedisServer, chance: random.Random) -> int:
        """Starts reading again and kills it; answers 1 if it was not done by then."""
        command = [sys.executable, "-c", KILLED_AGAIN, server.url, SET, LETTERS]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(chance.uniform(0, 0.06))
            process.kill()
            return int("done" not in process.stdout.read())

    def test_after_days_what_can_be_read_now_is_as_new(
        self, server: RedisServer, client: redis.Redis, queue: RetryQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add(client, incident(), due_in_s=20 * 86_400)
        migrate(server, Plan(source=SET))
        known, later_ms = Memory.known, Policy().key_lives_ms + 1000
        monkeypatch.setattr(
            Memory, "known", lambda ledger, names: (known(ledger, names)[0] + later_ms, known(ledger, names)[1])
        )
        report = migrate(server, self.AGAIN, policy=Policy(longest_delay_ms=21 * 86_400_000))
        assert ends(report) == {"scheduled": 1}
        assert queue.status().counts[State.QUARANTINED] == 0

    def test_what_is_stored_and_not_yet_purged_is_not_stored_twice(
        self, server: RedisServer, client: redis.Redis, queue: RetryQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add(client, incident())
        migrate(server, Plan(source=SET))
        with monkeypatch.context() as patch:
            patch.setattr(moving._Queue, "forget", self._stop)
            with pytest.raises(KeyboardInterrupt):
                migrate(server, self.AGAIN)
        counts = queue.status().counts
        assert (counts[State.SCHEDULED], counts[State.QUARANTINED]) == (1, 1)
        assert ends(migrate(server, self.AGAIN)) == {"already_there": 1}
        counts = queue.status().counts
        assert (counts[State.SCHEDULED], counts[State.QUARANTINED]) == (1, 0)
        del client

    @pytest.mark.parametrize("is_again_first", [True, False])
    def test_a_member_that_is_in_quarantine_and_still_in_the_set_is_stored_once(
        self,
        server: RedisServer,
        client: redis.Redis,
        queue: RetryQueue,
        monkeypatch: pytest.MonkeyPatch,
        is_again_first: bool,  # noqa: FBT001 - a case.
    ) -> None:
        add(client, incident())
        with monkeypatch.context() as patch:
            patch.setattr(ForeignQueue, "remove", self._stop)
            with pytest.raises(KeyboardInterrupt):
                migrate(server, Plan(source=SET))
        plans = [self.AGAIN, MAJOR] if is_again_first else [MAJOR, self.AGAIN]
        kinds = [dict(migrate(server, plan).kinds) for plan in plans]
        assert kinds == ([{}, {}] if is_again_first else [{"earlier_run": 1}, {}])
        counts = queue.status().counts
        assert (counts[State.SCHEDULED], counts[State.RECONCILE]) == ((1, 0) if is_again_first else (0, 1))
        assert (counts[State.QUARANTINED], client.exists(SET)) == (0, 0)

    def _stop(self, *_: object) -> list[Found]:
        raise KeyboardInterrupt

    def test_the_command_goes_all_the_way_back(
        self, server: RedisServer, client: redis.Redis, queue: RetryQueue, capsys: pytest.CaptureFixture[str]
    ) -> None:
        add(client, *(incident(f"u{number}") for number in range(9)))
        command = ["--server", server.url, "migrate", SET, "--yes"]
        assert main([*command, "--accept-unreadable"]) == 1
        assert "--again reads it from there" in capsys.readouterr().out
        assert main([*command, "--again", "--amount-unit", "major", "--format", "json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["again"], told["forgotten"], told["counts"]["scheduled"]) == (True, 0, 9)
        counts = queue.status().counts
        assert (counts[State.SCHEDULED], counts[State.QUARANTINED]) == (9, 0)


def test_one_is_not_told_as_many(server: RedisServer, client: redis.Redis) -> None:
    add(client, fields())
    client.set(f"{ACCEPTED}:0123", "1")
    lines = migrate(server, Plan(source=SET, reading=BY_ORDER, accepted=f"{ACCEPTED}:*")).lines()
    assert "1 idempotency key of the old queue counted" in lines
    assert "1 of them does not say for whom it was accepted" in lines


def test_a_long_list_is_cut_in_the_report_and_counted_in_full(
    server: RedisServer, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retryqueue.migration.report.MOST_FINDINGS", 30)
    add(client, *(fields(f"o{number}") for number in range(120)), due_in_s=-60)
    report = migrate(server)
    assert (len(report.findings), dict(report.kinds)) == (30, {"overdue": 120})
    assert "  and 100 more" in report.lines()


def test_pages_are_bounded(server: RedisServer, client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    add(client, *(fields(f"o{number}") for number in range(350)))
    sizes: list[int] = []
    move = Migration._move

    def measured(migration: Migration, page: list[Found], now_ms: int) -> None:
        sizes.append(len(page))
        move(migration, page, now_ms)

    monkeypatch.setattr(moving.Migration, "_move", measured)
    client.config_resetstat()
    migrate(server)
    assert sizes == [100, 100, 100, 50]
    assert "cmdstat_keys" not in client.info("commandstats")


def test_a_server_that_never_answers_is_told(client: redis.Redis) -> None:
    del client
    with Migration("redis://127.0.0.1:1/0", Plan(source=SET), patience_s=0.1) as migration:
        with pytest.raises(QueueUnavailable):
            migration.run()
        assert not migration.report.finished
