"""What became of each call and of each payment, as it was seen from outside of the module."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from math import isnan, nan
from operator import add
from typing import TYPE_CHECKING

from interlock.prove.provider import DECLINED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

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
        took_ms: How long each took from then on, in the same order.
        waited_ms: How long each waited before, since it was due, in real time: whoever calls waits for that as well.
        failures: What calls raised, and how often.
        failed_at: The payments of the calls that raised.
        accepted_s: By payment: when it was first asked for with success, in the time that is shown; no number, if it was not.
        returned: By payment: how many calls for it came back.
        later: What calls raised that were made when the load was over.
    """

    began_s: array[float] = field(default_factory=lambda: array("d"))
    took_ms: array[float] = field(default_factory=lambda: array("d"))
    waited_ms: array[float] = field(default_factory=lambda: array("d"))
    failures: Counter[str] = field(default_factory=Counter[str])
    failed_at: set[int] = field(default_factory=set[int])
    accepted_s: array[float] = field(default_factory=lambda: array("d"))
    returned: array[int] = field(default_factory=lambda: array("L"))
    later: Counter[str] = field(default_factory=Counter[str])
    # Of keys: the payment whose call named it first, the next one that did, and how often it was named since by others.
    _first: dict[str, int] = field(default_factory=dict[str, int])
    _second: dict[str, int] = field(default_factory=dict[str, int])
    _uses: Counter[str] = field(default_factory=Counter[str])
    _shared: dict[int, tuple[str, ...]] = field(default_factory=dict[int, "tuple[str, ...]"])

    @property
    def calls(self) -> int:
        """How many have come back."""
        return len(self.took_ms)

    @property
    def payments(self) -> int:
        """How many were asked for."""
        return sum(1 for _ in self.accepted()) + sum(1 for one in self.failed_at if isnan(self.accepted_s[one]))

    def accepted(self) -> Iterator[tuple[int, float]]:
        """The payments that were asked for with success, and when for the first time."""
        return ((payment, at_s) for payment, at_s in enumerate(self.accepted_s) if not isnan(at_s))

    def is_asked_for(self, key: str) -> bool:
        """Whether a payment of this name was asked for."""
        number = int(key[1:]) if key[1:].isdecimal() else -1
        if not 0 <= number < len(self.returned) or payment_key(number) != key:
            return False
        return self.returned[number] > 0 or number in self.failed_at

    @property
    def begun_within_s(self) -> float:
        """Within what time all calls were begun."""
        return max(self.began_s) - min(self.began_s) if self.began_s else 0.0

    @property
    def latency_ms(self) -> array[float]:
        """How long each call took since it was due."""
        return array("d", map(add, self.waited_ms, self.took_ms))

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
            self.waited_ms.append(max(0.0, at_s - one.call.due_s) * 1000)  # In shown time, none.
            for key in one.keys:
                self._name(key, payment)
            while len(self.returned) <= payment:
                self.returned.append(0)
                self.accepted_s.append(nan)
            if one.error:
                self.failures[one.error] += 1
                self.failed_at.add(payment)
            else:
                self.returned[payment] += 1
                if isnan(self.accepted_s[payment]):
                    self.accepted_s[payment] = at_s

    def hear_of(self, made: Iterable[Made]) -> None:
        """Notes what went wrong in calls that are no part of the load."""
        self.later.update(one.error for one in made if one.error)

    def shared(self, payment: int) -> list[tuple[str, int]]:
        """The keys that a payment shares with others, each with one of them; not those that are shared by very many."""
        keys = [key for key in self._shared.get(payment, ()) if not self._is_common(key)]
        return [(key, self._second[key] if self._first[key] == payment else self._first[key]) for key in keys]

    def _name(self, key: str, payment: int) -> None:
        first = self._first.setdefault(key, payment)
        if first == payment:
            return
        self._uses[key] += 1
        if not self._is_common(key):
            self._share(key, payment)
            if key not in self._second:  # The first one may be the later one: processes tell of their calls in turn.
                self._second[key] = payment
                self._share(key, first)

    def _is_common(self, key: str) -> bool:
        return self._uses[key] > max(_COMMON_LEAST, _COMMON_SHARE * self.calls)

    def _share(self, key: str, payment: int) -> None:
        known = self._shared.get(payment, ())
        if key not in known:
            self._shared[payment] = (*known, key)


@dataclass(slots=True)
class Till:
    """A provider, and which payments came to it under which keys.

    Attributes:
        provider: The one that charges.
        attempts: How often it is asked at most before a payment is given up; None if there is no limit.
        due_after_s: How long a payment waits for its first attempt.
        collisions: Payments that came under the key of another one, by payment.
    """

    provider: Provider
    attempts: int | None = None
    due_after_s: float = 0.0
    collisions: dict[str, Collision] = field(default_factory=dict[str, Collision])

    def answer(self, request: Request) -> object:
        """As the provider answers."""
        key = request.headers.get("idempotency-key")
        first = self.provider.payment_under(key) if key is not None else None
        answer, payment = self.provider.answer(request), self.provider.asked[-1].payment
        if key is not None and first is not None and first != payment:
            self.collisions.setdefault(payment, Collision(payment, first, key, "the provider"))
        return answer

    def unmet(self) -> list[str]:
        """The moods of the provider in which no payment was met."""
        provider = self.provider
        if len(provider.moods) < 2:  # noqa: PLR2004 - where there is one, all are met in it.
            return []
        met = {provider.mood_for(one.payment) for one in provider.asked}
        return [mood for mood in provider.moods if mood not in met]

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
        strange: Those that were charged, though nobody asked for them.
        lost: Those that were accepted, and neither charged nor set aside.
        set_aside: How many lie where people look.
        unpaid: Those of them that no provider has declined or charged.
        charged_and_dead: Those that were charged, and given up.
        given_up_after: How often the provider was asked for each that was given up too soon.
        asked_too_often: How often it was asked for each that it was asked for more often than is allowed.
        late_s: How long after it was due each was first asked for at the provider.
        unmet: The moods of the provider in which it has met no payment.
    """

    collisions: list[Collision] = field(default_factory=list[Collision])
    duplicates: dict[str, int] = field(default_factory=dict[str, int])
    strange: list[str] = field(default_factory=list[str])
    lost: list[str] = field(default_factory=list[str])
    set_aside: int = 0
    unpaid: list[str] = field(default_factory=list[str])
    charged_and_dead: list[str] = field(default_factory=list[str])
    given_up_after: dict[str, int] = field(default_factory=dict[str, int])
    asked_too_often: dict[str, int] = field(default_factory=dict[str, int])
    late_s: array[float] = field(default_factory=lambda: array("d"))
    unmet: list[str] = field(default_factory=list[str])

    @property
    def wrong(self) -> set[str]:
        """The payments that did not come out right."""
        collided = (one.payment for one in self.collisions)
        return {*self.duplicates, *self.lost, *self.unpaid, *self.charged_and_dead, *collided}


def certain(till: Till) -> Settled:
    """What is wrong already, whatever is still to be done."""
    found = Settled(list(till.collisions.values()))
    found.duplicates = {one: count for one, count in Counter(till.provider.charges).items() if count > 1}
    if (most := till.attempts) is not None:
        answered = Counter(one.payment for one in till.provider.asked if not one.is_repeat)
        found.asked_too_often = {one: count for one, count in answered.items() if count > most}
    return found


def settled(
    accounts: Accounts, till: Till, dead: frozenset[str], unsure: frozenset[str], is_name: Callable[[str], bool]
) -> Settled:
    """What became of the payments, when all is done.

    Args:
        accounts: What the calls were told.
        till: What was charged.
        dead: The keys that were given up.
        unsure: The keys that people must look into.
        is_name: Whether a key of Redis can stand for a single thing, and is no collection.
    """
    charged, first, aside = set(till.provider.charges), till.first_asked(), dead | unsure

    def is_still_tried(key: str) -> bool:
        return till.attempts is None and key in first and till.provider.never_charges_for(key)

    found = certain(till)
    found.set_aside, found.unmet = len(aside), till.unmet()
    found.strange = sorted(one for one in charged if not accounts.is_asked_for(one))
    _add_given_up(found, till, dead, unsure)
    for payment, at_s in accounts.accepted():
        key = payment_key(payment)
        if key in first:
            found.late_s.append(max(0.0, first[key] - at_s - till.due_after_s))
        if key not in charged and key not in aside and not is_still_tried(key):
            found.lost.append(key)
            shared = next((one for one in accounts.shared(payment) if is_name(one[0])), None)
            if shared is not None:
                found.collisions.append(Collision(key, payment_key(shared[1]), shared[0], "Redis"))
    return found


def _add_given_up(found: Settled, till: Till, dead: frozenset[str], unsure: frozenset[str]) -> None:
    """What is wrong with the payments that were set aside."""
    charged = set(till.provider.charges)
    declined = {one.payment for one in till.provider.asked if one.status == DECLINED}
    found.unpaid = sorted((dead | unsure) - charged - declined)
    found.charged_and_dead = sorted(dead & charged)
    if (most := till.attempts) is not None:
        answered = Counter(one.payment for one in till.provider.asked if not one.is_repeat)
        found.given_up_after = {one: answered[one] for one in sorted(dead - charged) if answered[one] < most}


def payment_key(number: int) -> str:
    """What a payment is called."""
    return f"p{number}"
