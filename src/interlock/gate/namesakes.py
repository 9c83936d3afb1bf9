"""Files that a change adds under a name which is another one only as long as upper and lower case are told apart.

`Shop/pay.py` beside `shop/pay.py` is a file of its own to git and to Linux. Checked out by macOS or Windows it takes the other
one's place, so that what touches no feature here touches one there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from unicodedata import normalize

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from interlock.gate.change import Change


def clashes(change: Change) -> Iterator[str]:
    """What the change adds beside its namesake, a line each."""
    added = {path for difference in change.differences if difference.status == "A" for path in _around(difference.path)}
    wanted = {_folded(path) for path in added}
    there = {path for path in _all_of(change.repository.tree(change.head)) if _folded(path) in wanted}
    if len({_folded(path) for path in there}) == len(there):
        return
    before = _all_of(change.repository.tree(change.start))
    for path in sorted(added - before):
        others = sorted(other for other in there if other != path and _folded(other) == _folded(path))
        if others:
            yield f"the change adds {path} beside {others[0]}: where case is not told apart, one takes the other's place"


def _all_of(paths: Iterable[str]) -> set[str]:
    """Some files, and the folders around them."""
    found = set[str]()
    for path in paths:
        name = path
        while name and name not in found:
            found.add(name)
            name = name.rpartition("/")[0]
    return found


def _around(path: str) -> Iterator[str]:
    """A file and the folders around it."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def _folded(path: str) -> str:
    """What two paths have in common that are one where case, and how an accent is written, are not told apart."""
    return path.lower() if path.isascii() else normalize("NFC", normalize("NFC", path).casefold())
