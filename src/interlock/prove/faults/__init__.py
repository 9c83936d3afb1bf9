"""What can go wrong at one effect, one file each. Being there is the registration.

Each file has `faults_at(effect)`: what of its kind may strike that effect. A fault is a frozen dataclass; its name says all of
it, so that a replay file finds it again.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.effect import Effect
    from interlock.prove.scheduler import Fault


def every_fault(effect: Effect) -> list[Fault]:
    """Each fault that may strike an effect."""
    return [fault for faults_at in _kinds() for fault in faults_at(effect)]


@cache
def _kinds() -> tuple[Callable[[Effect], tuple[Fault, ...]], ...]:
    names = sorted(module.name for module in iter_modules(__path__))
    return tuple(cast("Callable[[Effect], tuple[Fault, ...]]", import_module(f"{__name__}.{name}").faults_at) for name in names)
