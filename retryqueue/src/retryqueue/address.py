"""From an address to a client of redis-py, blocking or asyncio.

    redis://HOST:PORT/DB  rediss://  unix://PATH         one server
    redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB      whatever server the sentinels call the primary
    redis+cluster://HOST:PORT,HOST:PORT                  a cluster

User and password stand before the hosts, as usual: `redis://user:password@host`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import SplitResult, unquote, urlsplit

import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.asyncio.retry
import redis.asyncio.sentinel
import redis.cluster
import redis.retry
import redis.sentinel
from redis.backoff import NoBackoff

if TYPE_CHECKING:
    from collections.abc import Callable


BlockingClient = redis.Redis | redis.cluster.RedisCluster
AsyncClient = redis.asyncio.Redis | redis.asyncio.cluster.RedisCluster

PORT = 6379
SENTINEL_PORT = 26379
# Longer than any fsync should take, and a fraction of a caller's patience: a server that hangs is left for the next primary.
SOCKET_TIMEOUT_S = 2.0
_TIMES: dict[str, Any] = {
    "socket_timeout": SOCKET_TIMEOUT_S,
    "socket_connect_timeout": SOCKET_TIMEOUT_S,
    "health_check_interval": 15,
}


class _Classes(NamedTuple):
    """What redis-py has once for blocking code and once for asyncio. Its types are incomplete, so none are claimed here."""

    redis: Any
    sentinel: Any
    cluster: Any
    node: Any
    retry: Any


_BLOCKING = _Classes(
    redis.Redis, redis.sentinel.Sentinel, redis.cluster.RedisCluster, redis.cluster.ClusterNode, redis.retry.Retry
)
_ASYNC = _Classes(
    redis.asyncio.Redis,
    redis.asyncio.sentinel.Sentinel,
    redis.asyncio.cluster.RedisCluster,
    redis.asyncio.cluster.ClusterNode,
    redis.asyncio.retry.Retry,
)


def is_cluster(address: str) -> bool:
    """Whether an address is one of a cluster."""
    return urlsplit(address).scheme.endswith("+cluster")


def blocking_client(address: str, connections: int) -> Callable[[], BlockingClient]:
    """Makes the blocking client for an address, with at most `connections` connections to each server.

    The address is checked at once. The client comes later, because redis-py makes none for a cluster that does not answer.

    Raises:
        ValueError: If it is no address of the forms above.
    """
    return cast("Callable[[], BlockingClient]", _client(_BLOCKING, address, connections))


def async_client(address: str, connections: int) -> Callable[[], AsyncClient]:
    """Makes the asyncio client for an address; see `blocking_client`."""
    return cast("Callable[[], AsyncClient]", _client(_ASYNC, address, connections))


def _client(classes: _Classes, address: str, connections: int) -> Callable[[], object]:
    parts = urlsplit(address)
    # Without retries of redis-py's own, each of which would wait for the timeouts again: `patient` calls again.
    options = {**_TIMES, "max_connections": connections, "retry": classes.retry(NoBackoff(), 0)}
    match parts.scheme:
        case "redis+sentinel" | "rediss+sentinel":
            service, db = _service(parts)
            return partial(
                _behind_sentinels, classes, _hosts(parts, SENTINEL_PORT), service, {**options, "db": db}, _login(parts)
            )
        case "redis+cluster" | "rediss+cluster":
            return partial(_of_cluster, classes, _hosts(parts, PORT), {**options, **_login(parts)})
        case "redis" | "rediss" | "unix":
            return partial(classes.redis.from_url, address, **options)
        case _:
            raise ValueError(_no_address(address))


def _behind_sentinels(
    classes: _Classes, hosts: list[tuple[str, int]], service: str, options: dict[str, Any], login: dict[str, Any]
) -> object:
    sentinel = classes.sentinel(hosts, sentinel_kwargs={**_TIMES, **login})
    return sentinel.master_for(service, **options, **login)


def _of_cluster(classes: _Classes, hosts: list[tuple[str, int]], options: dict[str, Any]) -> object:
    return classes.cluster(startup_nodes=[classes.node(host, port) for host, port in hosts], **options)


def _hosts(parts: SplitResult, port: int) -> list[tuple[str, int]]:
    """The hosts of an address that names several."""
    found = [host.rpartition(":") for host in parts.netloc.rpartition("@")[2].split(",") if host]
    hosts = [(before or last, int(last) if before else port) for before, _, last in found]
    if not hosts:
        raise ValueError(_no_address(parts.geturl()))
    return [(host.strip("[]"), number) for host, number in hosts]


def _login(parts: SplitResult) -> dict[str, Any]:
    """User, password and encryption, as far as the address names them."""
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    named = {"username": unquote(user), "password": unquote(password), "ssl": parts.scheme.startswith("rediss")}
    return {name: value for name, value in named.items() if value}


def _service(parts: SplitResult) -> tuple[str, int]:
    service, _, db = parts.path.strip("/").partition("/")
    if not service or not (db or "0").isdigit():
        raise ValueError("an address of sentinels names their service: redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB")
    return service, int(db or 0)


def _no_address(address: str) -> str:
    """What is wrong, without the password that an address may hold."""
    return (
        f"no address of a Redis: scheme {urlsplit(address).scheme or 'missing'}; expected redis://, rediss://, unix://, "
        "redis+sentinel:// or redis+cluster://"
    )
