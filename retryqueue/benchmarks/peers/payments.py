"""The payments that every queue is given: 222 bytes each as compact JSON."""

from __future__ import annotations

import itertools
import json
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    Fields: TypeAlias = dict[str, Any]

SIZE_BYTES = 222


def numbered(number: int, **details: int) -> Fields:
    """Payment `number`, below a hundred million; `details` (whole numbers) are added to its own and make it longer."""
    digits = f"{number:08d}"
    return {
        "key": f"order-{digits}",
        "user_id": f"user-{digits}",
        "amount_minor": 4999,
        "currency": "EUR",
        "payment_method_id": "pm_1NXWPnLkdIwHu7ixdQvXrZ0c",
        "details": {"order_id": digits, "items": 3, "statement": "Example Shop order by post", **details},
    }


def endless(first: int = 0) -> Iterator[Fields]:
    """Payments with different keys, from number `first` on; safe to share between threads."""
    return map(numbered, itertools.count(first))


def due(number: int, at_s: float) -> tuple[Fields, int]:
    """A payment that is due at `at_s` (seconds since 1970), and its delay from now in whole milliseconds."""
    now_us = time.time_ns() // 1000
    delay_ms = max(1, round(at_s * 1000 - now_us / 1000))
    return numbered(number, due_us=now_us + delay_ms * 1000), delay_ms


def size_bytes(fields: Fields) -> int:
    """Length of the payment as compact JSON."""
    return len(json.dumps(fields, separators=(",", ":")))
