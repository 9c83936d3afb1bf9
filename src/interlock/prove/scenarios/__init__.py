"""The twelve situations in which a payment retry queue loses or doubles payments, one file each.

Each file's docstring tells the story; `NUMBER` is its place in the list, `SCENARIO` sets it up. Being there is the
registration.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlock.prove.contract import Scenario


@cache
def of_payments() -> tuple[Scenario, ...]:
    """All of them, in their order."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    return tuple(module.SCENARIO for module in sorted(modules, key=lambda module: int(module.NUMBER)))
