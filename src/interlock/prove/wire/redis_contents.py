"""All that a Redis holds, as bytes: so that two states can be told apart without going through them by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.prove.wire import resp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interlock.prove.wire.redis_log import Asks


def redis_contents(connection: Asks, scripts: Iterable[str], *, has_functions: bool) -> bytes:
    """Everything that a client could find: the keys in the server's own order, with what is left of their time, and programs.

    Args:
        connection: Asks the server. It is at database 0, and is so afterwards.
        scripts: The digests of those that it may have loaded, in some order of their own.
        has_functions: Whether it may have loaded libraries of functions.
    """
    told = connection.value("INFO", "keyspace").decode()
    databases = [line[2:].partition(":")[0] for line in told.splitlines() if line.startswith("db")]
    found = [_of_database(connection, database) for database in databases]
    digests = sorted(scripts)
    found += [connection.ask(resp.encoded("SCRIPT", "EXISTS", *digests))] if digests else []
    found += [connection.ask(resp.encoded("FUNCTION", "DUMP"))] if has_functions else []
    return b"".join([repr((databases, digests)).encode(), *found])


def _of_database(connection: Asks, database: str) -> bytes:
    names = connection.ask(resp.encoded("SELECT", database) + resp.encoded("KEYS", "*"), 2)
    _, place = resp.decoded(names)
    keys = resp.decoded(names, place)[0]
    asked = b"".join(resp.encoded("DUMP", key) + resp.encoded("PTTL", key) for key in keys)
    return names + connection.ask(asked + resp.encoded("SELECT", 0), 2 * len(keys) + 1)
