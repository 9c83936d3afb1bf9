"""What a worker writes down about the payments it executes.

One line each in a file: a word, the monotonic clock in seconds (which all processes of a machine share), and a value.
"""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Line:
    """One note: `word`, when (`at_s`, monotonic clock), and a `value` whose meaning depends on the word."""

    word: str
    at_s: float
    value: float


class Witness:
    """Writes notes to `path`: of every special payment, and of the first and the `expected`-th ordinary one."""

    def __init__(self, path: Path, expected: int) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._numbers = itertools.count(1)
        self._expected = expected

    def executed(self, details: Mapping[str, Any]) -> float:
        """To be called by every handler with the payment's details; answers how many seconds the handler is to hold it."""
        if len(details) > 3:  # noqa: PLR2004 - An ordinary payment has three.
            return self._special(details)
        number = next(self._numbers)
        if number == 1:
            self._note("first", number)
        if number >= self._expected:  # Every execution beyond shows a payment that was executed twice.
            self._note("last", number)
        return 0.0

    def _special(self, details: Mapping[str, Any]) -> float:
        if "due_us" in details:
            self._note("late", (time.time_ns() / 1000 - details["due_us"]) / 1000)
            return 0.0
        hold_s = float(details["hold_ms"]) / 1000
        self._note("held" if hold_s else "ready", hold_s)
        return hold_s

    def _note(self, word: str, value: float) -> None:
        os.write(self._file, f"{word} {time.monotonic():.6f} {value:.3f}\n".encode())


def lines(path: Path, word: str) -> list[Line]:
    """The notes with `word` in the file at `path`, in order; none where there is no file yet."""
    if not path.exists():
        return []
    split = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
    return [Line(parts[0], float(parts[1]), float(parts[2])) for parts in split if parts[0] == word]


_THE_ONE: list[Witness] = []


def appoint(path: Path, expected: int) -> None:
    """Makes the witness that the handlers of this process use."""
    _THE_ONE[:] = [Witness(path, expected)]


def executed(details: Mapping[str, Any]) -> float:
    """What :meth:`Witness.executed` answers. Raises IndexError in a process without a witness."""
    return _THE_ONE[0].executed(details)
