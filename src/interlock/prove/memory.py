"""What modules remember, and how they forget it: so that a worker's import can serve in the next schedule as if it were new.

Importing 25 modules takes 10 to 40 ms, which is many times what a schedule does; making them forget takes a few hundredths of
that. What was bound to a name or an attribute is bound again, what was in a list, a dictionary or a set is there again, and
caches of functions are emptied. Where a module holds anything else that can change, such as a client or a lock, nobody can tell
what it remembers; then it has to be imported again.
"""

from __future__ import annotations

import dataclasses
import logging
import operator
import re
import sys
from collections import OrderedDict, defaultdict, deque
from enum import Enum
from functools import cached_property, lru_cache
from types import (
    BuiltinFunctionType,
    FunctionType,
    GenericAlias,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    UnionType,
    WrapperDescriptorType,
)
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_FIXED = (
    *(int, float, complex, str, bytes, bool, type(None), range, re.Pattern, logging.Logger, Enum, type(annotations)),
    *(BuiltinFunctionType, GenericAlias, UnionType, ModuleType, GetSetDescriptorType, MemberDescriptorType),
    *(MethodDescriptorType, WrapperDescriptorType, cached_property),
)
_FIXED_FROM = frozenset("typing typing_extensions types datetime decimal fractions uuid pathlib ipaddress zoneinfo".split())
_CONTAINERS = (list, dict, set, deque, defaultdict, OrderedDict)
_CACHED = type(lru_cache(lambda: None))
# What Python itself keeps in a class.
_OF_PYTHON = frozenset(
    {"__dict__", "__weakref__", "_abc_impl", "__abstractmethods__", "__builtins__", "__spec__", "__loader__"}
)
# Of named tuples and data classes: they describe a field.
_OF_CLASSES = frozenset({"_tuplegetter", "Field", "_DataclassParams", "_HAS_DEFAULT_FACTORY_CLASS", "_MISSING_TYPE"})


class Unknown(Exception):  # noqa: N818 - what a module is like, and no mistake.
    """Something can change in a way that nobody can undo."""


class Memory:
    """What some modules remember when this is made.

    Args:
        modules: They were just imported.

    Raises:
        Unknown: If they hold something of which nobody can tell what it remembers.
    """

    def __init__(self, modules: Iterable[ModuleType]) -> None:
        self._undo: list[Callable[[], None]] = []
        self._names = set[str]()
        self._seen = set[int]()
        modules = list(modules)
        self._names = {module.__name__ for module in modules}
        for module in modules:
            self._keep_names(module)

    def forget(self) -> None:
        """Makes them what they were."""
        for step in self._undo:
            step()

    def _keep_names(self, owner: ModuleType | type) -> None:
        before = dict(vars(owner))
        for name, value in before.items():
            if name not in _OF_PYTHON:
                self._keep(value)

        def bind() -> None:
            now = vars(owner)
            if now.keys() != before.keys() or any(now[name] is not value for name, value in before.items()):
                for name in [name for name in now if name not in before]:
                    delattr(owner, name)
                for name in [name for name, value in before.items() if now.get(name, self) is not value]:
                    setattr(owner, name, before[name])

        self._undo.append(bind)

    def _keep(self, value: Any) -> None:
        if id(value) in self._seen or isinstance(value, _FIXED) or type(value).__module__ in _FIXED_FROM:
            return
        self._seen.add(id(value))
        if isinstance(value, FunctionType):
            self._keep_function(value)
        elif isinstance(value, type):
            if value.__module__ in self._names:
                self._keep_names(value)
        elif isinstance(value, _CACHED):
            self._undo.append(value.cache_clear)
            self._keep(value.__wrapped__)
        elif type(value) in _CONTAINERS:
            self._keep_content(value)
        elif _is_of_python(value):
            self._keep_content(vars(value))
        elif type(value).__qualname__ not in _OF_CLASSES:
            self._keep_each(_parts(value))

    def _keep_function(self, function: FunctionType) -> None:
        if function.__module__ not in self._names:
            return
        self._keep_each((*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values(), *vars(function).values()))
        for cell in function.__closure__ or ():
            try:
                self._keep(cell.cell_contents)
            except ValueError:  # It is empty.
                continue

    def _keep_content(self, container: Any) -> None:
        before = container.copy()
        self._keep_each(_content(before))

        def fill() -> None:
            if len(container) != len(before) or not all(map(operator.is_, _content(container), _content(before))):
                container.clear()
                (container.extend if hasattr(container, "extend") else container.update)(before)

        self._undo.append(fill)

    def _keep_each(self, values: Iterable[Any]) -> None:
        for value in values:
            self._keep(value)


def _is_of_python(value: Any) -> bool:
    """Whether all that something has is in its `__dict__`: none of its classes is written in C, or has slots."""
    kinds = type(value).__mro__[:-1]
    return hasattr(value, "__dict__") and all(
        "__slots__" not in vars(kind) and str(getattr(sys.modules.get(kind.__module__), "__file__", "")).endswith(".py")
        for kind in kinds
    )


def _content(container: Any) -> list[Any]:
    return [*container.keys(), *container.values()] if hasattr(container, "keys") else list(container)


def _parts(value: Any) -> Iterable[Any]:
    """What something is made of that does not change itself.

    Raises:
        Unknown: If it can.
    """
    match value:
        case tuple() | frozenset():
            return list(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - whatever is in it.
        case MappingProxyType():
            return list(value.values())  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - likewise.
        case property():
            return [value.fget, value.fset, value.fdel]
        case MethodType():
            return [value.__self__, value.__func__]
        case staticmethod() | classmethod():
            return [value.__func__]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - likewise.
        case _ if type(value).__module__ == "_json":  # What it has seen it forgets after each call.
            kind = cast("type[object]", type(value))
            return [getattr(value, name) for name, one in vars(kind).items() if isinstance(one, MemberDescriptorType)]
        case _ if _is_frozen(value):
            return [getattr(value, field.name) for field in dataclasses.fields(value)]
        case _:
            raise Unknown(f"{type(value).__module__}.{type(value).__qualname__}")


def _is_frozen(value: object) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type) and vars(type(value))["__dataclass_params__"].frozen
