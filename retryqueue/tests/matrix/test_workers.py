"""Rows C and D: several workers, declines, timeouts, and what is no payment."""

from __future__ import annotations

import json
import random
import statistics
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from matrix.ledger import Ledger
from matrix.subject import Ours, Published, Subject, payment, purchase, subject, working
from retryqueue import InvalidPayment, Payment, Policy, State

if TYPE_CHECKING:
    from servers import RedisServer

    from matrix.conftest import Told

PUBLISHED = pytest.mark.parametrize("name", ["original", "fixed"])


def fill(queue: Subject, number: int) -> None:
    for order in range(number):
        queue.enqueue(purchase(f"order-{order}", user_id=f"user-{order}"))


def clear(ledger: Ledger, server: RedisServer) -> None:
    ledger.clear()
    with server.client() as client:
        client.flushall()


class TestRowC:
    """However many workers there are and however long a charge takes, each payment is charged once."""

    asked = "2 workers, charges of 0 / 2 / 10 ms, 1,000 / 500 / 200 payments: charged more than once"

    # Charging takes so many seconds, of so many payments.
    settings = ((0.0, 1000), (0.002, 500), (0.01, 200))

    @classmethod
    def doubled(cls, name: str, server: RedisServer, books: str) -> list[int]:
        found = []
        for seconds, number in cls.settings:
            queue = subject(name, server.url)
            with Ledger(books, before_s=seconds) as ledger:
                clear(ledger, server)
                fill(queue, number)
                queue.work(ledger.charge, workers=2)
                assert len(ledger.charges()) == number
                found.append(ledger.doubled())
            queue.close()
        return found

    @PUBLISHED
    def test_the_published_ones_charge_nearly_every_payment_twice(
        self, name: str, server: RedisServer, running_ledger: str, told: Told
    ) -> None:
        doubled = self.doubled(name, server, running_ledger)

        told(name, " / ".join(map(str, doubled)))
        assert all(found >= 0.8 * number for found, (_, number) in zip(doubled, self.settings, strict=True))

    def test_ours_charges_each_once(self, server: RedisServer, running_ledger: str, told: Told) -> None:
        doubled = self.doubled("ours", server, running_ledger)

        told("ours", " / ".join(map(str, doubled)))
        assert doubled == [0, 0, 0]


class TestRowC1:
    """More workers mean no more charges."""

    asked = "4 workers, 2 ms, 300 payments; 8 workers, 10 ms, 100 payments: charges in all"

    @staticmethod
    def charges(name: str, server: RedisServer, books: str) -> list[int]:
        found = []
        for workers, seconds, number in ((4, 0.002, 300), (8, 0.01, 100)):
            queue = subject(name, server.url)
            with Ledger(books, before_s=seconds) as ledger:
                clear(ledger, server)
                fill(queue, number)
                queue.work(ledger.charge, workers=workers)
                found.append(sum(ledger.charges().values()))
            queue.close()
        return found

    @PUBLISHED
    def test_each_worker_of_the_published_ones_charges_nearly_everything(
        self, name: str, server: RedisServer, running_ledger: str, told: Told
    ) -> None:
        charges = self.charges(name, server, running_ledger)

        told(name, "; ".join(map(str, charges)))
        assert charges[0] >= 3.5 * 300
        assert charges[1] >= 7 * 100

    def test_ours_charges_each_payment_once(self, server: RedisServer, running_ledger: str, told: Told) -> None:
        charges = self.charges("ours", server, running_ledger)

        told("ours", "; ".join(map(str, charges)))
        assert charges == [300, 100]


class TestRowC2:
    """A decline that one worker hears neither doubles a payment nor brings back one that is paid."""

    asked = (
        "2 workers, 1 ms, every tenth charge is declined, 1,000 payments: charged more than once / in the queue although paid"
    )

    @staticmethod
    def harm(name: str, server: RedisServer, books: str) -> tuple[int, int]:
        queue, chance, lock = subject(name, server.url, retry_delay_s=60), random.Random(1), threading.Lock()
        with Ledger(books, before_s=0.001) as ledger:
            clear(ledger, server)
            fill(queue, 1000)
            queue.make_due()

            def charge(order: str, key: str) -> bool:
                with lock:
                    declined = chance.random() < 0.1
                return not declined and ledger.charge(order, key)

            queue.work(charge, workers=2)
            paid, doubled = ledger.charges(), ledger.doubled()
        waiting = waiting_orders(queue)
        queue.close()
        return doubled, len(waiting & paid.keys())

    @PUBLISHED
    def test_the_published_ones_put_paid_payments_back(
        self, name: str, server: RedisServer, running_ledger: str, told: Told
    ) -> None:
        doubled, back = self.harm(name, server, running_ledger)

        told(name, f"{doubled} / {back}")
        assert doubled > 600
        assert back > 20

    def test_ours_neither_doubles_nor_brings_back(self, server: RedisServer, running_ledger: str, told: Told) -> None:
        doubled, back = self.harm("ours", server, running_ledger)

        told("ours", f"{doubled} / {back}")
        assert (doubled, back) == (0, 0)


def waiting_orders(queue: Subject) -> set[str]:
    if isinstance(queue, Published):
        return {json.loads(member)["order_id"] for member, _ in queue.members()}
    assert isinstance(queue, Ours)
    return {item.key for state in (State.SCHEDULED, State.LEASED) for item in queue.queue.items(state)}


class TestRowD:
    """Each attempt is stored before it is made, waits grow, and after the last one there is a dead letter with its reason."""

    asked = "a payment is declined 50 times, each time when it is due: retry counts in Redis; delays; dead letters"

    @PUBLISHED
    def test_the_published_ones_forget_the_count_and_go_on_for_ever(self, name: str, server: RedisServer, told: Told) -> None:
        queue = subject(name, server.url, retry_delay_s=60)
        assert isinstance(queue, Published)
        queue.enqueue(purchase("order-1"))
        counts, delays_s = set(), set()
        for _ in range(50):
            queue.make_due()
            queue.work(lambda *_: False)
            ((member, due_at_s),) = queue.members()
            counts.add(json.loads(member)["retry_count"])
            delays_s.add(due_at_s - time.time())
        dead = queue.dead_letters()
        queue.close()

        told(name, f"{counts}; always {statistics.median(delays_s):.0f} s; {dead}")
        assert (counts, dead) == ({0}, 0)
        assert all(delay_s == pytest.approx(60, abs=2) for delay_s in delays_s)

    def test_ours_counts_waits_longer_each_time_and_ends_with_dead_letters(self, server: RedisServer, told: Told) -> None:
        ours = Ours(server.url, Policy(backoff_base_ms=600_000, backoff_cap_ms=86_400_000, lease_ms=5_000))
        fill(ours, 50)
        seen: list[tuple[str, int]] = []
        waits_min = []

        def charge(order: str, _: str) -> bool:
            item = ours.queue.inspect(order)
            seen.append((order, item.attempt if item else 0))
            return False

        for attempt in range(1, 6):
            ours.make_due()
            ours.work(charge)
            waiting = list(ours.queue.items(State.SCHEDULED))
            now_ms = ours.queue.status().now_ms
            assert {item.attempt for item in waiting} <= {attempt}
            waits_min += [statistics.mean(item.since_ms - now_ms for item in waiting) / 60_000] if waiting else []
        dead = list(ours.queue.items(State.DEAD))
        ours.close()

        waits = ", ".join(f"{wait:.0f}" for wait in waits_min)
        told("ours", f"{ {count for _, count in seen} }; {waits} min on average; {len(dead)} of 50")
        assert sorted(seen) == sorted((f"order-{order}", attempt) for order in range(50) for attempt in range(1, 6))
        assert len(waits_min) == 4
        assert waits_min == sorted(waits_min)
        assert all(item.attempt == 5 and "insufficient_funds" in item.note for item in dead)
        assert len(dead) == 50


class TestRowD2:
    """A provider that does not answer is asked as often as the policy says, with waits, and then a person is."""

    asked = "the provider times out, whenever it is asked, for 1 s: calls"

    @PUBLISHED
    def test_the_published_ones_ask_without_a_pause(self, name: str, server: RedisServer, told: Told) -> None:
        queue = subject(name, server.url, retry_delay_s=60)
        assert isinstance(queue, Published)
        queue.enqueue(purchase("order-1"))
        queue.make_due()
        calls = []

        def charge(order: str, _: str) -> bool:
            calls.append(order)
            raise TimeoutError

        polling = queue.on(queue.client, charge)
        end_s = time.monotonic() + 1
        while time.monotonic() < end_s:
            polling.process_retries()
        ((member, _),) = queue.members()
        queue.close()

        told(name, f"{len(calls)}, none counted")
        assert len(calls) > 100
        assert json.loads(member)["retry_count"] == 0

    def test_ours_asks_five_times_and_then_gives_it_to_a_person(self, ours: Ours, told: Told) -> None:
        ours.enqueue(purchase("order-1"))
        keys = []

        def charge(_: str, key: str) -> bool:
            keys.append(key)
            raise TimeoutError("no answer")

        with working([ours.worker(charge)]):
            time.sleep(1)
            ours.settle()
        item = ours.queue.inspect("order-1")

        told("ours", f"{len(keys)}, under one key; then `{item and item.state}`")
        assert keys == ["order-1:1"] * 5, "The same idempotency key, as money may have moved."
        assert item is not None
        assert (item.state, item.attempt) == (State.RECONCILE, 5)
        assert "TimeoutError: no answer" in item.note


FIELDS = {"user_id": "user-1", "amount": 4999, "currency": "EUR", "payment_method_id": "pm_1"}


def published_garbage() -> dict[str, bytes]:
    """What somebody may find in the sorted set, by name."""
    without = {name: value for name, value in FIELDS.items() if name != "currency"}
    return {
        "not-json": b"not json",
        "no-fields": b'{"colour": "red"}',
        "[1]": b"[1]",
        "5": b"5",
        "null": b"null",
        "no-currency": json.dumps(without).encode(),
        "amount-NaN": json.dumps({**FIELDS, "amount": "NaN"}).encode(),
        "amount--5": json.dumps({**FIELDS, "amount": -5}).encode(),
    }


class TestRowD3:
    """What is no payment is never charged: it is set aside with its bytes and the reason."""

    asked = 'not JSON; JSON without the fields; `[1]`; `5`; `null`; no currency; amount "NaN"; amount -5, in the server'

    @staticmethod
    def fate(queue: Published, raw: bytes) -> str:
        queue.client.flushall()
        queue.put(raw)
        charged: list[str] = []
        for _ in range(2):
            queue.work(lambda order, _: not charged.append(order))  # type: ignore[func-returns-value]
        if charged:
            return "charged"
        return "stuck" if queue.stored() else "gone"

    def test_the_original_charges_whatever_is_json(self, original: Published, told: Told) -> None:
        fates = [self.fate(original, raw) for raw in published_garbage().values()]

        told("original", "; ".join(fates))
        assert fates == ["gone", *["charged"] * 7]

    def test_the_fixed_one_drops_some_gets_stuck_on_some_and_charges_the_rest(self, fixed: Published, told: Told) -> None:
        fates = [self.fate(fixed, raw) for raw in published_garbage().values()]

        told("fixed", "; ".join(fates))
        assert fates == ["gone", "gone", "gone", "stuck", "stuck", "charged", "charged", "charged"]
        assert fixed.dead_letters() == 0

    def test_ours_sets_it_all_aside_with_bytes_and_reason(self, ours: Ours, server: RedisServer, told: Told) -> None:
        extras = {
            "list-with-NaN": b'["user-1",NaN,"EUR","pm_1",{},{}]',
            "list-with-text": b'["user-1","NaN","EUR","pm_1",{},{}]',
            "list-with--5": b'["user-1",-5,"EUR","pm_1",{},{}]',
            "list-without-user": b'[null,4999,"EUR","pm_1",{},{}]',
            "six-names": json.dumps(dict.fromkeys("abcdef")).encode(),
        }
        garbage = {**published_garbage(), **extras}
        charged: list[str] = []
        for key, raw in garbage.items():
            store_as(ours, server, key, raw)
        with server.client() as client:
            client.hset("{payments:0}:items", "no-record", b"\xff garbage")
            client.zadd("{payments:0}:due", {"no-record": 0, "nothing-at-all": 0})
        ours.work(lambda order, _: not charged.append(order))  # type: ignore[func-returns-value]
        aside = {item.key: item for item in ours.queue.items(State.QUARANTINED)}

        told("ours", f"{len(aside)} of {len(garbage) + 2} in quarantine, with bytes and reason; {len(charged)} charged")
        assert charged == []
        assert aside.keys() == {*garbage, "no-record", "nothing-at-all"}
        assert all(item.note for item in aside.values())
        assert all(raw in (aside[key].raw or b"") for key, raw in garbage.items())
        assert aside["no-record"].raw == b"\xff garbage"
        assert ours.stored() == 0


def store_as(ours: Ours, server: RedisServer, key: str, raw: bytes) -> None:
    """Stores a payment whose bytes are then overwritten, as by a fault or by a foreign program."""
    stored = Payment(key=key, user_id="user-1", amount_minor=4999, currency="EUR", payment_method_id="p" * 60)
    ours.queue.enqueue(stored)
    with server.client() as client:
        record: Any = client.hget("{payments:0}:items", key)
        assert stored.to_json() in record
        client.hset("{payments:0}:items", key, record.replace(stored.to_json(), raw.ljust(len(stored.to_json()))))


class TestRowD4:
    """What is no payment is refused when it is enqueued, and every bad field is named."""

    asked = "taken by `enqueue`: amount NaN; amount -5; no amount; no user; an empty currency"

    bad: tuple[dict[str, Any], ...] = (
        {"amount": float("nan")},
        {"amount": -5},
        {"amount": None},
        {"user_id": None},
        {"currency": ""},
    )

    @PUBLISHED
    def test_the_published_ones_take_everything(self, name: str, server: RedisServer, told: Told) -> None:
        queue = subject(name, server.url)
        taken = [queue.enqueue(purchase(f"order-{n}", **{"user_id": f"user-{n}", **bad})) for n, bad in enumerate(self.bad)]
        stored = queue.stored()
        queue.close()

        told(name, "; ".join("yes" if one else "no" for one in taken))
        assert all(taken)
        assert stored == len(self.bad)

    def test_ours_names_every_bad_field(self, ours: Ours, told: Told) -> None:
        named = []
        for bad in self.bad:
            with pytest.raises(InvalidPayment) as refused:
                ours.enqueue(purchase("order-1", **bad))
            named += [problem.split()[0] for problem in refused.value.problems]
        with pytest.raises(InvalidPayment) as refused:
            payment(purchase("order-1", user_id=None, amount=float("nan"), currency="", payment_method_id=""))  # type: ignore[arg-type]

        told("ours", "; ".join(f"no: {field}" for field in named))
        assert named == ["amount_minor", "amount_minor", "amount_minor", "user_id", "currency"]
        every = {problem.split()[0] for problem in refused.value.problems}
        assert every == {"user_id", "amount_minor", "currency", "payment_method_id"}
        assert ours.stored() == 0
