"""Who wrote the commits of a change, under every name by which a reviewer may go.

A platform knows the author of a commit by an address, if at all, and nobody whom a trailer names beside the author. So the
commits are asked as well. That somebody is not named there frees nobody.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.gate.change import Change

_BESIDE: Final = re.compile(
    r"^(?:co-authored-by|co-developed-by):\s*(?P<name>[^<]*?)\s*<(?P<address>[^<>\s]+)>", re.IGNORECASE | re.MULTILINE
)
# Addresses that a platform makes up: `7+bo@users.noreply.github.com`, `7-bo@users.noreply.gitlab.com`.
_MADE_UP: Final = re.compile(r"(?:\d+[+-])?(?P<login>[^@]+)@users\.noreply\..+", re.IGNORECASE)


def writers(change: Change) -> frozenset[str]:
    """The names, addresses and logins of whoever wrote something. Who merely merged the base wrote nothing."""
    return frozenset(name for found in _written(change) for name in found if name)


def _written(change: Change) -> Iterator[tuple[str, ...]]:
    for commit in change.commits:
        if not commit.is_merge or change.repository.adds(commit.name):
            yield commit.author, commit.author_email, _login(commit.author_email)
        for beside in _BESIDE.finditer(commit.message):
            yield beside["name"], beside["address"], _login(beside["address"])


def _login(address: str) -> str:
    match = _MADE_UP.fullmatch(address)
    return match["login"] if match else ""
