"""Markdown around words that others chose: names of files, of branches and of people must not become a page of their own.

A mention calls somebody, a link leads somewhere, a comment hides what follows. Nothing of that happens in code, so what others
have said stands in code.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST: Final = 300  # Characters of a line: a page must stay a page.


def one_line(text: str) -> str:
    """A text on one line, of a length that can be read."""
    folded = " ".join(text.split())
    return folded if len(folded) <= _LONGEST else f"{folded[: _LONGEST - 1]}…"


def code(text: str) -> str:
    """A text as code within a sentence."""
    shown = one_line(text) or " "
    fence = "`" * (_longest_run(shown) + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def block(lines: Sequence[str]) -> str:
    """Lines as a block of code."""
    shown = [one_line(line) for line in lines]
    fence = "`" * max(3, *(_longest_run(line) + 1 for line in shown))
    return "\n".join([f"{fence}text", *shown, fence])


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
