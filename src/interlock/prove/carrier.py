"""Greenlets that carry one task after the other.

To begin a new one takes ten times as long as to go on with one that has done its work: Python maps memory for its frames.
Workers and their lanes have others: a lane begins deep within its worker, and its greenlet keeps that place on the stack.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import greenlet

if TYPE_CHECKING:
    from collections.abc import Callable


def _nothing() -> None:
    """What one that has done its work would do."""


class Carrier(greenlet.greenlet):
    """A greenlet that has something to do, and lets others go on when it has done it.

    It is switched to like any other. What ends with an exception takes it along.

    Args:
        spare: Where it is found again.
    """

    def __init__(self, spare: list[Carrier]) -> None:
        super().__init__(self._go_on)
        self._spare = spare
        self.task: Callable[[], None] = _nothing

    def _go_on(self) -> None:
        while True:
            self._carry_out()
            self._spare.append(self)
            assert self.parent is not None  # noqa: S101 - it is not the main one.
            self.parent.switch()

    def _carry_out(self) -> None:
        task, self.task = self.task, _nothing
        task()


class _Spare(threading.local):
    """Those of one thread that have nothing to do."""

    def __init__(self) -> None:
        self.workers: list[Carrier] = []
        self.lanes: list[Carrier] = []


_spare = _Spare()


def carrier(task: Callable[[], None], *, of_lane: bool = False) -> Carrier:
    """A greenlet that does this when it is switched to. It belongs to the one that is running.

    Args:
        task: Not to be kept by anybody else.
        of_lane: Whether it is begun within a worker.
    """
    spare = _spare.lanes if of_lane else _spare.workers
    found = spare.pop() if spare else Carrier(spare)
    found.task, found.parent, found.gr_context = task, greenlet.getcurrent(), None
    return found
