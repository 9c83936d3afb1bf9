"""What can go wrong at one effect, one file each. Being there is the registration.

Each file has `faults_at(effect)`: what of its kind may strike that effect. A fault is a frozen dataclass; its name says all of
it, so that a replay file finds it again. The name of the file is the kind; kinds that say `ON_REQUEST` are placed only where a
contract or a scenario asks for them.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.effect import Effect
    from interlock.prove.fault import Fault


def every_fault(effect: Effect) -> list[Fault]:
    """Each fault that may strike an effect."""
    return [fault for faults_at in _files() for fault in faults_at(effect)]


def every_kind() -> list[str]:
    """The kinds of faults there are."""
    return sorted(module.name.replace("_", " ") for module in iter_modules(__path__))


def kind_of(fault: Fault) -> str:
    """The kind of a fault."""
    return type(fault).__module__.rpartition(".")[2].replace("_", " ")


def is_usual(fault: Fault) -> bool:
    """Whether a fault is placed where nobody has asked for its kind."""
    return not getattr(sys.modules[type(fault).__module__], "ON_REQUEST", False)


@cache
def _files() -> tuple[Callable[[Effect], tuple[Fault, ...]], ...]:
    names = sorted(module.name for module in iter_modules(__path__))
    return tuple(cast("Callable[[Effect], tuple[Fault, ...]]", import_module(f"{__name__}.{name}").faults_at) for name in names)
