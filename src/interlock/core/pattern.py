"""Regular expressions that are compiled when they are first asked.

A check of one file imports some thirty patterns and asks half of them. To compile one costs as much as to import a small
module, and Python keeps what it has compiled in memory alone.
"""

from __future__ import annotations

import re
from typing import Any, cast


class _Later:
    """Stands for a pattern until it is asked; then its methods are the pattern's own."""

    def __init__(self, text: str, flags: int) -> None:
        self._given = text, flags

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a pattern has.
        found = re.compile(*self._given)
        self.__dict__.update({method: getattr(found, method) for method in ("findall", "fullmatch", "match", "search", "sub")})
        return getattr(found, name)


def pattern(text: str, flags: int = 0) -> re.Pattern[str]:
    """What `re.compile` gives, later. A pattern that is not right says so when it is first asked."""
    return cast("re.Pattern[str]", _Later(text, flags))
