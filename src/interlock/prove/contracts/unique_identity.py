"""Sign-ups: each gets an id of its own, and whoever was told that it worked is there afterwards.

In one incident an id was made when the process began, and given to everybody: the first sign-up worked, and every later one
failed, for five days.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from interlock.prove.contract import Scenario
from interlock.prove.contracts._asking import check_functions, refused
from interlock.prove.facts import Facts
from interlock.prove.faults.crash_after import CrashAfter
from interlock.prove.faults.crash_before import CrashBefore
from interlock.prove.faults.lost_reply import LostReply
from interlock.prove.faults.reset import Reset
from interlock.prove.invariant import Invariant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from interlock.prove.effect import Effect
    from interlock.prove.fault import Fault
    from interlock.prove.world import World

LAST = "cleo"
QUOTED = ("O'Brien", "' OR '1'='1")


@dataclass(frozen=True, slots=True)
class UniqueIdentity:
    """What a sign-up promises, and how it is asked to do things.

    Attributes:
        sign_up: Signs somebody of this name up, and answers with the id. To refuse, it raises.
        find: The name of whoever has this id; None if nobody has.
    """

    sign_up: Callable[[str], Any]
    find: Callable[[Any], str | None]

    def __post_init__(self) -> None:
        check_functions(self, "sign_up", "find")

    def scenarios(self) -> Iterable[Scenario]:
        """In quick succession, at once, with a name that is hard to write down, and with one worker or one reply lost."""
        return (
            Scenario("two sign-ups in quick succession", lambda world, own: _arrange(world, own, ("ada", "ben"))),
            Scenario("two sign-ups at once", lambda world, own: _arrange(world, own, ("ada",), ("ben",))),
            Scenario("a name with a quote in it", lambda world, own: _arrange(world, own, QUOTED)),
            Scenario("crash during a sign-up", lambda world, own: _arrange(world, own, ("ada",), ("ben",)), strikes=_crashes),
            Scenario("lost reply on a sign-up", lambda world, own: _arrange(world, own, ("ada",), ("ben",)), strikes=_losses),
        )


def _crashes(fault: Fault, _: Effect) -> bool:
    return isinstance(fault, CrashBefore | CrashAfter)


def _losses(fault: Fault, _: Effect) -> bool:
    return isinstance(fault, LostReply | Reset)


def _arrange(world: World, own: UniqueIdentity, *queues: tuple[str, ...]) -> None:
    """People who stand in one line for each process; and one more who comes when all are done."""
    told, found = world.outside(Facts()), Facts()

    def sign_up(name: str) -> None:
        told.note("id", own.sign_up(name), name)

    def all_of(names: tuple[str, ...]) -> None:
        for name in names:
            if (refusal := refused(sign_up, name)) is not None:
                told.note("refused", name, f"{type(refusal).__name__}: {refusal}")

    def look() -> None:
        for identity, name in told.every("id"):
            found.note("name", identity, name, own.find(identity))

    world.run(*(partial(all_of, names) for names in queues))
    world.sometimes("somebody is signed up", lambda: bool(told.every("id")))
    world.recover(lambda: all_of((LAST,)), waits_s=(60.0,))
    world.look(look)
    world.check(
        Invariant("no two ids are the same", lambda: _same(told.every("id"))),
        Invariant("whoever was told that it worked is there", lambda: _gone(found.every("name"))),
        Invariant("nobody is refused", lambda: _refused(told.every("refused"), {LAST} if world.mishaps else None)),
    )


def _same(told: list[tuple[Any, ...]]) -> str | None:
    owners: dict[Any, str] = {}
    for identity, name in told:
        if owners.setdefault(identity, name) != name:
            return f"{owners[identity]} and {name} were both told that they are {identity!r}"
    return None


def _gone(found: list[tuple[Any, ...]]) -> str | None:
    for identity, name, there in found:
        if there != name:
            return f"{name} was told that they are {identity!r}, where {'nobody' if there is None else repr(there)} is found"
    return None


def _refused(told: list[tuple[Any, ...]], names: set[str] | None) -> str | None:
    """After a fault, it is enough that the next one can."""
    of_these = [(name, why) for name, why in told if names is None or name in names]
    return f"{of_these[0][0]} cannot sign up: {of_these[0][1]}" if of_these else None
