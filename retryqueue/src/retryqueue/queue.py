"""The queue as a service sees it: `RetryQueue` for blocking code, `AsyncRetryQueue` for asyncio.

What can be asked is written in `operations`; the two classes carry it on and differ in how they wait.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from contextlib import closing
from typing import TYPE_CHECKING, Self

from retryqueue.coalescing import TaskCoalescer, ThreadCoalescer
from retryqueue.operations import Operations, accepted, in_place
from retryqueue.policy import Policy
from retryqueue.server import CONNECTIONS, IN_FLIGHT, AsyncServer, Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

    from retryqueue.address import AsyncClient, BlockingClient
    from retryqueue.conversation import Dangers, Durability
    from retryqueue.events import Hook
    from retryqueue.payment import Payment
    from retryqueue.protocol import Call, Entry
    from retryqueue.shards import Shard
    from retryqueue.states import Item, Receipt, State, Status

PATIENCE_S = 5.0


class RetryQueue:
    """A payment retry queue, for blocking code. Safe to share between threads, and to use after a fork.

    Args:
        server: An address (see `address`), or a client of redis-py that leaves replies as bytes.
        name: The queue's name; the queues of one server need different ones.
        policy: Its numbers.
        shards: On how many shards it lies: 1, or 16 on a cluster, unless it was made with another number.
        durability: What to do if the server does not keep what it accepts: `warn` in the log, `require` that it does, or
            `ignore`.
        patience_s: How long a call waits for a server that restarts or fails over, and for a free connection.
        connections: How many connections there are at most. Callers beyond that wait for one.
        hook: Is told what happens, for metrics.
    """

    def __init__(
        self,
        server: str | BlockingClient,
        *,
        name: str = "payments",
        policy: Policy | None = None,
        shards: int | None = None,
        durability: Durability = "warn",
        patience_s: float = PATIENCE_S,
        connections: int = CONNECTIONS,
        hook: Hook | None = None,
    ) -> None:
        self._server = Server(server, patience_s=patience_s, connections=connections)
        self.operations = Operations(
            name=name,
            policy=policy or Policy(),
            shards=shards,
            clustered=self._server.clustered,
            durability=durability,
            patience_s=patience_s,
            hook=hook,
        )
        self._coalescers: dict[Shard, ThreadCoalescer[Entry, Receipt]] = {}
        self._process = os.getpid()

    def enqueue(self, payment: Payment, *, delay_ms: int = 0, deadline_ms: int | None = None) -> Receipt:
        """Stores a payment, once. Threads that enqueue at the same moment share calls to the server.

        Args:
            payment: What to charge.
            delay_ms: How long to wait before the first attempt.
            deadline_ms: How long from now the last attempt may begin; none if there is no deadline.

        Raises:
            PaymentConflict: If its key stands for another payment.
            InvalidPayment: If the times are none.
            QueueUnavailable: If Redis did not answer. It may have stored the payment; enqueue it again.
        """
        (entry,) = self.operations.entries([payment], delay_ms, deadline_ms)
        shard = self._server.carry(self.operations.shard(payment.key))
        return accepted(self._coalescer(shard).ask(entry))

    def enqueue_many(self, payments: Iterable[Payment], *, delay_ms: int = 0, deadline_ms: int | None = None) -> list[Receipt]:
        """Stores any number of payments, and answers each in its place. Conflicts are answers here, and not raised.

        They may come from a generator: what it has made is on its way while it makes the next, and not kept.

        Not one transaction: if it fails on its way, some are stored. Calling it again is safe.

        Raises:
            InvalidPayment, QueueUnavailable: As `enqueue`.
        """
        entries = self.operations.entries(payments, delay_ms, deadline_ms)
        placed: list[Sequence[int]] = []

        def calls() -> Iterator[Call[list[Receipt]]]:
            for places, call in self.operations.worths(shards, entries):
                placed.append(places)
                yield call

        shards = self._server.carry(self.operations.shards())
        with closing(self._server.answers(calls(), self.operations.command, self.operations.ask)) as answers:
            receipts = [self.operations.enqueued(answer) for answer in answers]
        return in_place(zip(placed, receipts, strict=True))

    def inspect(self, key: str) -> Item | None:
        """All that is known of a payment; none if there is none."""
        return self._server.carry(self.operations.inspect(key))

    def items(self, state: State) -> Iterator[Item]:
        """The payments in a state, read page by page; those that move meanwhile may be missed or told twice."""
        cursor: str | None = ""
        while cursor is not None:
            page = self._server.carry(self.operations.page(state, cursor))
            yield from page.items
            cursor = page.cursor

    def status(self) -> Status:
        """Counts of the whole queue."""
        return self._server.carry(self.operations.status())

    def shards(self) -> int:
        """On how many shards the queue lies."""
        return len(self._server.carry(self.operations.shards()))

    def dangers(self) -> Dangers:
        """How the server could lose payments; of everything that it can be asked."""
        return self._server.carry(self.operations.dangers())

    def requeue(self, key: str) -> None:
        """Schedules a dead payment again, at once and with a full set of attempts, under a new key at the provider.

        Raises:
            WrongState: If it is not dead.
        """
        self._server.carry(self.operations.requeue(key))

    def resolve(self, key: str, *, paid_as: str | None = None, not_paid: bool = False) -> None:
        """Settles a payment in reconcile, once a person has asked the provider what became of it.

        Args:
            key: The payment's key.
            paid_as: The provider's reference, if it was charged: the payment has succeeded.
            not_paid: That it was not charged: it is scheduled again, under a new key at the provider.

        Raises:
            WrongState: If it is not in reconcile.
            ValueError: If not exactly one of the two is said.
        """
        self._server.carry(self.operations.resolve(key, paid_as=paid_as, not_paid=not_paid))

    def purge(self, key: str) -> None:
        """Forgets a dead or quarantined payment for good: its key is free again, so that it could be charged anew.

        Raises:
            WrongState: If it is in another state.
        """
        self._server.carry(self.operations.purge(key))

    def pause(self) -> None:
        """Gives workers nothing more. What they hold, they finish; what is enqueued, waits."""
        self._server.carry(self.operations.pause(paused=True))

    def resume(self) -> None:
        """Ends a pause."""
        self._server.carry(self.operations.pause(paused=False))

    def close(self) -> None:
        """Closes the connections."""
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _coalescer(self, shard: Shard) -> ThreadCoalescer[Entry, Receipt]:
        if self._process != os.getpid():  # After a fork, their locks may be held by threads that are not here.
            self._process, self._coalescers = os.getpid(), {}
        found = self._coalescers.get(shard)
        if found is None:
            fresh: ThreadCoalescer[Entry, Receipt] = ThreadCoalescer(
                lambda entries: self._server.carry(self.operations.enqueue(shard, entries))
            )
            found = self._coalescers.setdefault(shard, fresh)  # Two threads may have come here; one of theirs is used.
        return found


class AsyncRetryQueue:
    """The same queue for asyncio. Belongs to the loop that first uses it.

    Args:
        server: An address, or an asyncio client of redis-py that leaves replies as bytes.
        name: As for `RetryQueue`, like everything that follows.
        policy: Its numbers.
        shards: On how many shards it lies.
        durability: What to do if the server does not keep what it accepts.
        patience_s: How long a call waits for the server.
        connections: How many connections there are at most.
        hook: Is told what happens.
    """

    def __init__(
        self,
        server: str | AsyncClient,
        *,
        name: str = "payments",
        policy: Policy | None = None,
        shards: int | None = None,
        durability: Durability = "warn",
        patience_s: float = PATIENCE_S,
        connections: int = CONNECTIONS,
        hook: Hook | None = None,
    ) -> None:
        self._server = AsyncServer(server, connections=connections)
        self.operations = Operations(
            name=name,
            policy=policy or Policy(),
            shards=shards,
            clustered=self._server.clustered,
            durability=durability,
            patience_s=patience_s,
            hook=hook,
        )
        self._coalescers: dict[Shard, TaskCoalescer[Entry, Receipt]] = {}

    async def enqueue(self, payment: Payment, *, delay_ms: int = 0, deadline_ms: int | None = None) -> Receipt:
        """Stores a payment, once; see `RetryQueue.enqueue`. Tasks that enqueue at the same moment share calls."""
        (entry,) = self.operations.entries([payment], delay_ms, deadline_ms)
        shard = await self._server.carry(self.operations.shard(payment.key))
        return accepted(await self._coalescer(shard).ask(entry))

    async def enqueue_many(
        self, payments: Iterable[Payment], *, delay_ms: int = 0, deadline_ms: int | None = None
    ) -> list[Receipt]:
        """Stores any number of payments; see `RetryQueue.enqueue_many`."""
        entries = self.operations.entries(payments, delay_ms, deadline_ms)
        shards = await self._server.carry(self.operations.shards())
        under_way: deque[tuple[Sequence[int], asyncio.Task[list[Receipt]]]] = deque()
        answers: list[tuple[Sequence[int], list[Receipt]]] = []
        async with asyncio.TaskGroup() as group:
            for places, call in self.operations.worths(shards, entries):
                if len(under_way) == IN_FLIGHT:
                    earlier, task = under_way.popleft()
                    answers.append((earlier, self.operations.enqueued(await task)))
                under_way.append((places, group.create_task(self._server.carry(self.operations.ask(call)))))
        answers += [(places, self.operations.enqueued(task.result())) for places, task in under_way]
        return in_place(answers)

    async def inspect(self, key: str) -> Item | None:
        """All that is known of a payment; none if there is none."""
        return await self._server.carry(self.operations.inspect(key))

    async def items(self, state: State) -> AsyncIterator[Item]:
        """The payments in a state; see `RetryQueue.items`."""
        cursor: str | None = ""
        while cursor is not None:
            page = await self._server.carry(self.operations.page(state, cursor))
            for item in page.items:
                yield item
            cursor = page.cursor

    async def status(self) -> Status:
        """Counts of the whole queue."""
        return await self._server.carry(self.operations.status())

    async def shards(self) -> int:
        """On how many shards the queue lies."""
        return len(await self._server.carry(self.operations.shards()))

    async def dangers(self) -> Dangers:
        """How the server could lose payments."""
        return await self._server.carry(self.operations.dangers())

    async def requeue(self, key: str) -> None:
        """Schedules a dead payment again; see `RetryQueue.requeue`."""
        await self._server.carry(self.operations.requeue(key))

    async def resolve(self, key: str, *, paid_as: str | None = None, not_paid: bool = False) -> None:
        """Settles a payment in reconcile; see `RetryQueue.resolve`."""
        await self._server.carry(self.operations.resolve(key, paid_as=paid_as, not_paid=not_paid))

    async def purge(self, key: str) -> None:
        """Forgets a dead or quarantined payment; see `RetryQueue.purge`."""
        await self._server.carry(self.operations.purge(key))

    async def pause(self) -> None:
        """Gives workers nothing more."""
        await self._server.carry(self.operations.pause(paused=True))

    async def resume(self) -> None:
        """Ends a pause."""
        await self._server.carry(self.operations.pause(paused=False))

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._server.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _coalescer(self, shard: Shard) -> TaskCoalescer[Entry, Receipt]:
        if shard not in self._coalescers:
            self._coalescers[shard] = TaskCoalescer(lambda entries: self._server.carry(self.operations.enqueue(shard, entries)))
        return self._coalescers[shard]
