"""Something that must hold at the end, whatever happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Invariant:
    """Something that must hold at the end.

    Attributes:
        says: What must hold, for people.
        broken: Tells how it does not, or nothing.
    """

    says: str
    broken: Callable[[], str | None]
