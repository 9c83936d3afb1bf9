"""Many payments in one call: sent while the next are made, and asked again in the ordinary way when something goes wrong."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import redis

from retryqueue import InvalidPayment, Payment, RetryQueue, State, protocol
from retryqueue.server import SENT_TOGETHER
from retryqueue.shards import Shard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers import RedisServer

    from retryqueue import Receipt


def orders(count: int, first: int = 0) -> Iterator[Payment]:
    for number in range(first, first + count):
        yield Payment(key=f"order-{number}", user_id="u1", amount_minor=4999, currency="EUR", payment_method_id="pm_1")


def answers(receipts: list[Receipt]) -> Counter[str]:
    return Counter(receipt.answer for receipt in receipts)


class Losing(redis.Connection):
    """Connections that lose some replies on the way: the server has carried out what it was asked to."""

    lost: ClassVar[Callable[[int], bool]]
    replies: ClassVar[int]

    def read_response(self, *given: Any, **settings: Any) -> Any:
        """Reads a reply, and loses it if it is one of those to lose."""
        reply = super().read_response(*given, **settings)
        if isinstance(reply, list) and len(reply) == 100:
            Losing.replies += 1
            if Losing.lost(Losing.replies):
                self.disconnect()  # type: ignore[no-untyped-call]
                raise redis.ConnectionError("the reply is lost")
        return reply


def losing(server: RedisServer, lost: Callable[[int], bool]) -> redis.Redis:
    Losing.lost, Losing.replies = lost, 0
    return redis.Redis(connection_pool=redis.ConnectionPool.from_url(server.url, connection_class=Losing))


@pytest.mark.parametrize("lost", [{1}, {3}, {10}, {1, 2, 3}, {2, 4, 5, 9}], ids=str)
@pytest.mark.parametrize("connections", [1, 32])
def test_batches_whose_replies_are_lost_are_stored_once_and_told_new(
    server: RedisServer, queue: RetryQueue, lost: set[int], connections: int
) -> None:
    with losing(server, lost.__contains__) as client, RetryQueue(client, durability="ignore", connections=connections) as many:
        receipts = many.enqueue_many(orders(1_000))

    assert [receipt.key for receipt in receipts] == [payment.key for payment in orders(1_000)]
    assert answers(receipts) == {"new": 1_000}
    assert Losing.replies > 10
    assert queue.status().counts[State.SCHEDULED] == 1_000


def test_payments_from_a_generator_are_sent_while_the_next_are_made(queue: RetryQueue) -> None:
    stored: list[int] = []

    def made() -> Iterator[Payment]:
        for number, payment in enumerate(orders(10 * together)):
            if number % together == together // 2:
                stored.append(queue.status().counts[State.SCHEDULED])
            yield payment

    together = protocol.MOST_PER_CALL * SENT_TOGETHER
    assert answers(queue.enqueue_many(made())) == {"new": 10 * together}
    assert [count >= together * max(0, number - 2) for number, count in enumerate(stored)] == [True] * 10


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, InvalidPayment])
def test_a_generator_that_fails_leaves_the_queue_as_usable_as_before(
    server: RedisServer, queue: RetryQueue, error: type[BaseException]
) -> None:
    def failing() -> Iterator[Payment]:
        yield from orders(1_450)
        raise error(["the generator fails"])

    with RetryQueue(server.url, durability="ignore", patience_s=0.5, connections=2) as few:
        for _ in range(5):
            with pytest.raises(error):
                few.enqueue_many(failing())
        told = answers(few.enqueue_many(orders(2_000)))

    assert told.total() == 2_000
    assert told["new"] >= 1_000  # Of the others not all had arrived, perhaps, when the first call failed.
    assert queue.status().counts[State.SCHEDULED] == 2_000


def test_what_a_server_has_forgotten_is_taught_again_within_a_batch(server: RedisServer, queue: RetryQueue) -> None:
    queue.enqueue_many(orders(1))

    def forgetting() -> Iterator[Payment]:
        for number, payment in enumerate(orders(1_000)):
            if number in {250, 550}:
                with server.client() as client:
                    client.script_flush()
                    if queue.operations.command(protocol.status(Shard("payments", 0)))[0] == "FCALL":
                        client.function_flush()
            yield payment

    assert answers(queue.enqueue_many(forgetting())) == {"new": 999, "duplicate": 1}
    assert queue.status().counts[State.SCHEDULED] == 1_000


def test_a_client_with_a_single_connection_is_asked_in_the_ordinary_way(server: RedisServer, queue: RetryQueue) -> None:
    with redis.Redis.from_url(server.url, single_connection_client=True) as client:
        single = RetryQueue(client, durability="ignore")
        assert answers(single.enqueue_many(orders(350))) == {"new": 350}
    assert queue.status().counts[State.SCHEDULED] == 350


def test_a_payment_that_is_given_twice_in_a_batch_is_stored_once_and_compared(queue: RetryQueue) -> None:
    first, other = list(orders(2))
    changed = Payment(key=first.key, user_id="u1", amount_minor=1, currency="EUR", payment_method_id="pm_1")

    told = queue.enqueue_many([first, first, changed, other])

    assert [(receipt.key, receipt.answer, receipt.state) for receipt in told] == [
        ("order-0", "new", State.SCHEDULED),
        ("order-0", "duplicate", State.SCHEDULED),
        ("order-0", "conflict", State.SCHEDULED),
        ("order-1", "new", State.SCHEDULED),
    ]
    assert queue.status().counts[State.SCHEDULED] == 2
