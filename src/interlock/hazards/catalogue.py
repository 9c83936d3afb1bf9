"""Finds the hazards that are there."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path

from interlock.core.errors import UsageError, nearest
from interlock.hazards.hazard import Hazard


@cache
def catalogue() -> tuple[Hazard, ...]:
    """Every hazard of this package, by name."""
    here = Path(__file__).parent
    found = sorted(path.relative_to(here) for path in here.glob("*/*.py") if not path.name.startswith("_"))
    return tuple(_load(".".join((__package__ or "", *path.with_suffix("").parts))) for path in found)


def named(name: str) -> Hazard:
    """The hazard of this name.

    Raises UsageError, with the nearest right name, if there is none.
    """
    for hazard in catalogue():
        if hazard.name == name:
            return hazard
    message = f"there is no hazard {name!r}; {nearest(name, (hazard.name for hazard in catalogue()))}"
    raise UsageError(message)


def _load(module_name: str) -> Hazard:
    hazard = import_module(module_name).HAZARD
    assert isinstance(hazard, Hazard), f"HAZARD of {module_name} is not a Hazard"  # noqa: S101 - holds for the type checker too.
    return hazard
