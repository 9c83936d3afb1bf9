"""Tells whether two schedules leave the same behind, so that whoever clears up after both does the same.

That is a process of its own: it knows nothing of the workers but what they have left in the servers, and what the contract
keeps outside of them, such as the provider's ledger. So all of that is taken down: the servers' contents, and every object that
can be reached from what is still to be called and can change. Where one is of a kind that nobody can look into, such as a
client, it is not known, and what follows is run.

Source: not to go on from a state that was seen before is as old as explicit-state model checking; G. Holzmann, "The Model
Checker SPIN", IEEE TSE 23(5), 1997. Here it is asked at one moment only, when nobody but one worker is left.
"""

from __future__ import annotations
import __future__

import dataclasses
import hashlib
import logging
import re
import sys
from abc import ABC
from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum, EnumMeta
from fractions import Fraction
from functools import partial
from pathlib import PosixPath, PurePosixPath
from types import (
    BuiltinFunctionType,
    FunctionType,
    GenericAlias,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
    NoneType,
)
from typing import TYPE_CHECKING, Any, Generic, Protocol, cast
from uuid import UUID

from interlock.prove.imports import names_in
from interlock.prove.scheduler import Run
from interlock.prove.whereabouts import is_theirs
from interlock.prove.world import Subject, World

if TYPE_CHECKING:
    from collections.abc import Iterable

_HAS_DEFAULT = cast("type[object]", type(cast("Any", dataclasses)._HAS_DEFAULT_FACTORY))  # noqa: SLF001 - a mark in what dataclasses make.
_PLAIN = frozenset(
    {
        *(str, bytes, int, float, complex, bool, NoneType, range),
        *(date, datetime, timedelta, Decimal, Fraction, UUID, PosixPath, PurePosixPath),
        *(_HAS_DEFAULT, re.Pattern, logging.Logger, GenericAlias, type(__future__.annotations), type(dataclasses.MISSING)),
    }
)
_CONTAINERS = frozenset({list, tuple, dict, set, frozenset, deque, defaultdict, OrderedDict, Counter, MappingProxyType})
# What every class has, and nobody changes.
_OF_EVERY_CLASS = frozenset(
    {
        *("__dict__", "__weakref__", "__slots__", "__annotations__", "__annotate__", "__annotate_func__"),
        *("__dataclass_fields__", "__dataclass_params__", "__orig_bases__", "__parameters__", "__type_params__", "_abc_impl"),
    }
)
# What a contract may have put into a world beside that, is looked at.
_OF_THE_WORLD = frozenset(vars(World(Run(lambda ready: ready[0]), None, "ok")))
_STATELESS: frozenset[object] = frozenset({object, Generic, Protocol, ABC})


class Unseen(Exception):  # noqa: N818 - what a contract is like, and no mistake.
    """Something can change in a way that nobody can look into."""


def digest(world: World, contents: Iterable[bytes]) -> bytes | None:
    """What tells what is left from everything else that can be; nothing, if it cannot be told.

    Args:
        world: What the contract has set up, when its workers are done.
        contents: What the servers hold.
    """
    outside = kept(world)
    if outside is None:
        return None
    left = hashlib.blake2b(repr((world.now_s, world.mishaps, outside)).encode(), digest_size=16)
    for content in contents:
        left.update(b"%d:" % len(content) + content)
    return left.digest()


def kept(world: World) -> list[str] | None:
    """What is kept outside of the workers, as far as anything that follows can find it; nothing, if it cannot be told."""
    look = Look(world.home)
    try:
        look.at_what_is_called_here(world.what_is_asked)
        look.at(world.what_follows)
    except Unseen:
        return None
    return None if any(imports.is_shared for imports in world.imported) else look.told


class Look:
    """Takes down all that can change.

    Args:
        home: The name of the module that the contract is written in.

    Attributes:
        told: What was found, in the order in which it was come to.
    """

    def __init__(self, home: str) -> None:
        self._home = home
        self._is_called_here = False
        self._numbers: dict[tuple[int, bool], int] = {}
        self._alive: list[object] = []  # So that no number is given twice.
        self.told: list[str] = []

    def at_what_is_called_here(self, value: Any) -> None:
        """Looks at something that is called in the contract's own process, where a module remembers what it was told.

        Raises:
            Unseen: As `at`.
        """
        before, self._is_called_here = self._is_called_here, True
        self.at(value)
        self._is_called_here = before

    def at(self, value: Any) -> None:
        """Looks at something, and whatever can be reached from it.

        Raises:
            Unseen: If it can change, and not be looked into.
        """
        kind = cast("type[object]", type(value))
        if kind in _PLAIN:
            self.told.append(repr(value))
        elif (number := self._numbers.setdefault((id(value), self._is_called_here), len(self._alive))) < len(self._alive):
            self.told.append(f"#{number}")
        else:
            self._alive.append(value)
            self.told.append(f"{kind.__module__}.{kind.__qualname__}")
            self._into(value)

    def _into(self, value: Any) -> None:
        match value:
            case Run():  # Nobody's but the workers', who are done.
                pass
            case World():
                self._each(vars(value)[name] for name in sorted(vars(value).keys() - _OF_THE_WORLD))
            case Subject():  # Each process imports it anew.
                before, self._is_called_here = self._is_called_here, False
                self.at(value.parts)
                self._is_called_here = before
            case ModuleType() | type() | Enum():
                self._named(value)
            case FunctionType():
                self._function(value)
            case array():
                self.told.append(repr((value.typecode, value.tobytes())))
            case _ if type(value) in _CONTAINERS:
                self._content(value)
            case _ if (parts := _held(value)) is not None:
                self._each(parts)
            case _:
                self._object(value)

    def _named(self, value: ModuleType | type | Enum) -> None:
        match value:
            case ModuleType():
                self._module(value)
            case type():
                self._class(value)
            case Enum():
                self.told.append(value.name)

    def _each(self, values: Iterable[Any]) -> None:
        for value in values:
            self.at(value)

    def _content(self, container: Any) -> None:
        self.told.append(str(len(container)))
        self._each([*container.keys(), *container.values()] if hasattr(container, "keys") else list(container))

    def _function(self, function: FunctionType) -> None:
        """What it refers to, as far as that is not imported by each process anew."""
        code, there = function.__code__, function.__globals__
        self.told.append(f"{function.__module__}.{function.__qualname__}:{code.co_firstlineno}")
        self._each([function.__defaults__, function.__kwdefaults__, vars(function)])
        for cell in function.__closure__ or ():
            try:
                self.at(cell.cell_contents)
            except ValueError:
                self.told.append("empty")
        if self._remembers(function.__module__):
            self._each(there[name] for name in names_in(code) if name in there)

    def _module(self, module: ModuleType) -> None:
        self.told.append(module.__name__)
        if self._remembers(module.__name__) and module.__name__ != self._home:
            self._each(value for name, value in vars(module).items() if not name.startswith("__"))

    def _remembers(self, name: str) -> bool:
        """Whether what is in a module may be changed by what is called: not if each process has a module of its own."""
        if name == self._home or name not in sys.modules:
            return True
        return self._is_called_here and is_theirs(str(getattr(sys.modules[name], "__file__", None) or "<"))

    def _class(self, kind: type) -> None:
        self.told.append(f"{kind.__module__}.{kind.__qualname__}")
        if self._remembers(kind.__module__) and not isinstance(kind, EnumMeta):
            of_class = vars(kind)
            self._each(value for name, value in of_class.items() if name not in _OF_EVERY_CLASS and not _is_slot(value))

    def _object(self, value: Any) -> None:
        """What an object has whose classes are all written in Python, by the team or here."""
        kinds: list[type[object]] = [kind for kind in cast("type[object]", type(value)).__mro__ if kind not in _STATELESS]
        if not kinds or not all(map(self._can_be_seen, kinds)):
            raise Unseen(f"{type(value).__module__}.{type(value).__qualname__}")
        for kind in kinds:
            if not kind.__module__.startswith("interlock.prove."):
                self.at_what_is_called_here(kind)
        slots = [name for kind in kinds for name, slot in vars(kind).items() if _is_slot(slot)]
        self._each(getattr(value, name, "nothing") for name in slots)
        self.at({**cast("dict[str, Any]", vars(value))} if hasattr(value, "__dict__") else None)

    def _can_be_seen(self, kind: type) -> bool:
        if kind.__module__ == self._home or kind.__module__.startswith("interlock.prove."):
            return True
        path = str(getattr(sys.modules.get(kind.__module__), "__file__", ""))
        return path.endswith(".py") and is_theirs(path)


def _held(value: Any) -> list[Any] | None:
    """What something that can be called holds; nothing, if it is nothing of the kind."""
    match value:
        case partial():
            return [value.func, value.args, value.keywords]  # pyright: ignore[reportUnknownMemberType] - whatever it is.
        case MethodType():
            return [value.__self__, value.__func__]
        case BuiltinFunctionType():
            return [value.__name__, None if isinstance(value.__self__, ModuleType) else value.__self__]
        case staticmethod() | classmethod():
            return [value.__func__]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - likewise.
        case property():
            return [value.fget, value.fset, value.fdel]
        case _:
            return None


def _is_slot(value: object) -> bool:
    return isinstance(value, MemberDescriptorType)
