"""A payment provider with a ledger: the truth outside of the module."""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast
from zlib import crc32

from interlock.core.counting import counted
from interlock.core.errors import UsageError, nearest
from interlock.prove.invariant import Invariant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from interlock.prove.wire.http_wire import Request

MOODS = ("ok", "declines", "declines once", "declines 2 times", "forgets keys", "charges and answers 500")
_DECLINES = "declines"
_DECLINES_FIRST = re.compile(r"declines (?:(once)|(\d+) times)")
_PAYMENT_FIELDS = ("payment", "payment_id", "order_id", "order", "id", "reference")

# For how long Stripe, for one, knows an idempotency key again: "You can remove keys from the system automatically after they're
# at least 24 hours old" (https://docs.stripe.com/api/idempotent_requests).
REMEMBERS_S = 24 * 60 * 60

DECLINED = 402
_CHARGED, _BROKEN = 200, 500
_ERRORS = {
    DECLINED: {"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds"},
    _BROKEN: {"type": "api_error"},
}

# Virtual times are sums of floats.
_SAME_S = 0.001


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for a charge, and what was said.

    Attributes:
        payment: Which payment is to be charged.
        at_s: When, in virtual time.
        status: Of the answer.
        is_repeat: Whether the key was known, so that the answer is the one given before.
    """

    payment: str
    at_s: float
    status: int
    is_repeat: bool


@dataclass(slots=True)
class Provider:
    """A provider behind an address.

    It honours idempotency keys as the real ones do: the same key is answered as it was the first time, for a day.

    Attributes:
        mood: `ok` charges; `declines` never does; `declines once` and `declines 3 times` do so at first, for each payment;
            `forgets keys` knows none again; `charges and answers 500` says so again to whoever comes with the same key.
        now_s: Tells virtual time.
        payment_of: Finds the payment in a request.
        breaks_for: The payments at which it breaks: it answers 500, always.
        moods: In which it meets the payments, each always in the same one, drawn by its name; if there are none, all in `mood`.
        charges: The payment of each charge, in the order in which they were made.
        asked: Every request.
    """

    mood: str = "ok"
    now_s: Callable[[], float] = lambda: 0.0
    payment_of: Callable[[Request], str] | None = None
    breaks_for: frozenset[str] = frozenset()
    moods: tuple[str, ...] = ()
    charges: list[str] = field(default_factory=list[str])
    asked: list[Asked] = field(default_factory=list[Asked])
    # Numbers, not answers: a load has a million and a half of them.
    _charge_of: array[int] = field(default_factory=lambda: array("L"))  # By request: its charge, counted from 1; 0 is none.
    _first_under: dict[str, int] = field(default_factory=dict[str, int])  # By key: the request that its answer was made for.
    _decisions: dict[str, int] = field(default_factory=dict[str, int])  # By payment that is declined at first: how often asked.

    def answer(self, request: Request) -> tuple[int, dict[str, Any]]:
        """Charges, or does not."""
        key, payment, now_s = request.headers.get("idempotency-key"), self._payment(request), self.now_s()
        mood = self.mood_for(payment)
        first = self._known(key, mood, now_s)
        status, charge = self._decided(payment, mood) if first is None else (self.asked[first].status, self._charge_of[first])
        if first is None and key is not None:
            self._first_under[key] = len(self.asked)
        self.asked.append(Asked(payment, now_s, status, is_repeat=first is not None))
        self._charge_of.append(charge)
        return status, _body(status, charge)

    def payment_under(self, key: str) -> str | None:
        """The payment that a key was last taken for as a new one; none if it is not known."""
        first = self._first_under.get(key)
        return None if first is None else self.asked[first].payment

    @property
    def never_charges(self) -> bool:
        """Whether every payment is declined, always."""
        return all(mood == _DECLINES for mood in self.moods or (self.mood,))

    def mood_for(self, payment: str) -> str:
        """The mood in which a payment is met."""
        return self.moods[crc32(payment.encode()) % len(self.moods)] if self.moods else self.mood

    def never_charges_for(self, payment: str) -> bool:
        """Whether a payment is declined, always."""
        return self.mood_for(payment) == _DECLINES

    def charged(self, payment: str) -> int:
        """How often a payment was charged."""
        return self.charges.count(payment)

    def attempts(self, payment: str) -> int:
        """How often the provider was asked to charge a payment."""
        return sum(asked.payment == payment for asked in self.asked)

    def charged_once(self, payment: str) -> Invariant:
        """The payment is charged exactly once; not at all if the provider declines."""
        expected = 0 if self.never_charges_for(payment) else 1
        return Invariant(f"{payment} is charged {times(expected)}", lambda: self._wrong_count(payment, expected, expected))

    def charged_at_most_once(self, payment: str) -> Invariant:
        """The payment is not charged twice."""
        return Invariant(f"{payment} is charged at most once", lambda: self._wrong_count(payment, 0, 1))

    def attempts_at_most(self, payment: str, most: int) -> Invariant:
        """The provider is not asked more often than that."""

        def broken() -> str | None:
            made = self.attempts(payment)
            return f"{counted(made, 'attempt')} to charge {payment}, where {most} are allowed" if made > most else None

        return Invariant(f"at most {counted(most, 'attempt')} to charge {payment}", broken)

    def schedule(self, payment: str, after_s: Sequence[float]) -> Invariant:
        """After the first attempt, the second waits for at least the first of these times, and so on."""

        def broken() -> str | None:
            at_s = [asked.at_s for asked in self.asked if asked.payment == payment]
            for number, (wanted_s, (before_s, then_s)) in enumerate(zip(after_s, pairwise(at_s), strict=False), start=2):
                if then_s - before_s < wanted_s - _SAME_S:
                    waited = f"{then_s - before_s:g} s after the one before"
                    return f"attempt {number} to charge {payment} came {waited}, not {wanted_s:g} s"
            return None

        return Invariant(f"{payment} is tried again after {', '.join(f'{after:g} s' for after in after_s)}", broken)

    def never_lost(self, payment: str, *set_aside: Callable[[], Sequence[str]]) -> Invariant:
        """The payment is charged, or set aside where people look.

        Args:
            payment: Which.
            set_aside: Tell what lies there: dead letters, say, that `world.look` has read.
        """

        def broken() -> str | None:
            if self.charged(payment) or any(payment in found() for found in set_aside):
                return None
            return f"{payment} is lost: it was accepted, and never charged nor set aside"

        return Invariant(f"{payment} is not lost", broken)

    def _known(self, key: str | None, mood: str, now_s: float) -> int | None:
        """The request whose answer is given again to who comes with a key."""
        first = self._first_under.get(key) if key is not None and mood != "forgets keys" else None
        return first if first is not None and now_s - self.asked[first].at_s < REMEMBERS_S else None

    def _decided(self, payment: str, mood: str) -> tuple[int, int]:
        """The status of the answer, and the number of the charge; 0 if there is none."""
        if payment in self.breaks_for:
            return _BROKEN, 0
        if mood == _DECLINES or self._is_declined_now(payment, mood):
            return DECLINED, 0
        self.charges.append(payment)
        return (_BROKEN if mood == "charges and answers 500" else _CHARGED), len(self.charges)

    def _is_declined_now(self, payment: str, mood: str) -> bool:
        if not (most := declines_first(mood)):
            return False
        self._decisions[payment] = earlier = self._decisions.get(payment, -1) + 1
        return earlier < most

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
        count = self.charged(payment)
        return None if least <= count <= most else f"{payment} was charged {times(count)}"


def _body(status: int, charge: int) -> dict[str, Any]:
    """What an answer says besides."""
    return {"error": _ERRORS[status]} if status in _ERRORS else {"id": f"ch_{charge}", "status": "succeeded", "paid": True}


def check_mood(mood: str) -> None:
    """Raises if there is no such mood.

    Raises:
        UsageError: Likewise.
    """
    if mood not in MOODS and not _DECLINES_FIRST.fullmatch(mood):
        raise UsageError(f"no mood of a provider: {mood!r}; {nearest(mood, MOODS)}")


def declines_first(mood: str) -> int:
    """How many attempts at each payment are declined before one is not."""
    found = _DECLINES_FIRST.fullmatch(mood)
    return 0 if found is None else 1 if found[1] else int(found[2])


def times(count: int) -> str:
    """`never`, `once`, `twice`, `3 times`."""
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def _mapping(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
