"""A module of a team's own beside its contracts, which remembers what it was told."""

from __future__ import annotations

NAMES: list[str] = []


def note(name: str) -> None:
    """Remembers a name."""
    NAMES.append(name)


class Book:
    """Writes into what the module remembers."""

    def note(self, name: str) -> None:
        """Remembers a name."""
        note(name)
