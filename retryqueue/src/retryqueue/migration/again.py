"""Members that an earlier migration put into quarantine, as they were read: for a second look with other options.

Their bytes lie in the queue, and where they came from and when they are due is in the ledger. What the ledger has forgotten
stays in quarantine: nobody knows any more when it is due.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from retryqueue.migration.foreign_queue import PAGE, Found
from retryqueue.migration.ledger import unreadable_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from retryqueue.migration.ledger import Claim, Ledger
    from retryqueue.states import Item, Page

_OURS = re.compile(re.escape(unreadable_key("")) + r"(?P<name>[0-9a-f]{32})")


class Reads(Protocol):
    """Whatever can read the queue's quarantine."""

    def quarantined(self, cursor: str) -> Page:
        """Some of it; the cursor of the first page is empty."""
        ...


class SetAside:
    """The members of one sorted set, or of one list, that lie in quarantine.

    Args:
        queue: Where they lie.
        ledger: Where they came from.
        source: The sorted set or the list.
        is_letters: Whether it is a list of dead letters.

    Attributes:
        forgotten: How many of them the ledger has forgotten, as far as was read.
    """

    def __init__(self, queue: Reads, ledger: Ledger, source: str, *, is_letters: bool) -> None:
        self._queue = queue
        self._ledger = ledger
        self._source = source
        self._is_letters = is_letters
        self._seen: set[str] = set()
        self.forgotten = 0

    def pages(self) -> Iterator[tuple[int, list[Found]]]:
        """The server's time in ms, and some members; each once, whatever becomes of those that were told before."""
        cursor: str | None = ""
        while cursor is not None:
            page = self._queue.quarantined(cursor)
            named = {found["name"]: item for item in page.items if (found := _OURS.fullmatch(item.key))}
            fresh = {name: item for name, item in named.items() if name not in self._seen}
            self._seen |= fresh.keys()
            yield from self._known(fresh)
            cursor = page.cursor

    def _known(self, items: dict[str, Item]) -> Iterator[tuple[int, list[Found]]]:
        names = list(items)
        for start in range(0, len(names), PAGE):
            part = names[start : start + PAGE]
            now_ms, claims = self._ledger.known(part)
            found = [self._found(items[name], claim) for name, claim in zip(part, claims, strict=True)]
            page = sorted((one for one in found if one is not None), key=lambda one: float(one.mark))
            if page:
                yield now_ms, page

    def _found(self, item: Item, claim: Claim | None) -> Found | None:
        """The member as it was read, if it came from here and that is still known."""
        if claim is None:
            self.forgotten += item.note.startswith(f"migrated from {self._source}:")
            return None
        if claim.source != self._source:
            return None
        found = Found(item.raw or b"", claim.mark, claim.source, self._is_letters)
        if found.name == claim.name:
            return found
        self.forgotten += 1  # Whoever wrote this claim did not write down when it is due.
        return None
