"""A rate limit: never more than so many calls in any window, not fewer either, and nothing is kept for ever."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.core.errors import UsageError
from interlock.prove.contract import Scenario
from interlock.prove.contracts._asking import check_counts, check_functions, refused
from interlock.prove.facts import Facts
from interlock.prove.faults.crash_after import CrashAfter
from interlock.prove.faults.crash_before import CrashBefore
from interlock.prove.invariant import Invariant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from interlock.prove.effect import Effect
    from interlock.prove.fault import Fault
    from interlock.prove.world import World

# Calls are made one by one: at most so many, so that a schedule stays short.
LIMIT_MAX = 20
# Parts of a window after which as many calls as are allowed are made, from the last time on.
STEPS = (0.0, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What a rate limit promises, and how it is asked.

    Attributes:
        allow: Whether a caller may go on now; counts the call if so.
        limit: How many calls one caller may make in a window: a small number, for the proof.
        window_s: How long a window is.
        sliding: Whether this holds for any window. If not, windows begin at certain times, and around the end of one
            twice as many calls may come together.
    """

    allow: Callable[[str], bool]
    limit: int
    window_s: float
    sliding: bool = True

    def __post_init__(self) -> None:
        check_functions(self, "allow")
        check_counts(self, "limit", "window_s")
        if self.limit > LIMIT_MAX:
            raise UsageError(f"RateLimit: found limit={self.limit}, expected {LIMIT_MAX} at most: a smaller one for the proof")

    def scenarios(self) -> Iterable[Scenario]:
        """At once, over several windows, and with a worker that dies while it is asked."""
        return (
            Scenario("more calls at once than are allowed", _arrange),
            Scenario("calls around the end of a window", _arrange_windows, workers=1),
            Scenario("crash during a call", _arrange_crash, strikes=_crashes),
        )


def _crashes(fault: Fault, _: Effect) -> bool:
    return isinstance(fault, CrashBefore | CrashAfter)


def _arrange(world: World, own: RateLimit) -> None:
    """All but one of the calls have been made, and two callers come at once; later all calls are free again."""
    calls = world.outside(Facts())
    world.given(lambda: _call(world, own, calls, times=own.limit - 1))
    world.run(lambda: _call(world, own, calls))
    world.recover(lambda: _call(world, own, calls, times=own.limit), waits_s=(2 * own.window_s + 1,))
    world.check(_never_more(calls, own), _not_fewer(calls, own), world.no_key_without_ttl())


def _arrange_crash(world: World, own: RateLimit) -> None:
    """Two callers, of whom one never comes back."""
    calls = world.outside(Facts())
    world.run(lambda: _call(world, own, calls), lambda: _call(world, own, calls, caller="ben"))
    world.recover(lambda: _call(world, own, calls, times=own.limit), waits_s=(2 * own.window_s + 1,))
    world.check(_not_fewer(calls, own), world.no_key_without_ttl())


def _arrange_windows(world: World, own: RateLimit) -> None:
    """As many calls as may be, again and again, a part of a window later each time."""
    calls = world.outside(Facts())

    def task() -> None:
        for part in STEPS:
            world.wait(part * own.window_s)
            _call(world, own, calls, times=own.limit)

    world.run(task)
    world.recover(lambda: _call(world, own, calls, times=own.limit), waits_s=(2 * own.window_s + 1,))
    world.check(_never_more(calls, own), _not_fewer(calls, own), world.no_key_without_ttl())


def _call(world: World, own: RateLimit, calls: Facts, *, times: int = 1, caller: str = "ada") -> None:
    def once() -> None:
        allowed = own.allow(caller)
        if not isinstance(allowed, bool | int):  # pyright: ignore[reportUnnecessaryIsInstance] - by whoever has no checker.
            raise UsageError(f"RateLimit: allow returns {allowed!r}, expected True or False")
        calls.note("call", world.now_s, bool(allowed))

    for _ in range(times):
        once() if times > 1 else refused(once)


def _never_more(calls: Facts, own: RateLimit) -> Invariant:
    most = own.limit if own.sliding else 2 * own.limit

    def broken() -> str | None:
        allowed = [at_s for at_s, is_allowed in calls.every("call") if is_allowed]
        for begin_s in allowed:
            inside = sum(begin_s <= at_s < begin_s + own.window_s for at_s in allowed)
            if inside > most:
                return f"{inside} calls are allowed within {own.window_s:g} s, where {own.limit} are promised"
        return None

    return Invariant(f"at most {most} calls in {own.window_s:g} s", broken)


def _not_fewer(calls: Facts, own: RateLimit) -> Invariant:
    """In the end, a whole window has passed without a call."""

    def broken() -> str | None:
        last = [is_allowed for _, is_allowed in calls.every("call")][-own.limit :]
        if all(last):
            return None
        return f"only {sum(last)} of {own.limit} calls are allowed, though nobody has called for a whole window"

    return Invariant(f"{own.limit} calls are allowed after a window without one", broken)
