"""Which metrics a query of Prometheus measures: those that it names, and not those of which it merely speaks."""

from __future__ import annotations

import re
from typing import Final

_TEXT: Final = r"""(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`[^`]*`)"""
_TOLD: Final = re.compile(rf"""(?P<label>\w+)\s*(?:=~|!~|!=|=)\s*{_TEXT}|(?P<text>{_TEXT})|\#[^\n]*""")
_SERIES: Final = "(?:_bucket|_sum|_count|_total|_created)?"  # What a client adds to the name that it is given.


def measured(query: str) -> str:
    """A query without its comments, and without what it asks labels to be."""
    return _TOLD.sub(lambda found: found[0] if found["text"] or found["label"] == "__name__" else " ", query)


def names(query: str, metric: str) -> bool:
    """Whether a metric stands in a query as a whole name: `orders` is not in `orders_refused_total`."""
    return re.search(rf"(?<![\w.]){re.escape(metric)}{_SERIES}(?!\w|\.\w)", query) is not None
