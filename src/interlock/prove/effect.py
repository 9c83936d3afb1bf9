"""One thing that a worker does to the world, and when the order of two of them matters."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import NamedTuple

EVERYTHING = "*"

# What may be given back by whatever ends a transaction or a connection, and lets others go on.
LOCKS = "locks"


REMOTE = frozenset({"redis", "postgres", "http"})


class Uncontrolled(Exception):  # noqa: N818 - a limit of this guard, not a mistake of a program.
    """The module did something whose order this guard does not control, so that it cannot answer."""


@dataclass(frozen=True, slots=True)
class Effect:
    """A command, a query, a request or a wait.

    Attributes:
        kind: `redis`, `postgres`, `http` or `wait`; another one for what a contract does itself.
        said: What people read, such as `ZREM queue p1`.
        reads: The names of what it looks at. `*` stands for everything.
        writes: The names of what it changes.
        process: The worker whose memory its outcome goes to, if that worker does several things at once.
        lengths_s: How long what ends by itself lasts in this run: leases, expiries, pauses.
        is_late: Whether its worker had been granted something before that ends by itself, or had slept; or another one sleeps.
        exactly: What tells it from others that read the same, because what people read is cut.
    """

    kind: str
    said: str
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    process: int | None = None
    lengths_s: tuple[float, ...] = ()
    is_late: bool = False
    exactly: str = ""

    @property
    def is_remote(self) -> bool:
        """Whether it goes over a connection, which may end; and is nothing that the contract itself does."""
        return self.kind in REMOTE

    def is_on_server_of(self, other: Effect) -> bool:
        """Whether both go to the same server: there is one of a kind, but of those that speak HTTP."""
        return self.kind == other.kind and (self.kind != "http" or self.writes == other.writes)

    def of_process(self, process: int) -> Effect:
        """The same, with an outcome that goes to a memory which several share. `replace` takes three times as long."""
        if self.process == process:
            return self
        return Effect(self.kind, self.said, self.reads, self.writes, process, self.lengths_s, self.is_late, self.exactly)

    def conflicts(self, other: Effect) -> bool:
        """Whether the two may tell in which order they happened: one changes what the other sees or changes."""
        if self.process is not None and self.process == other.process:
            return True
        return _meet(self.writes, other.writes) or _meet(self.writes, other.reads) or _meet(self.reads, other.writes)


class Step(NamedTuple):
    """One effect as it happened.

    Attributes:
        worker: Who did it.
        effect: What it was.
        at_s: When, in virtual time.
        fault: The fault that struck it, if one did.
        answer: What came of it, for people.
        where: The line of the user's code that led to it, if somebody wanted to know.
        preempts: Whether it was done though somebody else could have gone on.
    """

    worker: str
    effect: Effect
    at_s: float
    fault: str | None
    answer: str
    where: str = ""
    preempts: bool = False


def _meet(some: frozenset[str], others: frozenset[str]) -> bool:
    if not some or not others:
        return False
    return EVERYTHING in some or EVERYTHING in others or not some.isdisjoint(others)


# Where an object lies in memory is chance that concerns nobody, though it gets into messages of errors.
_ADDRESS = re.compile(rb"\b0x[0-9a-f]{6,}")


def exactly(said: str, *sent: bytes) -> str:
    """What tells something that is sent from all else, if what people read of it does not say all."""
    whole = b" ".join(sent)
    return "" if said.encode() == whole else hashlib.blake2b(_ADDRESS.sub(b"0x", whole), digest_size=8).hexdigest()


def told_apart(first: tuple[str, str], second: tuple[str, str]) -> tuple[str, str]:
    """Two effects that are not the same, for people: what they read of each, and what tells it from others that read so."""
    return first[0], second[0] if first[0] != second[0] else f"{second[0]} (with another value)"
