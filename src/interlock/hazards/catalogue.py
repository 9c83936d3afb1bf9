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
from typing import TYPE_CHECKING

from interlock.core.errors import UsageError, nearest
from interlock.hazards.hazard import Hazard, Needles, holds

if TYPE_CHECKING:
    from interlock.hazards.own import OwnHazards

_NEEDLES = re.compile(r"^    needles=(.+?),\n    \w+=", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Listing:
    """A hazard that is there, perhaps not imported yet."""

    name: str  # family/name
    module_name: str  # of a team's own: below their folder
    needles: Needles  # without a text of each group a file cannot hold the hazard
    own: OwnHazards | None = None  # a team's own, which it is one of

    def concerns(self, content: bytes) -> bool:
        """Whether a file with this content can hold the hazard at all."""
        return holds(content, self.needles)

    def load(self) -> Hazard:
        """The hazard itself. Raises BrokenHazardError if it is a team's own and its file is not right."""
        if self.own is not None:
            return self.own.load(self.module_name)
        hazard = import_module(self.module_name).HAZARD
        assert isinstance(hazard, Hazard), f"HAZARD of {self.module_name} is not a Hazard"  # noqa: S101 - for the type checker too.
        return hazard


def listings(own: OwnHazards | None = None) -> tuple[Listing, ...]:
    """Every hazard of this package, and those of a team, by name, without importing them.

    Raises UsageError if a team calls one of its own by the name of one of ours.
    """
    if own is None:
        return _ours()
    theirs = [_listed(name, own.texts[name].decode(errors="replace"), name, own) for name in own.names]
    taken = {listing.name for listing in _ours()}.intersection(listing.name for listing in theirs)
    for listing in theirs:
        if listing.name in taken:
            message = f"{own.paths[listing.module_name]}: {listing.name} is a hazard of interlock; expected another name"
            raise UsageError(message)
    return tuple(sorted((*_ours(), *theirs), key=lambda listing: listing.name))


@cache
def _ours() -> tuple[Listing, ...]:
    here = Path(__file__).parent
    paths = [path for path in sorted(here.glob("*/*.py")) if not path.name.startswith("_")]
    names = {path: ".".join(path.relative_to(here).with_suffix("").parts) for path in paths}
    return tuple(_listed(name, path.read_text(encoding="utf-8"), f"{__package__}.{name}") for path, name in names.items())


@cache
def catalogue() -> tuple[Hazard, ...]:
    """Every hazard of this package, by name."""
    return tuple(listing.load() for listing in listings())


def named(name: str, known: tuple[Listing, ...] | None = None) -> Hazard:
    """The hazard of this name, among these or those of this package.

    The family may be left out where one hazard alone is meant.

    Raises UsageError, with the nearest right name, if there is none.
    """
    among = listings() if known is None else known
    exact = [listing for listing in among if listing.name == name]
    found = exact or [listing for listing in among if listing.name.endswith(f"/{name}")]
    if len(found) == 1:
        return found[0].load()
    message = f"there is no hazard {name!r}; {nearest(name, (listing.name for listing in among))}"
    raise UsageError(message)


def _listed(name: str, text: str, module_name: str, own: OwnHazards | None = None) -> Listing:
    """A listing, from a file's dotted name within its folder and its text."""
    return Listing(name.replace(".", "/").replace("_", "-"), module_name, needles_in(text), own)


def needles_in(text: str) -> Needles:
    """The needles as they are written in a module; none, which every file has, if they are not plain literals."""
    found = _NEEDLES.search(text)
    try:
        needles: Needles = ast.literal_eval(found[1]) if found else ()
    except (ValueError, SyntaxError):
        return ()
    return needles
