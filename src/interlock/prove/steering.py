"""An order of effects, told by where it differs from the plainest one: so it can be made smaller, kept, and taken again.

In the plainest order a worker goes on for as long as it can, and then the first that can. A switch is a turn after which
somebody else goes on. Turns are counted for each worker apart, so that a switch stays where it is when something else changes.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.prove.worker import LANES, index_of, letter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interlock.prove.worker import Worker

# A worker, or a lane of one, and how many turns it has had; nobody and none at the beginning.
Turn = tuple[str, int]
BEGINNING: Turn = ("", 0)
_NAME = re.compile(r"(?P<worker>[A-Z]{1,2})(:(?P<lane>[0-9]+))?")


def called(number: int) -> str:
    """What the worker of a number is called: A; and its second lane: A:2."""
    lane, worker = divmod(number, LANES)
    return f"{letter(worker)}:{lane}" if lane else letter(worker)


def number_of(name: str) -> int:
    """The number of the worker that is called so.

    Raises:
        ValueError: If nobody is.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise ValueError(f"found {name!r}, expected a worker such as A or AB, or a lane of one such as A:1")
    return index_of(found["worker"]) + LANES * int(found["lane"] or 0)


def _name(worker: Worker) -> str:
    lane = worker.index // LANES
    return f"{worker.name.partition('.')[0]}:{lane}" if lane else worker.name


@dataclass(slots=True)
class Steering:
    """Takes an order.

    Args:
        switches: Who goes on after a turn, where it is not as in the plainest order.
        order: Who goes on at each choice, from the first one on; it goes before the switches.

    Attributes:
        taken: Where the order that was taken differs from the plainest.
        turns: Every turn that somebody else could have followed, and who could.
    """

    switches: Mapping[Turn, str] = field(default_factory=dict[Turn, str])
    order: Sequence[str] = ()
    taken: dict[Turn, str] = field(default_factory=dict[Turn, str])
    turns: dict[Turn, tuple[str, ...]] = field(default_factory=dict[Turn, "tuple[str, ...]"])
    _last: str = ""
    _had: Counter[str] = field(default_factory=Counter[str])
    _choices: int = 0

    def choose(self, ready: list[Worker]) -> Worker:
        """Who goes on."""
        able = {_name(worker): worker for worker in ready}
        turn = (self._last, self._had[self._last])
        plainest = self._last if self._last in able else next(iter(able))
        wanted = self.order[self._choices] if self._choices < len(self.order) else self.switches.get(turn)
        chosen = wanted if wanted in able else plainest
        assert chosen is not None  # noqa: S101 - nobody is never able.
        self.turns[turn] = tuple(name for name in able if name != plainest)
        if chosen != plainest:
            self.taken[turn] = chosen
        self._choices += 1
        self._last = chosen
        self._had[chosen] += 1
        return able[chosen]

    @property
    def skipped(self) -> dict[Turn, str]:
        """The switches that could not be taken, or were none."""
        return {turn: name for turn, name in self.switches.items() if self.taken.get(turn) != name}
