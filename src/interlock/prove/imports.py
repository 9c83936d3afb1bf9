"""Each process's own import of the module under proof: what a module keeps in memory, no other process sees.

A module that remembers something, such as a client, a cache or what it has done already, does so in every process apart. Shared
between the workers of a proof, it would hide some mistakes and invent others. So each worker imports the module anew, together
with every other module of its own that it needs; libraries are shared, as they know nothing of each other's users.

What the contract's own functions refer to is exchanged for what the worker has imported: both speak of the same classes.
A module that cannot be imported twice, because it registers itself somewhere, is shared, and a warning says so.
"""

from __future__ import annotations

import dataclasses
import importlib
import operator
import sys
import warnings
from enum import Enum
from functools import lru_cache, partial
from importlib.abc import Loader, MetaPathFinder
from importlib.util import spec_from_loader
from types import CellType, CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from interlock.prove.memory import Memory, Unknown
from interlock.prove.whereabouts import is_theirs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from importlib.machinery import ModuleSpec


_UNCHANGING = frozenset({str, bytes, int, float, bool, type(None)})

# Those of earlier schedules that have forgotten them: by the contract's module, and by the process.
Spare = dict[tuple[str, int], "Imports"]

# The guard's own functions that hold what a user has said of the module.
_READY = ("interlock.prove.contracts", "interlock.prove.scenarios")


class Imports:
    """What one process has imported.

    Args:
        home: The name of the module that the contract is written in, which is nobody's own.

    Attributes:
        is_shared: Whether a module could not be imported anew, so that others know what it remembers.
    """

    def __init__(self, home: str) -> None:
        self._home = home
        self._modules: dict[str, ModuleType] = {}
        self._before: dict[str, ModuleType] = {}  # What stands in their place while other processes go on.
        self._there = frozenset(sys.modules)
        self._count = len(sys.modules)
        self._seen: dict[int, Any] = {}  # By identity; what is in it is kept alive by what it was made of.
        self._memories: list[Memory] = []
        self._is_unknown = self.is_shared = False

    def own(self, value: Any) -> Any:
        """A function or class of a contract, with the modules that it refers to imported by this process."""
        if type(value) in _UNCHANGING:
            return value
        number = id(value)  # Asked for once: an audit hook hears of each time.
        if number not in self._seen:
            self._seen[number] = (value, value)
            self._seen[number] = (value, self._exchanged(value))
        return self._seen[number][1]

    def enter(self) -> None:
        """The process goes on: whoever imports, or looks a class up by its name, finds what this process has imported."""
        if self._modules:
            sys.modules.update(self._modules)
        self._count = len(sys.modules)

    def leave(self) -> None:
        """Another one does. What was imported for the first time meanwhile is this process's, too."""
        if len(sys.modules) != self._count:
            news = _own_names() - self._modules.keys()
            late = {name: sys.modules[name] for name in news if name not in self._there}
            self._modules.update(late)
            self._is_unknown = self._is_unknown or bool(late)  # What it is like at first is over.
        if self._modules:
            for name in self._modules.keys() - self._before.keys():
                sys.modules.pop(name, None)
            sys.modules.update(self._before)

    def forget(self) -> bool:
        """Makes the modules what they were when they were imported; tells whether that can be done."""
        self._seen.clear()
        try:
            for memory in self._memories:
                memory.forget()
        except Exception:  # noqa: BLE001 - a class may refuse in any way to have an attribute taken away.
            return False
        return not self._is_unknown

    def _exchanged(self, value: Any) -> Any:
        match value:
            case ModuleType():
                return self._module(value.__name__) if value.__name__ in _own_names() else value
            case partial():
                return partial(self.own(value.func), *map(self.own, value.args), **_each(self.own, value.keywords))
            case FunctionType() if self._is_of_the_contract(value.__module__):
                return self._function(value)
            case type() | FunctionType() if value.__module__ in _own_names() and value.__module__ != self._home:
                return _looked_up(self._module(value.__module__), value.__qualname__, value)
            case Enum():
                kind = self.own(type(value))
                return kind[value.name] if kind is not type(value) else value
            case _ if _is_frozen(value):
                return self._rebuilt(value)
            case _:
                return value  # What can change is whatever the contract takes it for, and stays that.

    def _is_of_the_contract(self, module: str) -> bool:
        return module == self._home or module not in sys.modules or module.startswith(_READY)

    def _function(self, function: FunctionType) -> FunctionType:
        """A function of the contract's own, that refers to what this process has imported."""
        there, code, cells = function.__globals__, function.__code__, function.__closure__ or ()
        exchanged = {name: self.own(there[name]) for name in names_in(code) if name in there}
        closure = tuple(map(self._cell, cells))
        if all(map(operator.is_, closure, cells)) and all(there[name] is value for name, value in exchanged.items()):
            return function
        made = FunctionType(code, {**there, **exchanged}, function.__name__, function.__defaults__, closure)
        made.__kwdefaults__ = function.__kwdefaults__
        return made

    def _cell(self, cell: CellType) -> CellType:
        """What a function within another one refers to there."""
        try:
            value = cell.cell_contents
        except ValueError:  # It is empty so far.
            return cell
        own = self.own(value)
        return cell if own is value else CellType(own)

    def _rebuilt(self, value: Any) -> Any:
        """An object that never changes, of the class that this process has imported, and of what else it has."""
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        exchanged = _each(self.own, fields)
        kind = self.own(type(value))
        if kind is type(value) and all(exchanged[name] is fields[name] for name in fields):
            return value
        made = object.__new__(kind)
        for name, own in exchanged.items():
            object.__setattr__(made, name, own)
        return made

    def _module(self, name: str) -> ModuleType:
        if name not in self._modules:
            self._import(name)
        return self._modules[name]

    def _import(self, name: str) -> None:
        """Imports a module, and what it needs of its own."""
        there = {own: sys.modules[own] for own in _own_names() - self._modules.keys() - {self._home}}
        for own in there:
            del sys.modules[own]
        finder = _Known(there)
        sys.meta_path.insert(0, finder)
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - whatever a module does when it is imported twice.
            warnings.warn(
                f"{name} cannot be imported once for each worker ({type(error).__name__}: {error}); its memory is shared",
                stacklevel=2,
            )
            sys.modules.update(there)
            self.is_shared = True
        finally:
            sys.meta_path.remove(finder)
        anew = {own for own in there if own in sys.modules} | {name}
        self._modules.update({own: sys.modules[own] for own in anew})
        self._before.update({own: there[own] for own in anew})
        sys.modules.update({own: module for own, module in there.items() if own not in anew})
        self._count = len(sys.modules)
        self._remember(self._modules[own] for own in anew)

    def _remember(self, modules: Iterable[ModuleType]) -> None:
        try:
            self._memories.append(Memory(modules))
        except Unknown:
            self._is_unknown = True


class _Known(MetaPathFinder):
    """Finds modules that were imported before without looking for them, and with their code as it was compiled."""

    def __init__(self, before: dict[str, ModuleType]) -> None:
        self._before = before

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:  # noqa: ARG002 - as Python asks.
        """The module, if it was imported before."""
        before = self._before.get(fullname)
        if before is None or before.__spec__ is None or (code := _code(before.__spec__)) is None:
            return None
        locations = before.__spec__.submodule_search_locations
        spec = spec_from_loader(
            fullname, _Code(code, before.__spec__.loader), origin=before.__spec__.origin, is_package=locations is not None
        )
        if spec is not None:
            spec.has_location = before.__spec__.has_location
            spec.submodule_search_locations = locations
        return spec


class _Code(Loader):
    """Runs a module's code; anything else, such as the files that lie in a package, is asked of who has found it."""

    def __init__(self, code: CodeType, real: object) -> None:
        self._code = code
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def create_module(self, spec: ModuleSpec) -> None:
        """As usual."""

    def exec_module(self, module: ModuleType) -> None:
        """Runs the module's code."""
        exec(self._code, module.__dict__)  # noqa: S102 - that is what importing is.


_codes: dict[int, tuple[ModuleSpec, CodeType | None]] = {}


def _code(spec: ModuleSpec) -> CodeType | None:
    """A module's compiled code; it belongs to the module as it was found, and is kept as long."""
    if id(spec) not in _codes:
        loader: Any = spec.loader
        _codes[id(spec)] = (spec, loader.get_code(spec.name) if hasattr(loader, "get_code") else None)
    return _codes[id(spec)][1]


_found: tuple[tuple[int, str], frozenset[str]] = ((0, ""), frozenset())


def _own_names() -> frozenset[str]:
    """The names of the user's own modules that are there; looked for again when others are."""
    global _found  # noqa: PLW0603 - going through all of them takes a millisecond, and is asked for at every turn.
    there = len(sys.modules), next(reversed(sys.modules))
    if _found[0] != there:
        _found = (there, frozenset(name for name, module in sys.modules.items() if _can_be_anew(module)))
    return _found[1]


def _is_frozen(value: object) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type) and value.__dataclass_params__.frozen  # type: ignore[attr-defined]


def _each(change: Callable[[Any], Any], named: dict[str, Any]) -> dict[str, Any]:
    return {name: change(value) for name, value in named.items()}


def _can_be_anew(module: ModuleType | None) -> bool:
    """Whether a module is the user's own, and was found by its name."""
    spec = getattr(module, "__spec__", None)
    path = getattr(module, "__file__", None)
    return spec is not None and path is not None and path.endswith(".py") and is_theirs(path)


def _looked_up(module: ModuleType, qualname: str, default: Any) -> Any:
    found: Any = module
    for name in qualname.split("."):
        found = getattr(found, name, None)
        if found is None:
            return default
    return found


@lru_cache(maxsize=1024)
def names_in(code: CodeType) -> tuple[str, ...]:
    """The names that a function and those within it refer to."""
    within = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return tuple(dict.fromkeys((*code.co_names, *(name for inner in within for name in names_in(inner)))))
