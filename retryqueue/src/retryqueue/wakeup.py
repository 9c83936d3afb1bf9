"""Hears that something is due sooner than a worker knows: the scripts publish it, and this listens.

A message may be lost with its connection, so every connection that is made anew counts as a message.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import redis
import redis.asyncio
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster

from retryqueue.cancellation import heeded
from retryqueue.conversation import CLIENT_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from retryqueue.shards import Shard

logger = logging.getLogger("retryqueue")

AGAIN_AFTER_S = 0.2
QUIET_S = 1.0


async def listen(client: Any, shards: Sequence[Shard], wake: Callable[[Shard], None]) -> None:
    """Calls `wake` with a shard whenever something may have become due there. Ends only when it is cancelled."""
    channels = {shard.wake.encode(): shard for shard in shards}
    while True:
        try:
            await heeded(_listen_once(client, channels, wake))
        except (*CLIENT_ERRORS, OSError) as error:
            logger.debug("the connection that listens for new payments is gone: %s", error)
        await asyncio.sleep(AGAIN_AFTER_S)


async def _listen_once(client: Any, channels: dict[bytes, Shard], wake: Callable[[Shard], None]) -> None:
    node = await _one_node(client)
    try:
        async with node.pubsub() as subscription:
            await heeded(subscription.subscribe(*channels))
            for shard in channels.values():
                wake(shard)
            pinged = False
            while True:
                message = await heeded(subscription.get_message(timeout=QUIET_S))
                if message is None:
                    if pinged:  # The server hangs, or the connection has died in silence.
                        raise redis.ConnectionError(f"no answer to a ping within {QUIET_S} s")
                    await heeded(subscription.ping())
                elif message["type"] == "message":
                    wake(channels[message["channel"]])
                pinged = message is None
    finally:
        if node is not client:
            await node.aclose()


async def _one_node(client: Any) -> Any:
    """A server to listen to: a cluster passes messages on to all of its nodes."""
    if not isinstance(client, AsyncRedisCluster):
        return client
    await client.initialize()
    node = client.get_random_node()
    return redis.asyncio.Redis(
        connection_pool=redis.asyncio.ConnectionPool(connection_class=node.connection_class, **node.connection_kwargs)
    )
