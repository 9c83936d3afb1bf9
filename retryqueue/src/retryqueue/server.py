"""Carries talks on: over a blocking client of redis-py, or over an asyncio one."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import deque
from contextlib import closing, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, cast

import redis
import redis.asyncio
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.cluster import RedisCluster

from retryqueue.address import AsyncClient, BlockingClient, async_client, blocking_client, is_cluster
from retryqueue.cancellation import heeded
from retryqueue.conversation import CLIENT_ERRORS, Send, Wait
from retryqueue.errors import QueueUnavailable
from retryqueue.packing import packed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from retryqueue.conversation import Talk
    from retryqueue.protocol import Call

T = TypeVar("T")

CONNECTIONS = 32
# How many groups of calls of one `enqueue_many` are under way: while the server works on one, the next is made ready.
IN_FLIGHT = 2
# How many calls are sent together: to wake the server for each of them would take as long as a third of its work.
SENT_TOGETHER = 5
# Whose replies are used as they come, so that redis-py has nothing to do with them.
_SCRIPTS = {"FCALL", "EVALSHA"}
# What redis-py asks of the two ends of a connection, and of nothing else that may be missing.
_OF_OPEN_CONNECTIONS = {"writelines", "drain", "feed", "read", "readexactly", "readuntil", "readline", "at_eof"}


class Server:
    """A Redis, a Valkey or a cluster of them, for blocking code. Safe to share between threads.

    Args:
        server: An address, or a client of redis-py.
        patience_s: How long to wait for a free connection.
        connections: How many there are at most.
    """

    def __init__(self, server: str | BlockingClient, *, patience_s: float, connections: int) -> None:
        if isinstance(server, str):
            self.clustered, make = is_cluster(server), blocking_client(server, connections)
            self._make: Callable[[], BlockingClient] | None = make
            self._client: Any = None if self.clustered else make()
        else:
            _check_client(server, (redis.Redis, RedisCluster), "blocking")
            self.clustered, self._make, self._client = isinstance(server, RedisCluster), None, server
        self._patience_s = patience_s
        self._connections = connections
        self._process = 0
        self._left_behind: list[Any] = []
        self._free: threading.BoundedSemaphore
        # Connections that nobody uses, kept out of redis-py's pool: to give one back and to take it again costs as much as
        # all else that a call does here. A client that was given keeps its own: its giver may need them.
        self._at_hand: list[Any] = []

    @property
    def client(self) -> Any:
        """The client. That of a cluster is made when it is first needed: redis-py asks the cluster for its nodes then."""
        client = self._client
        if client is None and self._make is not None:  # Threads may make one each in the first moment; the last one is kept.
            client = self._client = self._make()
        return client

    def carry(self, talk: Talk[T]) -> T:
        """What a talk comes to."""
        with closing(talk):  # Interrupted, it ends now, and not whenever it is collected.
            try:
                step = next(talk)
                while True:
                    try:
                        reply = self._do(step)
                    except CLIENT_ERRORS as error:
                        step = talk.throw(error)
                    else:
                        step = talk.send(reply)
            except StopIteration as end:
                return cast("T", end.value)

    def _do(self, step: Send | Wait) -> Any:
        if isinstance(step, Wait):
            return time.sleep(step.seconds)
        # redis-py's own pools refuse when they are empty, so that a burst of callers would lose payments.
        free = self._places()
        if not free.acquire(timeout=self._patience_s):
            raise QueueUnavailable(f"none of {self._connections} connections became free within {self._patience_s} s")
        if self._is_direct(step):
            return _Sent(self, free, [step.parts]).replies()[0]
        try:
            self._give_back_all()
            return self._send(step)
        finally:
            free.release()

    def _is_direct(self, step: Send) -> bool:
        """Whether a command goes to a connection without all that redis-py does around it, which takes as long again."""
        return step.parts[0] in _SCRIPTS and not self.clustered and self.client.connection is None

    def _places(self) -> threading.BoundedSemaphore:
        """One place for each connection. After a fork there are others: those taken then are never given back here."""
        if self._process != os.getpid():
            self._leave_client_behind()
            self._process, self._free = os.getpid(), threading.BoundedSemaphore(self._connections)
        return self._free

    def _leave_client_behind(self) -> None:
        """After a fork, lets `client` make another one: a lock in redis-py's pool may be held by a thread that is not here.

        The old one is kept, since it would take that lock when it is disposed of.
        """
        if self._process and self._make is not None:
            self._left_behind += (self._client, self._at_hand)
            self._client, self._at_hand = None, []

    def take(self) -> Any:
        """A connection for somebody who has a place."""
        try:
            connection = self._at_hand.pop()
        except IndexError:
            return self.client.connection_pool.get_connection()
        if _is_silent(connection):
            return connection
        connection.disconnect()
        self.client.connection_pool.release(connection)  # Which connects it again, perhaps to another server.
        return self.client.connection_pool.get_connection()

    def give_back(self, connection: Any, *, is_open: bool) -> None:
        """Takes a connection back, on which no reply is outstanding.

        One that has broken is redis-py's to connect again, perhaps to another server; and so are the others, which were made
        to the same one.
        """
        if is_open and self._make is not None:
            self._at_hand.append(connection)
        else:
            self._give_back_all()
            self.client.connection_pool.release(connection)

    def _give_back_all(self) -> None:
        """Lets redis-py have what is at hand: its own calls need connections too, and there are no more than places."""
        while self._at_hand:
            with suppress(IndexError):  # Another thread has taken it.
                self.client.connection_pool.release(self._at_hand.pop())

    def _send(self, step: Send) -> Any:
        if not step.everywhere:
            return self.client.execute_command(*step.parts)
        if self.clustered:
            return [self.client.execute_command(*step.parts, target_nodes=node) for node in self.client.get_primaries()]
        return [self.client.execute_command(*step.parts)]

    def answers(
        self,
        calls: Iterable[Call[T]],
        command: Callable[[Call[T]], tuple[Any, ...]],
        ask: Callable[[Call[T]], Talk[T]],
    ) -> Generator[T]:
        """What each call comes to, in their order. Some are under way while the next are made ready, on another connection.

        Whatever does not go smoothly is asked in the ordinary way, which has the patience; so a call may be sent twice.

        Args:
            calls: The calls, made one after the other.
            command: What to send for one.
            ask: The ordinary way.
        """
        under_way: deque[tuple[list[Call[T]], _Sent | None]] = deque()
        coming = iter(calls)
        try:
            while group := list(islice(coming, SENT_TOGETHER)):
                if len(under_way) == IN_FLIGHT:
                    yield from self._answered(under_way, ask)
                under_way.append((group, self._sent([command(call) for call in group])))
            while under_way:
                yield from self._answered(under_way, ask)
        finally:
            for _, sent in under_way:
                if sent is not None:
                    sent.give_up()

    def _answered(
        self, under_way: deque[tuple[list[Call[T]], _Sent | None]], ask: Callable[[Call[T]], Talk[T]]
    ) -> Generator[T]:
        """The answers to the first group that is under way; if it was not sent or not answered, to all of them, asked again."""
        group, sent = under_way[0]
        try:
            replies = sent.replies() if sent is not None else None
        except CLIENT_ERRORS:
            replies = None
        if replies is not None:
            under_way.popleft()
            yield from (call.read(reply) for call, reply in zip(group, replies, strict=True))
            return
        groups = list(under_way)
        while under_way:  # Before anything is asked: nobody may hold a connection and wait for another one.
            _, other = under_way.popleft()
            if other is not None:
                other.give_up()
        for calls, _ in groups:
            for call in calls:
                yield self.carry(ask(call))

    def _sent(self, commands: list[tuple[Any, ...]]) -> _Sent | None:
        """Commands that are on their way; nothing if they cannot be sent without waiting, or on a connection of their own."""
        free = self._places()
        if not self._is_direct(Send(commands[0])) or not free.acquire(blocking=False):
            return None
        try:
            return _Sent(self, free, commands)
        except CLIENT_ERRORS:
            return None

    def close(self) -> None:
        """Closes the connections of this process, except those of a client that was given: that one is its giver's to close."""
        if self._client is not None and self._make is not None and self._process in {0, os.getpid()}:
            self._give_back_all()
            for client in (self._client, *_sentinels(self._client)):
                client.close()


class _Sent:
    """Commands sent on a connection of their own, whose replies are still to be read. Gives back a place when it ends.

    Args:
        server: Has the connections.
        place: The place that was taken for this one.
        commands: The commands.
    """

    __slots__ = ("_connection", "_count", "_place", "_server")

    def __init__(self, server: Server, place: threading.BoundedSemaphore, commands: list[tuple[Any, ...]]) -> None:
        self._server = server
        self._place: threading.BoundedSemaphore | None = place
        self._connection: Any = None
        self._count = len(commands)
        try:
            self._connection = server.take()
            self._connection.send_packed_command([b"".join(map(packed, commands))])
        except BaseException:
            self.give_up()
            raise

    def replies(self) -> list[Any]:
        """The replies. One that is an error is raised, when all of them are read."""
        replies: list[Any] = []
        refused: redis.ResponseError | None = None
        try:
            for _ in range(self._count):
                try:
                    replies.append(self._connection.read_response())
                except redis.ResponseError as error:  # A reply as well, and read to its end.
                    refused = error
        except BaseException:
            self.give_up()
            raise
        self._end(is_open=True)
        if refused is not None:
            raise refused
        return replies

    def give_up(self) -> None:
        """Ends it without a reply. One that comes later must not be taken for that of the next command."""
        if self._place is not None and self._connection is not None:
            self._connection.disconnect()
        self._end(is_open=False)

    def _end(self, *, is_open: bool) -> None:
        place, self._place = self._place, None
        if place is not None:
            try:
                if self._connection is not None:
                    self._server.give_back(self._connection, is_open=is_open)
            finally:
                place.release()


class AsyncServer:
    """The same for asyncio code. Belongs to one loop.

    Args:
        server: An address, or an asyncio client of redis-py.
        connections: How many connections there are at most.
    """

    def __init__(self, server: str | AsyncClient, *, connections: int) -> None:
        self._owned = isinstance(server, str)
        # One connection more than there are places: a worker's subscription holds one all the time.
        client = async_client(server, connections + 1)() if isinstance(server, str) else server
        _check_client(client, (redis.asyncio.Redis, AsyncRedisCluster), "asyncio")
        self.client: Any = client  # The types of redis-py leave out half of what is called here.
        self.clustered = isinstance(self.client, AsyncRedisCluster)
        self._free = asyncio.Semaphore(connections)

    async def carry(self, talk: Talk[T]) -> T:
        """What a talk comes to."""
        with closing(talk):
            try:
                step = next(talk)
                while True:
                    try:
                        reply = await self._do(step)
                    except CLIENT_ERRORS as error:
                        step = talk.throw(error)
                    else:
                        step = talk.send(reply)
            except StopIteration as end:
                return cast("T", end.value)

    async def _do(self, step: Send | Wait) -> Any:
        if isinstance(step, Wait):
            return await asyncio.sleep(step.seconds)
        async with self._free:
            try:
                return await heeded(self._send(step))
            except AttributeError as error:
                # redis-py's asyncio cluster closes a connection under a task that is just sending on it (seen with 5.0 to 8.1).
                if error.obj is not None or error.name not in _OF_OPEN_CONNECTIONS:
                    raise
                raise redis.ConnectionError("the connection was closed by another task") from error

    async def _send(self, step: Send) -> Any:
        if not step.everywhere:
            return await self.client.execute_command(*step.parts)
        if self.clustered:
            await self.client.initialize()
            return [await self.client.execute_command(*step.parts, target_nodes=node) for node in self.client.get_primaries()]
        return [await self.client.execute_command(*step.parts)]

    async def aclose(self) -> None:
        """Closes the connections, except those of a client that was given."""
        if self._owned:
            for client in (self.client, *_sentinels(self.client)):
                await client.aclose()


def _is_silent(connection: Any) -> bool:
    """Whether a connection that nobody used is open and has nothing to read.

    What came unasked, as from a proxy that says good-bye, would be taken for the next reply, and each reply for the one after.
    """
    try:
        return not connection.can_read()
    except (*CLIENT_ERRORS, OSError):
        return False


def _sentinels(client: Any) -> list[Any]:
    """The clients with which a client asks sentinels for the primary: it leaves them open when it is closed."""
    manager = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    return manager.sentinels if manager else []


def _check_client(client: Any, kinds: tuple[type, ...], kind: str) -> None:
    if not isinstance(client, kinds):
        raise TypeError(f"needs an address or a {kind} client of redis-py, found {type(client).__name__}")
    encoder = client.get_encoder() if hasattr(client, "get_encoder") else None
    if encoder is not None and encoder.decode_responses:
        raise TypeError("needs a client that leaves replies as bytes; make it with decode_responses=False")
