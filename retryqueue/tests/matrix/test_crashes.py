"""Rows E, F and M: workers that are killed, and replies that are lost."""

from __future__ import annotations

import json
import random
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from tenacity import wait_fixed

from matrix import children
from matrix.faults import Cutter
from matrix.subject import NEXT_SECOND_S, Ours, Published, Subject, plain_client, purchase, subject, working
from retryqueue import Policy, State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers import RedisServer

    from matrix.conftest import Told
    from matrix.ledger import Ledger
    from matrix.subject import Charge

PUBLISHED = pytest.mark.parametrize("name", ["original", "fixed"])


class TestRowE:
    """A worker that is killed when the money has moved leads to another call, which the provider recognises: one charge."""

    asked = "a worker is SIGKILLed exactly after the charge, and another one goes on, 20 times: charged twice"

    @staticmethod
    def run(name: str, server: RedisServer, books: str, charge: Charge) -> None:
        queue = subject(name, server.url)
        for number in range(20):
            queue.enqueue(purchase(f"order-{number}", user_id=f"user-{number}"))
            assert children.killed(children.dies_after_the_charge, name, server.url, books)
            queue.work(charge)
        assert queue.stored() == 0
        queue.close()

    @PUBLISHED
    def test_the_published_ones_charge_every_payment_twice(
        self, name: str, server: RedisServer, ledger: Ledger, running_ledger: str, told: Told
    ) -> None:
        self.run(name, server, running_ledger, ledger.charge)

        told(name, f"{ledger.doubled()} of 20")
        assert ledger.charges() == {f"order-{number}": 2 for number in range(20)}

    def test_ours_charges_once_because_the_second_call_bears_the_same_key(
        self, server: RedisServer, ledger: Ledger, running_ledger: str, told: Told
    ) -> None:
        self.run("ours", server, running_ledger, ledger.charge)

        told("ours", f"{ledger.doubled()} of 20: the provider recognised {ledger.replays()} calls")
        assert ledger.charges() == {f"order-{number}": 1 for number in range(20)}
        assert ledger.replays() >= 20, "One for each kill; on a busy machine a lease may end during the second call as well."

    def test_no_queue_alone_can_do_it_without_the_key_ours_charges_twice_as_well(
        self, server: RedisServer, ledger: Ledger, running_ledger: str
    ) -> None:
        self.run("ours", server, running_ledger, lambda order, _: ledger.charge(order))

        assert ledger.doubled() == 20


class TestRowE2:
    """Whenever a worker is killed, its payment is charged once, neither never nor twice."""

    asked = (
        "the same, killed at a random moment (5 ms until the charge, 5 ms until the reply, and after), 40 times: charged twice"
    )

    @staticmethod
    def run(name: str, server: RedisServer, ledger: Ledger, books: str) -> None:
        queue, chance = subject(name, server.url), random.Random(17)
        for number in range(40):
            queue.enqueue(purchase(f"order-{number}", user_id=f"user-{number}"))
            after_s = chance.uniform(0, 0.012)
            children.killed_while_charging(children.tells_when_it_charges, name, server.url, books, after_s=after_s)
            queue.work(ledger.charge)
        assert (queue.stored(), len(ledger.charges())) == (0, 40), "No payment is lost by any of them."
        queue.close()

    @PUBLISHED
    def test_the_published_ones_charge_some_twice(
        self, name: str, server: RedisServer, ledger: Ledger, running_ledger: str, told: Told
    ) -> None:
        self.run(name, server, ledger, running_ledger)

        told(name, f"{ledger.doubled()} of 40")
        assert 0 < ledger.doubled() < 40

    def test_ours_charges_each_once(self, server: RedisServer, ledger: Ledger, running_ledger: str, told: Told) -> None:
        self.run("ours", server, ledger, running_ledger)

        told("ours", f"{ledger.doubled()} of 40")
        assert ledger.doubled() == 0


class TestRowF:
    """A worker that is killed while it makes a dead letter loses nothing: the payment is dead, or set aside for a person."""

    asked = "SIGKILL between the last attempt's decline and the dead letter: where the payment is"

    def test_the_original_has_no_dead_letters_and_drops_the_payment(self, original: Published, told: Told) -> None:
        original.put(json.dumps({**purchase("order-1").fields, "retry_count": 4}).encode())
        original.work(lambda *_: False)

        told("original", "gone, even without the kill: it has no dead letters")
        assert (original.stored(), original.dead_letters()) == (0, 0)

    def test_the_fixed_one_loses_it(self, fixed: Published, server: RedisServer, told: Told) -> None:
        fixed.put(json.dumps({**purchase("order-1").fields, "retry_count": 5}).encode())
        assert children.killed(children.dies_at_the_dead_letters, "fixed", server.url)

        told("fixed", f"gone: {fixed.stored()} in the queue, {fixed.dead_letters()} dead letters")
        assert (fixed.stored(), fixed.dead_letters()) == (0, 0)

    def test_ours_has_it_whether_the_server_heard_of_the_decline_or_not(self, server: RedisServer, told: Told) -> None:
        last = Policy(attempts=1, lease_ms=100, backoff_base_ms=1)
        ours = Ours(server.url, last)
        states = []
        for heard in (False, True):
            ours.enqueue(purchase(f"order-{heard}"))
            assert children.killed(children.dies_at_the_verdict, server.url, last, server_hears=heard)
            ours.work(lambda *_: True)
            item = ours.queue.inspect(f"order-{heard}")
            assert item is not None
            assert item.note
            states.append(item.state)
        ours.close()

        told("ours", f"`{states[0]}` (the server had not heard) / `{states[1]}` (it had)")
        assert states == [State.RECONCILE, State.DEAD]


class TestRowM:
    """A reply that is lost makes the caller ask again, and the queue tells it from a second payment: one charge."""

    asked = "the reply is lost after the server has stored a payment, while a worker works, 3 times: charged twice"

    @staticmethod
    @contextmanager
    def polling(name: str, server: RedisServer, ledger: Ledger) -> Iterator[None]:
        """A worker that is at work all the time."""
        queue = subject(name, server.url)
        if isinstance(queue, Ours):
            with working([queue.worker(ledger.charge)]):
                yield
            queue.close()
            return
        ended = threading.Event()

        def poll() -> None:
            while not ended.wait(0.02):
                queue.work(ledger.charge)

        thread = threading.Thread(target=poll)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            queue.close()

    @PUBLISHED
    def test_the_published_ones_store_it_again(self, name: str, server: RedisServer, ledger: Ledger, told: Told) -> None:
        with Cutter(server.port) as network, self.polling(name, server, ledger), plain_client(network.url) as client:
            queue = subject(name, server.url)
            assert isinstance(queue, Published)
            # A second instead of four: what counts is that it is another second.
            enqueue = queue.module.PaymentRetryQueue.enqueue.retry_with(wait=wait_fixed(NEXT_SECOND_S))
            caller = queue.on(client, ledger.charge)
            for number in range(3):
                network.cut(b"ZADD" if name == "original" else b"EXEC")
                enqueue(caller, purchase(f"order-{number}", user_id=f"user-{number}").fields)
            wait_until_empty(queue)
            assert network.cuts == 3
            queue.close()

        told(name, f"{ledger.doubled()} of 3")
        assert ledger.doubled() == 3

    def test_ours_answers_the_same_call_the_same(self, server: RedisServer, ledger: Ledger, told: Told) -> None:
        with Cutter(server.port) as network, self.polling("ours", server, ledger):
            ours = Ours(network.url)
            ours.queue.status()  # The queue is open, and its scripts are loaded.
            new = []
            for number in range(3):
                network.cut(b"_enqueue")
                new.append(ours.enqueue(purchase(f"order-{number}")))
            ours.settle()
            ours.close()
            assert network.cuts == 3

        told("ours", f"{ledger.doubled()} of 3")
        assert new == [True, True, True], "Asked again by the library itself, it is still this call that stored it."
        assert ledger.charges() == {f"order-{number}": 1 for number in range(3)}


def wait_until_empty(queue: Subject) -> None:
    ended = threading.Event()
    for _ in range(500):
        if not queue.stored():
            ended.wait(0.05)  # What was taken last is being charged.
            return
        ended.wait(0.01)
    raise TimeoutError("the queue was not emptied")
