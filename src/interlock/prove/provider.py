"""A payment provider with a ledger: the truth outside of the module."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from interlock.core.errors import UsageError
from interlock.prove.invariant import Invariant

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.wire.http_wire import Request

MOODS = ("ok", "declines", "declines once")
_PAYMENT_FIELDS = ("payment", "payment_id", "order_id", "order", "id", "reference")


@dataclass(slots=True)
class Provider:
    """A provider behind an address.

    It honours idempotency keys as the real ones do: the same key is answered as it was the first time.

    Attributes:
        mood: `ok` charges; `declines` never does; `declines once` declines each payment's first request.
        charges: The payment of each charge, in the order in which they were made.
    """

    mood: str = "ok"
    payment_of: Callable[[Request], str] | None = None
    charges: list[str] = field(default_factory=list[str])
    asked: Counter[str] = field(default_factory=Counter[str])
    _answers: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict[str, tuple[int, dict[str, Any]]])

    def answer(self, request: Request) -> tuple[int, dict[str, Any]]:
        """Charges, or does not."""
        key = request.headers.get("idempotency-key")
        if key is not None and key in self._answers:
            return self._answers[key]
        answer = self._decided(self._payment(request))
        if key is not None:
            self._answers[key] = answer
        return answer

    def charged_once(self, payment: str) -> Invariant:
        """The payment is charged exactly once; not at all if the provider declines."""
        expected = 0 if self.mood == "declines" else 1
        return Invariant(f"{payment} is charged {_times(expected)}", lambda: self._wrong_count(payment, expected, expected))

    def charged_at_most_once(self, payment: str) -> Invariant:
        """The payment is not charged twice."""
        return Invariant(f"{payment} is charged at most once", lambda: self._wrong_count(payment, 0, 1))

    def _decided(self, payment: str) -> tuple[int, dict[str, Any]]:
        self.asked[payment] += 1
        if self.mood == "declines" or (self.mood == "declines once" and self.asked[payment] == 1):
            return 402, {"error": {"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds"}}
        self.charges.append(payment)
        return 200, {"id": f"ch_{len(self.charges)}", "status": "succeeded", "paid": True}

    def _payment(self, request: Request) -> str:
        if self.payment_of is not None:
            return self.payment_of(request)
        body = request.json()
        for fields in (body, _mapping(body.get("metadata"))):
            for name in _PAYMENT_FIELDS:
                if name in fields:
                    return str(fields[name])
        raise UsageError(
            f"no payment in the request {request.body[:200]!r}; say where it is: world.provider(..., payment_of=...)"
        )

    def _wrong_count(self, payment: str, least: int, most: int) -> str | None:
        count = self.charges.count(payment)
        return None if least <= count <= most else f"{payment} was charged {_times(count)}"


def _mapping(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")
