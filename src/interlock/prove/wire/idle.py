"""Real connections that are kept from schedule to schedule, by what has set them up.

A client begins with a greeting: the protocol, its name, the database. The answer to a greeting is the same each time, so it is
asked for once; and a connection that was left clean after a greeting serves the next client which begins with the same one.
Both together are half of the round trips of a small schedule.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.wire.redis_connection import Connection

_NAMES = frozenset({b"HELLO", b"SELECT", b"AUTH", b"READONLY", b"PING"})
_OF_CLIENTS = frozenset({b"SETINFO", b"SETNAME", b"MAINT_NOTIFICATIONS", b"NO-EVICT", b"NO-TOUCH"})


def is_greeting(command: list[bytes]) -> bool:
    """Whether a command sets a connection up, and is answered in the same way each time."""
    name = command[0].upper()
    return name in _NAMES or (name == b"CLIENT" and len(command) > 1 and command[1].upper() in _OF_CLIENTS)


class IdleConnections:
    """The connections of one process that nobody uses.

    Args:
        connect: Makes another one.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._idle: defaultdict[tuple[bytes, ...], list[Connection]] = defaultdict(list)
        self._answers: dict[tuple[bytes, ...], bytes] = {}

    def greeted(self, greeting: tuple[bytes, ...]) -> bytes:
        """The answer to the last command of a greeting."""
        if greeting not in self._answers:
            connection = self.take(greeting[:-1])
            self._answers[greeting] = connection.ask(greeting[-1])
            self.give(greeting, connection)
        return self._answers[greeting]

    def take(self, greeting: tuple[bytes, ...]) -> Connection:
        """A connection that has had this greeting."""
        if self._idle[greeting]:
            return self._idle[greeting].pop()
        connection = self._connect()
        if greeting:
            connection.ask(b"".join(greeting), len(greeting))
        return connection

    def give(self, greeting: tuple[bytes, ...], connection: Connection) -> None:
        """Takes back one that has had this greeting, and on which nothing is pending."""
        self._idle[greeting].append(connection)

    def close(self) -> None:
        """Ends all of them."""
        for connection in (one for idle in self._idle.values() for one in idle):
            connection.close()
        self._idle.clear()
