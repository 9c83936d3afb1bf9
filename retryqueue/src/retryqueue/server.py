"""Carries talks on: over a blocking client of redis-py, or over an asyncio one."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar, cast

import redis
import redis.asyncio
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.cluster import RedisCluster

from retryqueue.address import async_client, blocking_client
from retryqueue.conversation import Send, Wait
from retryqueue.errors import QueueUnavailable

if TYPE_CHECKING:
    from retryqueue.conversation import Talk

T = TypeVar("T")

BlockingClient = redis.Redis | RedisCluster
AsyncClient = redis.asyncio.Redis | AsyncRedisCluster

CONNECTIONS = 32


class Server:
    """A Redis, a Valkey or a cluster of them, for blocking code. Safe to share between threads.

    Args:
        server: An address, or a client of redis-py.
        patience_s: How long to wait for a free connection.
        connections: How many there are at most.
    """

    def __init__(self, server: str | BlockingClient, *, patience_s: float, connections: int) -> None:
        client = blocking_client(server, connections) if isinstance(server, str) else server
        _check_client(client, (redis.Redis, RedisCluster), "blocking")
        self.client: Any = client  # The types of redis-py leave out half of what is called here.
        self.clustered = isinstance(self.client, RedisCluster)
        self._patience_s = patience_s
        self._connections = connections
        self._process = 0
        self._free: threading.BoundedSemaphore

    def carry(self, talk: Talk[T]) -> T:
        """What a talk comes to."""
        try:
            step = next(talk)
            while True:
                try:
                    reply = self._do(step)
                except redis.RedisError as error:
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
        try:
            return self._send(step)
        finally:
            free.release()

    def _places(self) -> threading.BoundedSemaphore:
        """One place for each connection. After a fork there are others: those taken then are never given back here."""
        if self._process != os.getpid():
            self._process, self._free = os.getpid(), threading.BoundedSemaphore(self._connections)
        return self._free

    def _send(self, step: Send) -> Any:
        if not step.everywhere:
            return self.client.execute_command(*step.parts)
        if self.clustered:
            return [self.client.execute_command(*step.parts, target_nodes=node) for node in self.client.get_primaries()]
        return [self.client.execute_command(*step.parts)]

    def close(self) -> None:
        """Closes the connections."""
        self.client.close()


class AsyncServer:
    """The same for asyncio code. Belongs to one loop.

    Args:
        server: An address, or an asyncio client of redis-py.
        connections: How many connections there are at most.
    """

    def __init__(self, server: str | AsyncClient, *, connections: int) -> None:
        client = async_client(server, connections) if isinstance(server, str) else server
        _check_client(client, (redis.asyncio.Redis, AsyncRedisCluster), "asyncio")
        self.client: Any = client
        self.clustered = isinstance(self.client, AsyncRedisCluster)
        self._free = asyncio.Semaphore(connections)

    async def carry(self, talk: Talk[T]) -> T:
        """What a talk comes to."""
        try:
            step = next(talk)
            while True:
                try:
                    reply = await self._do(step)
                except redis.RedisError as error:
                    step = talk.throw(error)
                else:
                    step = talk.send(reply)
        except StopIteration as end:
            return cast("T", end.value)

    async def _do(self, step: Send | Wait) -> Any:
        if isinstance(step, Wait):
            return await asyncio.sleep(step.seconds)
        async with self._free:
            return await self._send(step)

    async def _send(self, step: Send) -> Any:
        if not step.everywhere:
            return await self.client.execute_command(*step.parts)
        if self.clustered:
            await self.client.initialize()
            return [await self.client.execute_command(*step.parts, target_nodes=node) for node in self.client.get_primaries()]
        return [await self.client.execute_command(*step.parts)]

    async def aclose(self) -> None:
        """Closes the connections."""
        await self.client.aclose()


def _check_client(client: Any, kinds: tuple[type, ...], kind: str) -> None:
    if not isinstance(client, kinds):
        raise TypeError(f"needs an address or a {kind} client of redis-py, found {type(client).__name__}")
    encoder = client.get_encoder() if hasattr(client, "get_encoder") else None
    if encoder is not None and encoder.decode_responses:
        raise TypeError("needs a client that leaves replies as bytes; make it with decode_responses=False")
