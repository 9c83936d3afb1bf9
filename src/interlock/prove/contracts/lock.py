"""A lock: one holder at a time, each with a higher number; free again when its holder has died; released by nobody else.

A lock with a lease cannot keep a holder that was held up for longer than the lease from going on. The number, a fencing
token, lets whatever the lock guards turn such a holder away: it must grow with each holder.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from interlock.core.errors import UsageError
from interlock.prove.contract import Scenario
from interlock.prove.contracts._asking import check_counts, check_functions
from interlock.prove.effect import Effect
from interlock.prove.facts import Facts
from interlock.prove.faults.crash_after import CrashAfter
from interlock.prove.faults.crash_before import CrashBefore
from interlock.prove.invariant import Invariant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from interlock.prove.fault import Fault
    from interlock.prove.world import World


@dataclass(frozen=True, slots=True)
class Lock:
    """What a lock promises, and how it is asked to do things.

    Attributes:
        acquire: Tries to take it, once; answers with the fencing token, or with None if somebody holds it.
        release: Gives it back, with the token.
        lease_s: How long it is held at most by a holder that has died.
        fenced: Whether tokens are whole numbers that grow. If not, holders that outlive their lease are not looked at.
    """

    acquire: Callable[[], Any]
    release: Callable[[Any], object]
    lease_s: float = 30.0
    fenced: bool = True

    def __post_init__(self) -> None:
        check_functions(self, "acquire", "release")
        check_counts(self, "lease_s")

    def scenarios(self) -> Iterable[Scenario]:
        """Two who want it, one who dies with it, and one who holds it for too long."""
        return (
            Scenario("two want one lock at once", _arrange),
            Scenario("the holder of a lock dies", _arrange, strikes=_crashes),
            Scenario("a lease ends while its holder works", _arrange_late),
        )


def _crashes(fault: Fault, _: Effect) -> bool:
    return isinstance(fault, CrashBefore | CrashAfter)


def _arrange(world: World, own: Lock) -> None:
    """Two who take the lock if they get it; and one who must get it in the end."""
    seen, section = world.outside(Facts()), _Section(world, own)

    def once() -> None:
        token = section.acquired(seen)
        seen.note("is free", token is not None)
        if token is not None:
            section.entered(token)
            own.release(token)

    world.run(once)
    _must_hold(world, seen)
    world.recover(waits_s=(own.lease_s + 1, 1.0))
    world.check(
        Invariant("one holder at a time", section.two_inside),
        Invariant("a lock is free again after its lease", lambda: _never_free(seen)),
        Invariant("each holder's token is higher than the one before", lambda: section.not_growing(seen)),
    )


def _arrange_late(world: World, own: Lock) -> None:
    """One who holds it for longer than the lease, then gives back what is no longer theirs, while others come and go."""
    seen, section = world.outside(Facts()), _Section(world, own)

    def late() -> None:
        token = section.acquired(seen)
        if token is not None:
            world.wait(own.lease_s + 1)
            own.release(token)

    def others() -> None:
        world.wait(own.lease_s + 1)
        token = section.acquired(seen)
        if token is not None:
            section.entered(token)
            own.release(token)

    world.run(late, others, others)
    _must_hold(world, seen)
    world.recover(others, waits_s=(own.lease_s + 1,))
    world.check(
        Invariant("only its owner releases a lock", section.two_inside),
        Invariant("each holder's token is higher than the one before", lambda: section.not_growing(seen)),
    )


def _must_hold(world: World, seen: Facts) -> None:
    """Demands that a worker gets the lock, and not only the one that clears up."""
    world.sometimes("a worker gets the lock", lambda: bool(seen.every("held")))


@dataclass(frozen=True, slots=True)
class _Section:
    """What the lock guards: going in and coming out are effects, so that their order matters."""

    world: World
    own: Lock

    def acquired(self, seen: Facts) -> Any:
        token = self.own.acquire()
        if token is None or token is False:
            return None
        if self.own.fenced and type(token) is not int:
            raise UsageError(f"Lock: acquire returns {token!r}, expected a whole number, or None; or say fenced=False")
        seen.note("held", token)
        return token

    def entered(self, token: Any) -> None:
        for way in ("goes in", "comes out"):
            self.world.effect(Effect("section", f"{way} with token {token}", _GUARDED, _GUARDED), lambda: None)

    def two_inside(self) -> str | None:
        inside: list[str] = []
        for step in self.world.history:
            if step.fault and step.worker in inside:
                inside.remove(step.worker)
            if step.fault or step.effect.kind != "section":
                continue
            if step.worker in inside:
                inside.remove(step.worker)
            elif inside:
                return " and ".join(sorted((inside[0], step.worker))) + " are in at the same time"  # Either may be first.
            else:
                inside.append(step.worker)
        return None

    def not_growing(self, seen: Facts) -> str | None:
        tokens = [token for (token,) in seen.every("held")] if self.own.fenced else []
        for before, after in pairwise(tokens):
            if after <= before:
                return f"token {after} was given after token {before}"
        return None


_GUARDED = frozenset({"section"})


def _never_free(seen: Facts) -> str | None:
    is_free = seen.every("is free")[-1][0]
    return None if is_free else "nobody gets the lock, though nobody holds it any more and its lease has ended"
