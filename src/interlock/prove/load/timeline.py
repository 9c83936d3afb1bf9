"""The wall clock of a load: one for all of its processes, and the server's. It runs as the real one does, and can jump ahead.

Each call of a steady load has a time of its own besides, which begins when the call is due and runs on in real time; a sleep in
it takes none, and counts. The monotonic clock is the real one.
"""

from __future__ import annotations

import mmap
import struct
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlock.prove.effect import Effect

_real_sleep = time.sleep
_SHORTEST_S = 0.001  # Whoever waits for another thread must let it work.
_OFFSET, _ARE_CALLS_MADE = 0, 8


@dataclass(slots=True)
class OwnTime:
    """The time of one call, and what it has sent.

    Attributes:
        ahead_s: How far its clock is ahead of the monotonic one.
        sleeps: Whether its sleeps really last.
        slept_s: For how long it has slept without.
        sent: What it has sent to Redis; None if nobody asks for it, as in the work.
    """

    ahead_s: float
    sleeps: bool
    slept_s: float = 0.0
    sent: list[bytes] | None = field(default_factory=list[bytes])

    @property
    def now_s(self) -> float:
        """What its clock shows."""
        return time.monotonic() + self.ahead_s


own_time: ContextVar[OwnTime | None] = ContextVar("own_time", default=None)


class Timeline:
    """Seconds from the beginning of a load, in memory that processes share once they are forked."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE)
        self.jump(0.0)

    # What the stand-ins of the clock ask.

    @property
    def is_here(self) -> bool:
        """Every thread of a loaded process is shown this time."""
        return True

    @property
    def now_s(self) -> float:
        """What the clock shows to whoever asks."""
        own = own_time.get()
        return own.now_s if own is not None else self.shared_s

    def here(self) -> None:
        """Nobody's clock is ahead of the others'."""

    def grant(self, seconds: float, *, sleeps: bool = False) -> None:
        """No fault of a load is as long as what was granted."""

    def wait(self, seconds: float, effect: Effect) -> None:  # noqa: ARG002 - as a schedule is asked.
        """Sleeps; a call of a steady load only in its own time."""
        own = own_time.get()
        if own is None or own.sleeps:
            _real_sleep(seconds)
            return
        began_s = time.monotonic()
        _real_sleep(min(seconds, _SHORTEST_S))
        rest_s = max(0.0, seconds - (time.monotonic() - began_s))
        own.ahead_s += rest_s
        own.slept_s += rest_s

    # What the load itself does.

    @property
    def shared_s(self) -> float:
        """What it shows to whoever has no time of their own."""
        return time.monotonic() + float(struct.unpack_from("=d", self._page, _OFFSET)[0])

    def jump(self, to_s: float) -> None:
        """Shows another time from now on. One aligned word: nobody sees half of it."""
        struct.pack_into("=d", self._page, _OFFSET, to_s - time.monotonic())

    @property
    def are_calls_made(self) -> bool:
        """Whether the load is on: calls are made, and something may go wrong."""
        return bool(self._page[_ARE_CALLS_MADE])

    @are_calls_made.setter
    def are_calls_made(self, value: bool) -> None:
        self._page[_ARE_CALLS_MADE] = int(value)
