"""Finds whoever holds a function, and gives them another one for a while: a module, a class, an object, a default.

Replacing the names in modules alone would miss the rest: `def __init__(self, clock=time.time)` keeps the function itself.
"""

from __future__ import annotations

import gc
import sys
from contextlib import contextmanager
from types import FunctionType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

# Who must keep the real functions: the guard itself, the test runner, and what the guard's own waiting is made of.
_KEEP = ("interlock.", "pytest", "_pytest", "pluggy", "hypothesis", "subprocess", "selectors", "socket", "asyncio")


@contextmanager
def put_in_place_of(stand_ins: Mapping[object, object]) -> Generator[None]:
    """Gives every holder of a function its stand-in, and takes them back from these holders in the end."""
    by_identity = {id(real): stand_in for real, stand_in in stand_ins.items()}
    kept = {id(vars(module)) for name, module in list(sys.modules.items()) if name.startswith(_KEEP)}
    undo: list[Callable[[], None]] = []
    for holder in cast("list[object]", gc.get_referrers(*stand_ins)):
        if holder is not stand_ins and id(holder) not in kept:
            undo += _replaced(holder, by_identity)
    try:
        yield
    finally:
        for step in reversed(undo):
            step()


def _replaced(holder: object, by_identity: Mapping[int, object]) -> list[Callable[[], None]]:
    match holder:
        case dict():
            return _in_namespace(holder, by_identity)  # pyright: ignore[reportUnknownArgumentType] - of whatever there is.
        case tuple():
            return _in_defaults(cast("tuple[object, ...]", holder), by_identity)
        case staticmethod():
            return _in_static_method(cast("staticmethod[..., object]", holder), by_identity)
        case _ if hasattr(holder, "__dict__") and not type(holder).__module__.startswith(_KEEP):
            return _in_namespace(vars(holder), by_identity)  # Which is made only when somebody asks for it.
        case _:
            return []


def _in_namespace(namespace: dict[Any, Any], by_identity: Mapping[int, object]) -> list[Callable[[], None]]:
    """The names of a module, a class or an object."""
    kind = _owner(namespace)
    if kind is not None and kind.__module__.startswith(_KEEP):
        return []
    undo: list[Callable[[], None]] = []
    for name, value in list(namespace.items()):
        if id(value) in by_identity:
            undo.append(_put(namespace if kind is None else kind, name, value))
            _put(namespace if kind is None else kind, name, by_identity[id(value)])()
    return undo


def _in_static_method(method: staticmethod[..., object], by_identity: Mapping[int, object]) -> list[Callable[[], None]]:
    """A class that says `clock = staticmethod(time.time)`."""
    undo: list[Callable[[], None]] = []
    for namespace in cast("list[object]", gc.get_referrers(method)):
        kind = _owner(namespace)
        for name in [name for name, value in vars(kind).items() if value is method] if kind else []:
            undo.append(_put(kind, name, method))
            _put(kind, name, staticmethod(cast("Any", by_identity[id(method.__func__)])))()
    return undo


def _in_defaults(values: tuple[object, ...], by_identity: Mapping[int, object]) -> list[Callable[[], None]]:
    """The defaults of a function's parameters."""
    undo: list[Callable[[], None]] = []
    for function in gc.get_referrers(values):
        if isinstance(function, FunctionType) and function.__defaults__ is values and not function.__module__.startswith(_KEEP):
            undo.append(_put(function, "__defaults__", values))
            function.__defaults__ = tuple(by_identity.get(id(value), value) for value in values)
    return undo


def _put(place: Any, name: Any, value: object) -> Callable[[], None]:
    """A step that puts a value where it belongs."""

    def step() -> None:
        if isinstance(place, dict):
            place[name] = value
        else:
            setattr(place, name, value)

    return step


def _owner(namespace: object) -> type | None:
    """The class whose attributes these are, behind the view that it gives of them."""
    if not isinstance(namespace, dict) or "__module__" not in namespace:
        return None  # Every class says where it is from; asking who holds a dictionary goes through all the memory.
    for owner in cast("list[object]", gc.get_referrers(namespace)):
        if isinstance(owner, type) and gc.get_referents(owner.__dict__)[0] is namespace:
            return owner
    return None
