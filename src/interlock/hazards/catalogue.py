"""Finds the hazards that are there.

A hazard's module is imported only when a file could hold the hazard. To know that, its needles are read from the text of the
module, which costs a fraction of running it; a test holds that what is read is what the module says.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

from interlock.core.errors import UsageError, nearest
from interlock.hazards.hazard import Hazard, Needles, holds

_NEEDLES = re.compile(r"^    needles=(.+?),\n    \w+=", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Listing:
    """A hazard that is there, perhaps not imported yet."""

    name: str  # family/name
    module_name: str
    needles: Needles  # without a text of each group a file cannot hold the hazard

    def concerns(self, content: bytes) -> bool:
        """Whether a file with this content can hold the hazard at all."""
        return holds(content, self.needles)

    def load(self) -> Hazard:
        """The hazard itself."""
        hazard = import_module(self.module_name).HAZARD
        assert isinstance(hazard, Hazard), f"HAZARD of {self.module_name} is not a Hazard"  # noqa: S101 - for the type checker too.
        return hazard


@cache
def listings() -> tuple[Listing, ...]:
    """Every hazard of this package, by name, without importing it."""
    here = Path(__file__).parent
    return tuple(_listed(here, path) for path in sorted(here.glob("*/*.py")) if not path.name.startswith("_"))


@cache
def catalogue() -> tuple[Hazard, ...]:
    """Every hazard of this package, by name."""
    return tuple(listing.load() for listing in listings())


def named(name: str) -> Hazard:
    """The hazard of this name; the family may be left out where one hazard alone is meant.

    Raises UsageError, with the nearest right name, if there is none.
    """
    exact = [listing for listing in listings() if listing.name == name]
    found = exact or [listing for listing in listings() if listing.name.endswith(f"/{name}")]
    if len(found) == 1:
        return found[0].load()
    message = f"there is no hazard {name!r}; {nearest(name, (listing.name for listing in listings()))}"
    raise UsageError(message)


def _listed(here: Path, path: Path) -> Listing:
    family, stem = path.relative_to(here).with_suffix("").parts
    return Listing(f"{family}/{stem}".replace("_", "-"), f"{__package__}.{family}.{stem}", _needles_in(path))


def _needles_in(path: Path) -> Needles:
    """The needles as they are written in a module; none, which every file has, if they are not plain literals."""
    found = _NEEDLES.search(path.read_text(encoding="utf-8"))
    try:
        needles: Needles = ast.literal_eval(found[1]) if found else ()
    except (ValueError, SyntaxError):
        return ()
    return needles
