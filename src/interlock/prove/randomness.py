"""Chance that can be repeated: what a worker draws depends on the seed, on which worker it is and on which of its lives.

Two processes never draw the same, and neither does a process that is started again: a worker that clears up after a crash
with the dead worker's numbers would make the same "unique" key once more, and hide what a fresh one breaks.

Covered are `random` with its own instances, `os.urandom` and what is made of it (`secrets`, `SystemRandom`, `uuid4`), `uuid1`,
and the process's number, which many take for an identity. Chance from elsewhere, such as NumPy's, is not; where it changes
what a module does, the same order of effects leads to other effects, and the answer is unknown.
"""

from __future__ import annotations

import os
import random
import ssl
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from interlock.prove.holders import put_in_place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

# The functions of `random` that belong to its hidden instance.
_DRAWS = tuple(name for name in random.__all__ if isinstance(getattr(getattr(random, name), "__self__", None), random.Random))
_FIRST_PID = 4_000  # Of no special meaning: the first worker's process has this number.
_UUID_EPOCH = 0x01B21DD213814000  # RFC 9562, 5.1: from 15 October 1582 to 1 January 1970, in 100 ns.
_NODE = 0x02_00_5E_00_53_01  # RFC 9562, 6.10: a locally administered address; all workers are on one machine.


@dataclass(slots=True, eq=False)
class Chance:
    """What one worker draws in one of its lives.

    Args:
        seed: Of the whole schedule.
        who: The worker.
        life: How often it was started before.
        number: Of the process, from 0.

    Attributes:
        pid: What the process takes for its number.
    """

    seed: int
    who: str
    life: int
    number: int
    pid: int = field(init=False)
    _source: random.Random | None = None
    _last_uuid: int = 0

    def __post_init__(self) -> None:
        self.pid = _FIRST_PID + self.number

    @property
    def source(self) -> random.Random:
        """Where its draws come from; made at the first one, since most workers never draw."""
        if self._source is None:
            # A text is hashed the same in every process, whatever PYTHONHASHSEED says.
            self._source = random.Random(f"{self.seed}:{self.who}:{self.life}")  # noqa: S311 - to be repeated.
        return self._source

    def some_bytes(self, size: int, flags: int = 0) -> bytes:  # noqa: ARG002 - as the system call has it.
        """As many as asked for."""
        return self.source.randbytes(size)

    def uuid1(self, node: int | None = None, clock_seq: int | None = None) -> uuid.UUID:
        """A UUID of the virtual time, and never the same twice."""
        self._last_uuid = max(self._last_uuid + 1, time.time_ns() // 100 + _UUID_EPOCH)
        stamp, sequence = self._last_uuid, self.source.getrandbits(14) if clock_seq is None else clock_seq
        fields = (stamp & 0xFFFFFFFF, stamp >> 32 & 0xFFFF, stamp >> 48 & 0x0FFF, sequence >> 8 & 0x3F, sequence & 0xFF)
        return uuid.UUID(fields=(*fields, _NODE if node is None else node), version=1)


def _nobody() -> Chance | None:
    return None


_current: Callable[[], Chance | None] = _nobody


@contextmanager
def controlled_randomness(chance: Callable[[], Chance | None]) -> Generator[None]:
    """Lets whoever draws do so from `chance()`, for as long as the block lasts; where that is none, from the real sources."""
    global _current  # noqa: PLW0603 - the stand-ins outlive a proof, as those of the clock do, and follow whichever is on.
    before, _current = _current, chance
    try:
        with put_in_place_of(_STAND_INS), _seeded_instances():
            yield
    finally:
        _current = before


@dataclass(frozen=True, slots=True, eq=False)
class _StandIn:
    """What is called instead of a source of chance. It binds to no object, as a built-in function does not."""

    real: Callable[..., Any]
    drawn: Callable[..., Any]

    def __call__(self, *args: Any, **options: Any) -> Any:
        current = _current()
        return self.real(*args, **options) if current is None else self.drawn(current, *args, **options)


@dataclass(frozen=True, slots=True, eq=False)
class _NumberStandIn:
    """The same for the process's number, which clients ask for again and again, to see whether they were forked."""

    real: Callable[[], int]

    def __call__(self) -> int:
        current = _current()
        return self.real() if current is None else current.pid


def _draw(name: str, current: Chance, *args: Any, **options: Any) -> Any:
    return getattr(current.source, name)(*args, **options)


# What is drawn instead, with the worker's chance as the first argument.
_DRAWN: dict[Callable[..., Any], Callable[..., Any]] = {
    **{getattr(random, name): partial(_draw, name) for name in _DRAWS},
    os.urandom: Chance.some_bytes,
    os.getrandom: Chance.some_bytes,
    ssl.RAND_bytes: Chance.some_bytes,
    uuid.uuid1: Chance.uuid1,
}
_STAND_INS: dict[object, object] = {
    **{real: _StandIn(real, drawn) for real, drawn in _DRAWN.items()},
    os.getpid: _NumberStandIn(os.getpid),
}


@contextmanager
def _seeded_instances() -> Generator[None]:
    """`random.Random()` takes its seed from the system, below everything that can be replaced; so it is handed one."""
    real = random.Random.seed

    def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
        current = _current() if a is None else None
        real(self, a if current is None else current.source.getrandbits(128), version)

    random.Random.seed = seed  # type: ignore[method-assign]
    try:
        yield
    finally:
        random.Random.seed = real  # type: ignore[method-assign]
