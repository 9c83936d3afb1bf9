"""Whoever takes part in a schedule: what it will do next, what it waits for, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    import greenlet

    from interlock.prove.effect import Effect
    from interlock.prove.fault import Fault
    from interlock.prove.randomness import Chance

# The first lane of worker 2 has the number 1002, and so on: the numbers of workers stay what they are without lanes.
LANES = 1000
WORKERS_MAX = 500  # Whoever sets up, clears up and looks has a number as well.
_LETTERS = 26

# What those are called who are no worker of the contract's own: their chance depends on it, and so do stories.
SETTING_UP, CLEARING_UP, LOOKING = "before", "recovery", "look"


def letter(index: int) -> str:
    """What a contract's worker is called: A to Z, and then AA, AB and so on, as the columns of a sheet."""
    earlier, last = divmod(index, _LETTERS)
    return (letter(earlier - 1) if earlier else "") + chr(ord("A") + last)


def index_of(letters: str) -> int:
    """The number of the worker that is called so."""
    index = 0
    for one in letters:
        index = index * _LETTERS + ord(one) - ord("A") + 1
    return index - 1


def process_of(index: int) -> int:
    """The worker that a lane belongs to, by its number."""
    return index % LANES


class Crashed(BaseException):
    """Unwinds a worker that no longer exists."""


class Belonging(Protocol):
    """What a process has, and loses with its end."""

    def left(self) -> None:
        """The process ends by itself. This may be an effect."""
        ...

    def lost(self) -> None:
        """The process is killed."""
        ...


@dataclass(slots=True, eq=False, weakref_slot=True)
class Worker:
    """One worker of a run.

    Attributes:
        index: Its number, from 0.
        name: What people call it: A, B, ...
        chance: What it draws.
        greenlet: Where it runs; none when it is over.
        effect: What it will do next; none while it is running or done.
        doing: What it does, or did last, and the fault that strikes it.
        wakes_at_s: Until when it waits, in virtual time.
        until: What it waits for, if not for time alone: it can go on as soon as this holds.
        done: How many effects it has carried out.
        error: What it raised, if it did.
        has_crashed: Whether a fault has killed it.
        ahead_s: How far its wall clock runs ahead of the others'.
        process: The number of the worker whose memory it shares; its own, unless it is a lane.
        lanes: How many lanes it has.
        is_prompt: Whether it goes on as soon as what it waits for holds, which is nobody's choice.
        serves: Whether it is there for others, and need not come to an end.
        hears: Where it is told by others what it has not asked for: that they say something, it may notice at any time.
        holds: Whether it was granted something that ends by itself, such as a lease, or has slept.
        preempts: Whether it goes on though another could have, and has done nothing since.
    """

    index: int
    name: str
    chance: Chance
    greenlet: greenlet.greenlet | None = None
    effect: Effect | None = None
    doing: tuple[Effect, Fault | None] | None = None
    wakes_at_s: float | None = None
    until: Callable[[], bool] | None = None
    done: int = 0
    error: BaseException | None = None
    has_crashed: bool = False
    is_over: bool = False
    ahead_s: float = 0.0
    process: int = -1
    lanes: int = 0
    is_prompt: bool = False
    serves: bool = False
    hears: frozenset[str] = frozenset()
    holds: bool = False
    preempts: bool = False
