"""How paths are named: `*` stays within a folder, `**` crosses folders, and a folder stands for all below it."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

_WILDCARDS: Final = {"**/": "(.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def matches(path: str, glob: str) -> bool:
    """Whether a path, with forward slashes, fits a glob."""
    return _pattern(glob).fullmatch(path) is not None


def is_below(name: str) -> bool:
    """Whether a path or a glob stays within the project."""
    return bool(name) and not name.startswith("/") and ".." not in name.split("/")


@cache
def _pattern(glob: str) -> re.Pattern[str]:
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", glob.rstrip("/"))
    return re.compile("".join(_WILDCARDS.get(piece, re.escape(piece)) for piece in pieces) + "(/.*)?", re.DOTALL)
