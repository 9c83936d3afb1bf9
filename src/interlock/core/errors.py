"""What can go wrong, and whose it is to mend.

    InterlockError
    ├── UsageError      you: a setting, a path or an argument is not right (exit 2)
    └── WorldError      the world: git is missing, a server does not answer (exit 3)

Anything else that escapes is our own fault (exit 70). Every message says what was found, what was expected and where.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class InterlockError(Exception):
    """The root of every error that `interlock` raises on purpose."""


class UsageError(InterlockError):
    """The person at the keyboard can mend this."""


class WorldError(InterlockError):
    """Something outside `interlock` did not answer as it must; the answer is unknown."""


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of an error message about an unknown word: the nearest right one, or all of them."""
    from difflib import get_close_matches  # noqa: PLC0415 - needed for the message alone.

    words = sorted(known)
    close = get_close_matches(word, words, n=1)
    return f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(words)}"
