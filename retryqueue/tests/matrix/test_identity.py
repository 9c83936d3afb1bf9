"""Rows A and B: which payments are the same, and which are not."""

from __future__ import annotations

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from published_queues import fixed as fixed_module
from published_queues import original as original_module
from servers import RedisServer

from matrix.faults import clock_of
from matrix.subject import Ours, Published, Purchase, Subject, purchase, subject
from retryqueue import PaymentConflict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from matrix.conftest import Told

EVERY_QUEUE = pytest.mark.parametrize("name", ["original", "fixed", "ours"])


def module_of(queue: Subject) -> ModuleType | None:
    return queue.module if isinstance(queue, Published) else None


def per_cent(part: int, whole: int) -> float:
    return round(100 * part / whole, 2)


def slashed(values: list[Any]) -> str:
    return " / ".join(str(value) for value in values)


class TestRowA:
    """Of any number of different payments that one user makes in one second, none is lost."""

    asked = "K different payments of one user in one second, K = 2 / 5 / 20 / 100: lost"

    @staticmethod
    def lost(queue: Subject) -> list[int]:
        lost = []
        with clock_of(module_of(queue)):  # Which stands still: one second, however long this takes.
            for number in (2, 5, 20, 100):
                before = queue.stored()
                for order in range(number):
                    queue.enqueue(purchase(f"order-{number}-{order}", user_id=f"user-{number}"))
                lost.append(number - (queue.stored() - before))
        return lost

    def test_the_original_keeps_only_the_first_payment_of_a_user_in_a_second(self, original: Published, told: Told) -> None:
        lost = self.lost(original)

        told("original", slashed(lost))
        assert lost == [1, 4, 19, 99]

    def test_the_fixed_one_loses_none(self, fixed: Published, told: Told) -> None:
        lost = self.lost(fixed)

        told("fixed", slashed(lost))
        assert lost == [0, 0, 0, 0]

    def test_ours_loses_none(self, ours: Ours, told: Told) -> None:
        lost = self.lost(ours)

        told("ours", slashed(lost))
        assert lost == [0, 0, 0, 0]


class TestRowA2:
    """At the rate of the incident's production none of the payments is lost, however many users make them."""

    asked = "420 payments a second for 5 s by 50 / 420 / 5,000 / 200,412 users: lost, in %"

    @staticmethod
    def lost(queue: Subject, server: RedisServer) -> list[float]:
        lost = []
        for users in (50, 420, 5_000, 200_412):
            with server.client() as client:
                client.flushall()
            chance = random.Random(users)
            with clock_of(module_of(queue)) as clock:
                clock.now_s += 0.9
                for order in range(2100):
                    clock.now_s += 1 / 420
                    queue.enqueue(purchase(f"order-{order}", user_id=f"user-{chance.randrange(users)}"))
            lost.append(per_cent(2100 - queue.stored(), 2100))
        return lost

    def test_the_original_loses_the_more_the_fewer_users_there_are(
        self, original: Published, server: RedisServer, told: Told
    ) -> None:
        lost = self.lost(original, server)

        told("original", slashed(lost))
        assert lost == [
            pytest.approx(87.0, abs=2),
            pytest.approx(34.5, abs=3),
            pytest.approx(3.8, abs=1),
            pytest.approx(0.05, abs=0.2),
        ]

    @pytest.mark.parametrize("name", ["fixed", "ours"])
    def test_the_others_lose_none(self, name: str, server: RedisServer, told: Told) -> None:
        queue = subject(name, server.url)
        lost = self.lost(queue, server)
        queue.close()

        told(name, slashed(lost))
        assert lost == [0, 0, 0, 0]


class TestRowB:
    """The same payment is stored once and its repeat told so, whatever accompanies it; two equal purchases are two."""

    asked = (
        "stored, of: one payment twice, as it was / with its fields in another order / "
        "with another retry count and trace id a second later; two purchases with equal fields"
    )

    @staticmethod
    def stored(queue: Subject, server: RedisServer) -> list[int]:
        once = purchase("order-1", retry_count=0, trace_id="trace-1")
        reordered = replace(once, fields=dict(reversed(once.fields.items())))
        later = purchase("order-1", retry_count=1, trace_id="trace-2")
        equal = [purchase(key, names_order=False) for key in ("order-1", "order-2")]
        pairs = [(once, once, 1), (once, reordered, 0), (once, later, 1), (equal[0], equal[1], 0)]
        stored = []
        for first, second, seconds in pairs:
            with server.client() as client:
                client.flushall()
            with clock_of(module_of(queue)) as clock:
                queue.enqueue(first)
                clock.now_s += seconds
                queue.enqueue(second)
            stored.append(queue.stored())
        return stored

    def test_the_original_stores_a_repeat_that_comes_a_second_later_and_loses_an_equal_purchase(
        self, original: Published, server: RedisServer, told: Told
    ) -> None:
        stored = self.stored(original, server)

        told("original", slashed(stored))
        assert stored == [1, 1, 2, 1]

    def test_the_fixed_one_stores_every_repeat_that_is_not_byte_for_byte_the_same_and_loses_an_equal_purchase(
        self, fixed: Published, server: RedisServer, told: Told
    ) -> None:
        stored = self.stored(fixed, server)

        told("fixed", slashed(stored))
        assert stored == [1, 2, 2, 1]

    def test_the_fixed_one_owes_its_one_deduplication_to_the_sorted_set_not_to_its_keys(self, fixed: Published) -> None:
        taken = [fixed.enqueue(purchase("order-1")) for _ in range(2)]

        assert (taken, fixed.keys(), fixed.stored()) == ([True, True], 2, 1)

    def test_ours_stores_a_payment_once_and_two_equal_purchases_twice(
        self, ours: Ours, server: RedisServer, told: Told
    ) -> None:
        stored = self.stored(ours, server)

        told("ours", slashed(stored))
        assert stored == [1, 1, 1, 2]

    def test_ours_tells_a_repeat_from_a_new_payment_and_refuses_another_payment_under_the_same_key(self, ours: Ours) -> None:
        taken = [ours.enqueue(purchase("order-1", retry_count=count)) for count in range(2)]

        assert taken == [True, False]
        with pytest.raises(PaymentConflict, match="order-1"):
            ours.enqueue(purchase("order-1", amount=1))


class TestRowB2:
    """Whoever enqueues one payment a thousand times is told once that it is new, and the queue holds one."""

    asked = "one payment enqueued 1,000 times: told it is new / in the queue; its own demonstration: reported / stored"

    @staticmethod
    def thousand(queue: Subject) -> tuple[int, int]:
        return sum(queue.enqueue(purchase("order-1")) for _ in range(1000)), queue.stored()

    @staticmethod
    def demonstration(queue: Published) -> tuple[int, int, int]:
        """Payments that are reported as enqueued, that are stored, and that were processed."""
        reports: list[str] = []
        queue.client.flushall()
        queue.module.demo(queue.client, reports.append)
        (processed,) = [report for report in reports if report.startswith("processed")]
        return len(reports) - 1, queue.stored(), int(processed.split()[1])

    def test_the_originals_demonstration_reports_five_and_stores_one(self, original: Published, told: Told) -> None:
        with clock_of(original.module):
            new, stored = self.thousand(original)
            demonstrated = self.demonstration(original)

        told("original", f"{new} / {stored}; 5 / 1")
        assert ((new, stored), demonstrated) == ((1, 1), (5, 1, 0))

    def test_the_fixed_one_says_a_thousand_times_that_it_is_new_and_holds_one(self, fixed: Published, told: Told) -> None:
        new, stored = self.thousand(fixed)
        keys = fixed.keys()
        demonstrated = self.demonstration(fixed)

        told("fixed", f"{new} / {stored}, under {keys} keys; {demonstrated[0]} / {demonstrated[1]}, 0 processed")
        assert (new, keys, stored) == (1000, 1000, 1)
        assert demonstrated == (10, 1, 0)

    def test_ours_says_once_that_it_is_new_and_holds_one(self, ours: Ours, told: Told) -> None:
        new, stored = self.thousand(ours)

        told("ours", f"{new} / {stored}")
        assert (new, stored) == (1, 1)


def used_bytes(server: RedisServer) -> int:
    with server.client() as client:
        found: Any = client.info("memory")
    return int(found["used_memory"])


def bulky(number: int) -> Purchase:
    """A purchase of about 220 bytes as JSON."""
    return purchase(f"order-{number:06}", user_id=f"user-{number:06}", sku="x" * 48, shop="y" * 24, trace_id="z" * 16)


class TestRowB3:
    """What is kept to recognise a repeat does recognise it: enqueueing everything again takes no more memory."""

    asked = "memory for each of 5,000 payments, in bytes / more when all are enqueued again a second later"

    @staticmethod
    def bytes_each(queue: Subject, server: RedisServer) -> tuple[int, int]:
        queue.enqueue(purchase("first"))  # What the server keeps once for all is there.
        used = [used_bytes(server)]
        with clock_of(module_of(queue)) as clock:
            for _ in range(2):
                clock.now_s += 1
                for number in range(5000):
                    queue.enqueue(bulky(number))
                used.append(used_bytes(server))
        return (used[1] - used[0]) // 5000, (used[2] - used[1]) // 5000

    @pytest.fixture
    def alone(self) -> Iterator[RedisServer]:
        """A server whose memory is filled by nothing else, not even by what is to be written to disk."""
        with RedisServer(appendonly="no") as server:
            yield server

    def test_the_original_keeps_keys_that_nobody_looks_for_after_their_second(self, alone: RedisServer, told: Told) -> None:
        with closing(Published(original_module, alone.url)) as original:
            once, again = self.bytes_each(original, alone)

            told("original", f"{once} / {again}")
            assert again > 100
            assert original.keys() == 1 + 2 * 5000

    def test_much_of_what_the_fixed_one_keeps_are_keys_that_nobody_can_look_up(self, alone: RedisServer, told: Told) -> None:
        with closing(Published(fixed_module, alone.url)) as fixed:
            once, again = self.bytes_each(fixed, alone)

            told("fixed", f"{once} / {again}")
            assert again > 100
            assert (fixed.keys(), fixed.stored()) == (1 + 2 * 5000, 1 + 5000)

    def test_ours_recognises_every_repeat_by_what_it_keeps(self, alone: RedisServer, told: Told) -> None:
        with closing(Ours(alone.url)) as ours:
            once, again = self.bytes_each(ours, alone)

            told("ours", f"{once} / {again}")
            assert again < 0.02 * once
            assert ours.stored() == 1 + 5000


class TestRowB4:
    """Of any number of threads that enqueue one payment at the same moment, one is told that it is new, and one is stored."""

    asked = "one payment enqueued by 2 / 8 / 32 threads at once, each with its trace id, 50 times: stored more than once"

    @staticmethod
    def rounds(queue: Subject, threads: int) -> list[tuple[int, int]]:
        """For each of 50 payments, how many threads were told that it is new, and how often it is stored."""
        found = []
        together = threading.Barrier(threads)

        def enqueue(key: str, thread: int) -> bool:
            together.wait()
            return queue.enqueue(purchase(key, user_id=key, trace_id=f"trace-{thread}"))

        with ThreadPoolExecutor(threads) as pool:
            for number in range(50):
                before = queue.stored()
                new = list(pool.map(enqueue, [f"{threads}-{number}"] * threads, range(threads)))
                found.append((sum(new), queue.stored() - before))
        return found

    @pytest.mark.parametrize("name", ["original", "fixed"])
    def test_the_published_ones_store_it_several_times(self, name: str, server: RedisServer, told: Told) -> None:
        queue = subject(name, server.url)
        with clock_of(module_of(queue)):
            repeated = [sum(stored > 1 for _, stored in self.rounds(queue, threads)) for threads in (2, 8, 32)]
        queue.close()

        told(name, slashed([f"{found} of 50" for found in repeated]))
        # Two threads on a busy machine may miss each other more often than not.
        assert repeated[0] > 0, "Between the look and the write there is time for another."
        assert min(repeated[1:]) >= 25
        if name == "fixed":
            assert repeated == [50, 50, 50]

    def test_ours_stores_it_once_and_tells_one_thread_so(self, ours: Ours, told: Told) -> None:
        found = [Counter(self.rounds(ours, threads)) for threads in (2, 8, 32)]

        told("ours", slashed([f"{50 - found_of[1, 1]} of 50" for found_of in found]))
        assert found == [Counter({(1, 1): 50})] * 3
