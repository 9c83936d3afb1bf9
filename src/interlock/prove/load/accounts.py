"""What became of each call and of each payment, as it was seen from outside of the module."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from interlock.prove.load.crew import Made
    from interlock.prove.provider import Provider
    from interlock.prove.wire.http_wire import Request

# A key that so many calls name is that of the queue, and not that of a payment.
_COMMON_SHARE, _COMMON_LEAST = 0.2, 50


@dataclass(frozen=True, slots=True)
class Collision:
    """Two payments under one key.

    Attributes:
        payment: The one that came off badly.
        other: The one that it was taken for.
        key: What both were called.
        where: Who took them for the same: `Redis`, or `the provider`.
    """

    payment: str
    other: str
    key: str
    where: str


@dataclass(slots=True)
class Accounts:
    """The books of one load.

    Attributes:
        began_s: When each call was made, from the beginning: in real time, or in that which it was shown.
        took_ms: How long each took, in the same order.
        failures: What calls raised, and how often.
        failed_at: The payments of the calls that raised, once each.
        accepted: When each payment was first asked for with success, in the time that is shown.
    """

    began_s: array[float] = field(default_factory=lambda: array("d"))
    took_ms: array[float] = field(default_factory=lambda: array("d"))
    failures: Counter[str] = field(default_factory=Counter[str])
    failed_at: list[int] = field(default_factory=list[int])
    accepted: dict[int, float] = field(default_factory=dict[int, float])
    returned: Counter[int] = field(default_factory=Counter[int])
    _first: dict[str, int] = field(default_factory=dict[str, int])
    _uses: Counter[str] = field(default_factory=Counter[str])
    _met: set[str] = field(default_factory=set[str])
    _shared: dict[int, list[tuple[str, int]]] = field(default_factory=dict[int, list[tuple[str, int]]])

    @property
    def calls(self) -> int:
        """How many have come back."""
        return len(self.took_ms)

    def take(self, made: Iterable[Made], start_s: float | None) -> None:
        """Enters calls.

        Args:
            made: Which.
            start_s: When the load began, in monotonic time, if they were made in real time.
        """
        for one in made:
            payment, at_s = one.call.payment, one.call.due_s if start_s is None else one.began_s - start_s
            self.began_s.append(at_s)
            self.took_ms.append(one.took_s * 1000)
            for key in one.keys:
                self._name(key, payment)
            if one.error:
                self.failures[one.error] += 1
                self.failed_at.append(payment)
            else:
                self.returned[payment] += 1
                self.accepted.setdefault(payment, at_s)

    def shared(self, payment: int) -> list[tuple[str, int]]:
        """The keys that a payment shares with others, each with one of them; not those that are shared by very many."""
        most = max(_COMMON_LEAST, _COMMON_SHARE * self.calls)
        return [(key, other) for key, other in self._shared.get(payment, []) if self._uses[key] <= most]

    def _name(self, key: str, payment: int) -> None:
        first = self._first.setdefault(key, payment)
        self._uses[key] += 1
        if first != payment and self._uses[key] <= max(_COMMON_LEAST, _COMMON_SHARE * self.calls):
            self._shared.setdefault(payment, []).append((key, first))
            if key not in self._met:  # The first one may be the later one: processes tell of their calls one after the other.
                self._met.add(key)
                self._shared.setdefault(first, []).append((key, payment))


@dataclass(slots=True)
class Till:
    """A provider, and which payments came to it under which keys.

    Attributes:
        provider: The one that charges.
        collisions: Payments that came under the key of another one.
    """

    provider: Provider
    collisions: list[Collision] = field(default_factory=list[Collision])
    _payment_of: dict[str, str] = field(default_factory=dict[str, str])

    def answer(self, request: Request) -> object:
        """As the provider answers."""
        answer = self.provider.answer(request)
        key, payment = request.headers.get("idempotency-key"), self.provider.asked[-1].payment
        if key is not None and (first := self._payment_of.setdefault(key, payment)) != payment:
            self.collisions.append(Collision(payment, first, key, "the provider"))
        return answer

    def first_asked(self) -> dict[str, float]:
        """When each payment came for the first time, in the time of the load."""
        found: dict[str, float] = {}
        for asked in self.provider.asked:
            found.setdefault(asked.payment, asked.at_s)
        return found


@dataclass(slots=True)
class Settled:
    """What became of the payments.

    Attributes:
        collisions: Those that were dropped, or charged for another, because they shared a key.
        duplicates: How often each was charged that was charged more than once.
        lost: Those that were accepted, and neither charged nor set aside.
        set_aside: How many lie where people look.
        late_s: How long after it was due each was first asked for at the provider.
    """

    collisions: list[Collision] = field(default_factory=list[Collision])
    duplicates: dict[str, int] = field(default_factory=dict[str, int])
    lost: list[str] = field(default_factory=list[str])
    set_aside: int = 0
    late_s: list[float] = field(default_factory=list[float])

    @property
    def wrong(self) -> set[str]:
        """The payments that did not come out right."""
        return {*self.duplicates, *self.lost, *(one.payment for one in self.collisions)}


def settled(
    accounts: Accounts, till: Till, aside: frozenset[str], due_after_s: float, is_name: Callable[[str], bool]
) -> Settled:
    """What became of the payments, when all is done.

    Args:
        accounts: What the calls were told.
        till: What was charged.
        aside: The keys that were set aside.
        due_after_s: How long a payment waits for its first attempt.
        is_name: Whether a key of Redis can stand for a single thing, and is no collection.
    """
    charged, first = Counter(till.provider.charges), till.first_asked()
    found = Settled(list(till.collisions), {one: count for one, count in charged.items() if count > 1}, set_aside=len(aside))
    for payment, at_s in accounts.accepted.items():
        key = payment_key(payment)
        if key in first:
            found.late_s.append(max(0.0, first[key] - at_s - due_after_s))
        if not charged[key] and key not in aside and not (till.provider.never_charges and key in first):
            found.lost.append(key)
            shared = next((one for one in accounts.shared(payment) if is_name(one[0])), None)
            if shared is not None:
                found.collisions.append(Collision(key, payment_key(shared[1]), shared[0], "Redis"))
    return found


def payment_key(number: int) -> str:
    """What a payment is called."""
    return f"p{number}"
