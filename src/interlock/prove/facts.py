"""What the workers were told and what they did, in order, as far as a contract wants to know it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Facts:
    """Kept outside of the workers, so that it outlives them."""

    _facts: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])

    def note(self, *fact: Any) -> None:
        """Takes one down."""
        self._facts.append(fact)

    def every(self, kind: str) -> list[tuple[Any, ...]]:
        """Those of a kind, without it."""
        return [fact[1:] for fact in self._facts if fact[0] == kind]
