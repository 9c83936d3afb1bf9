"""What can go wrong at one effect, one file each. Being there is the registration."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from interlock.prove.scheduler import Fault


def every_fault() -> list[Fault]:
    """One of each fault."""
    names = sorted(module.name for module in iter_modules(__path__))
    return [cast("Fault", import_module(f"{__name__}.{name}").FAULT) for name in names]
