"""Connections and files that are not given back: how many are open, while the calls go on and when all of them are over.

A pool keeps as many connections as calls were on their way at one time, and does not grow any more then. What grows with the
number of calls, and is more than that, is a leak.

Where many calls are on their way at one time, a pool may be so large that a leak does not stand out. So when all is over,
further calls are made one after the other, in three rounds. A pool serves them with what it has, and comes back to what it has
used; what was used in the first round and never again is lost to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_POOLS_EACH = 2  # A module may keep several clients, each with a pool.
_SPARE = 4  # Event loops, subscriptions, what a library keeps for itself.
_GROWN = 1.25
_KINDS = (
    ("connections to Redis", "redis"),
    ("connections to the provider", "services"),
    ("files and connections", "files"),
)
_EXHAUSTED = re.compile(
    r"MaxConnectionsError|Too many connections|max number of clients|No connection available|QueuePool limit|PoolTimeout"
    r"|Too many open files|too many clients already|remaining connection slots|connection pool exhausted|WaitQueueTimeout"
    r"|timed out while checking out a connection",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Sample:
    """What was open at one moment.

    Attributes:
        calls: How many calls were over.
        redis: Connections to Redis.
        services: Connections to the provider and other services.
        files: All that the processes had open, connections too.
    """

    calls: int
    redis: int
    services: int
    files: int


_NOTHING = Sample(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Calm:
    """What calls left open that were made one after the other, when all was over.

    Attributes:
        calls: How many there were.
        works: How often the work was done then.
        before: What was open before the first.
        after: What stayed open in the end.
        forgotten: How many connections to Redis were used in the first round, and never again.
    """

    calls: int
    works: int
    before: Sample
    after: Sample
    forgotten: int = 0

    def leaks(self, processes: int) -> list[str]:
        """What is not given back, in words; the first kind says it.

        Args:
            processes: How many there were: each may need a few connections for a thread that had made none before.
        """
        allowed, calls = _SPARE * processes, f"{self.calls:,} further calls, made one after the other,"
        if self.forgotten > allowed:
            return [f"{calls} used {self.forgotten:,} connections to Redis once and never again: they are not given back"]
        for kind, what in _KINDS:
            more = getattr(self.after, what) - getattr(self.before, what)
            if more > allowed:
                work = f" and the work, done {self.works} times more," if self.works else ""
                return [f"{calls}{work} left {more:,} more {kind} open: they are not given back"]
        return []


@dataclass(slots=True)
class Open:
    """What was open in the course of a load.

    Attributes:
        samples: The first before the first call, the last when everything had come to rest.
    """

    samples: list[Sample] = field(default_factory=list[Sample])

    @property
    def first(self) -> Sample:
        """What was open before."""
        return self.samples[0] if self.samples else _NOTHING

    @property
    def last(self) -> Sample:
        """What stayed open."""
        return self.samples[-1] if self.samples else _NOTHING

    def most(self, what: str) -> int:
        """How many were open at one time."""
        return max((int(getattr(sample, what)) for sample in self.samples), default=0)

    def leaks(self, at_once: int, processes: int) -> list[str]:
        """What is not given back, in words.

        Args:
            at_once: How many calls and works were on their way at one time, in all processes together.
            processes: How many processes there were.
        """
        allowed = _POOLS_EACH * at_once + _SPARE * processes
        # On a busy machine the samples are few: one from shortly before the end would say that nothing has grown since.
        half = max(
            (one for one in self.samples if one.calls * 2 <= self.last.calls), key=lambda one: one.calls, default=self.first
        )
        found: list[str] = []
        for said, what in _KINDS:
            before, midway, end = (getattr(sample, what) for sample in (self.first, half, self.last))
            if found and what == "files":
                break  # They are those that were told already.
            if end - before > allowed and end - before > _GROWN * (midway - before):
                found.append(
                    f"{end - before:,} {said} stay open after {self.last.calls:,} calls, and {midway - before:,} did after"
                    f" {half.calls:,}, with {at_once} on their way at one time: they are not given back"
                )
        return found


def is_exhaustion(error: str) -> bool:
    """Whether an error says that no connection or file was left."""
    return _EXHAUSTED.search(error) is not None
