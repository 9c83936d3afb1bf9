"""Which share was in force when, so that what comes late counts under the share at exposure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Shares:
    """Which share was in force when."""

    def __init__(self, since: Iterable[tuple[float, int]] = ()) -> None:
        self._since = sorted(since)

    def note(self, at_s: float, limit: int) -> None:
        """From now on the share is another one."""
        self._since.append((at_s, limit))

    def between(self, from_s: float, to_s: float) -> int | None:
        """The limit, if it was one and the same all that time; None if it changed, or is not known for so long ago."""
        limits = [limit for at_s, limit in self._since if at_s <= to_s]
        earlier = sum(at_s <= from_s for at_s, _ in self._since)
        return limits[-1] if earlier and earlier == len(limits) else None
