"""What can change is looked into, however it is reached; and what cannot be looked into is not taken for the same."""

from __future__ import annotations

import itertools
import threading
from array import array
from collections import deque
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from interlock.prove.facts import Facts
from interlock.prove.provider import Provider
from interlock.prove.remains import Look, Unseen, digest
from interlock.prove.scheduler import Run
from interlock.prove.world import World
from tests.unit.prove import told_elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable

SEEN: list[str] = []


@dataclass
class Kept:
    """An object of the contract's own."""

    names: list[str] = field(default_factory=list[str])


class Shared:
    """What all objects of its class share."""

    names: ClassVar[list[str]] = []

    def note(self, name: str) -> None:
        self.names.append(name)


class Booked:
    """Writes into what its module remembers."""

    def note(self, name: str) -> None:
        SEEN.append(name)


class Slotted:
    __slots__ = ("names",)

    def __init__(self) -> None:
        self.names: list[str] = []


class Named(dict[str, str]):
    """A container of a kind of its own."""


def told(value: Any) -> list[str]:
    look = Look(__name__)
    look.at(value)
    return look.told


def seen_here(value: Any) -> list[str]:
    """What is seen of what is called in the contract's own process."""
    look = Look(__name__)
    look.at_what_is_called_here(value)
    return look.told


def closure(value: Any) -> Callable[[], Any]:
    return lambda: value


def default(value: Any) -> Callable[..., Any]:
    def function(value: Any = value) -> Any:
        return value

    return function


def through_a_slot() -> tuple[Any, list[str]]:
    made = Slotted()
    return made, made.names


def through_a_provider() -> tuple[Any, list[str]]:
    provider = Provider()
    return provider.answer, provider.charges


def through_a_world() -> tuple[Any, list[str]]:
    world: Any = World(Run(lambda ready: ready[0]), None, "ok")
    world.names = list[str]()
    return closure(world), world.names


CHANGES: dict[str, Callable[[], tuple[Any, list[str]]]] = {
    "a list": lambda: (both := list[str](), both),
    "a closure": lambda: (closure(both := list[str]()), both),
    "a default": lambda: (default(both := list[str]()), both),
    "a partial": lambda: (partial(closure, both := list[str]()), both),
    "a bound method": lambda: ((both := list[str]()).append, both),
    "a dictionary in a tuple": lambda: (({"names": (both := list[str]())},), both),
    "an object": lambda: (made := Kept(), made.names),
    "an object's method": lambda: ((made := Kept()).__repr__, made.names),
    "a slot": through_a_slot,
    "a module of the contract's": lambda: (lambda: SEEN, SEEN),
    "a provider": through_a_provider,
    "something put into the world": through_a_world,
    "what a class has": lambda: (Shared(), Shared.names),
    "what a method's module has": lambda: (Booked(), SEEN),
    "what the module of a method has that is another one": lambda: (told_elsewhere.Book(), told_elsewhere.NAMES),
}


@pytest.mark.parametrize("way", CHANGES)
def test_what_has_changed_is_seen(way: str) -> None:
    value, names = CHANGES[way]()
    before = told(value)
    assert told(value) == before

    names.append("p1")

    after = told(value)
    names.clear()
    assert after != before


@pytest.mark.parametrize("asks", [lambda: told_elsewhere, lambda: told_elsewhere.note, lambda: closure(told_elsewhere.note)])
def test_what_another_module_remembers_is_seen_if_it_is_called_here(asks: Callable[[], object]) -> None:
    before = seen_here(asks())
    told_elsewhere.NAMES.append("p1")
    after = seen_here(asks())
    told_elsewhere.NAMES.clear()

    assert after != before


def test_what_was_bound_anew_within_a_function_is_seen() -> None:
    count = 0

    def more() -> None:
        nonlocal count
        count += 1

    before = told(more)
    more()
    assert told(more) != before


def test_numbers_in_an_array_are_seen() -> None:
    numbers = array("L", [1])
    before = told(numbers)
    numbers.append(2)

    assert told(numbers) != before
    assert told(array("L", [1])) == before
    assert told(array("Q", [1])) != before


def test_the_same_list_twice_is_not_two_equal_ones() -> None:
    shared = ["p1"]

    assert told([shared, shared]) != told([["p1"], ["p1"]])


def test_what_refers_to_itself_is_looked_into_once() -> None:
    ring: list[Any] = []
    ring.append(ring)

    assert told(ring) == ["builtins.list", "1", "#0"]


def test_what_each_process_imports_anew_is_not_what_the_contract_remembers() -> None:
    world = World(Run(lambda ready: ready[0]), None, "ok")
    subject = world.subject(told_elsewhere.Book)

    assert seen_here(closure(subject)) == seen_here(closure(subject))
    before = seen_here(closure(subject))
    told_elsewhere.NAMES.append("p1")
    after = seen_here(closure(subject))
    told_elsewhere.NAMES.clear()
    assert after == before


@pytest.mark.parametrize(
    "value",
    [
        itertools.count(),
        iter([1]),
        threading.Lock(),
        threading.local(),
        lru_cache(closure),
        Named(),
        object(),
        closure(itertools.count()),
        Kept(names=deque([threading.Lock()])),  # type: ignore[arg-type]
    ],
    ids=lambda value: type(value).__qualname__,
)
def test_what_nobody_can_look_into_is_told_as_such(value: object) -> None:
    with pytest.raises(Unseen):
        told(value)


def world_of(*, facts: Facts | None = None, recover: Callable[[], object] = lambda: None) -> World:
    world = World(Run(lambda ready: ready[0]), None, "ok")
    world.recover(recover)
    if facts is not None:
        world.look(closure(facts))
    return world


def test_what_is_left_is_the_same_if_all_of_it_is() -> None:
    facts, others = Facts(), Facts()
    left = digest(world_of(facts=facts), [b"one"])

    assert left is not None
    assert digest(world_of(facts=others), [b"one"]) == left
    others.note("held", 1)
    assert digest(world_of(facts=others), [b"one"]) != left
    assert digest(world_of(facts=facts), [b"two"]) != left
    assert digest(world_of(facts=facts), [b"o", b"ne"]) != left


def test_another_time_is_something_else() -> None:
    world = world_of()
    left = digest(world, [])
    world._run.now_s += 1  # noqa: SLF001 - nobody else can wait here.

    assert digest(world, []) != left


def test_nothing_is_known_of_what_follows_with_something_that_nobody_can_look_into() -> None:
    assert digest(world_of(recover=closure(itertools.count())), []) is None
