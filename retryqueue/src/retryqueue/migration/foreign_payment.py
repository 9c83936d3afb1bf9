"""What another queue has stored, read as payments: bytes in, a payment or every reason against it out; no server here.

Nothing is guessed. An amount is taken exactly or not at all, a name that stands twice in one object is a fault, and what the
old queue changed between two attempts (counts, times, trace ids) does not take part in saying which payment this is.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from types import MappingProxyType
from typing import Any, Literal, cast

from retryqueue.currencies import DECIMAL_PLACES
from retryqueue.errors import InvalidPayment
from retryqueue.migration.names import hints
from retryqueue.payment import Payment

AmountUnit = Literal["minor", "major"]

# What a payment is read from, under our names; `amount` is in the unit that is declared.
OURS = ("user_id", "amount", "currency", "payment_method_id", "retry_count")
# What accompanies an attempt and does not say what is paid for. Kept, but never compared.
VOLATILE = frozenset(
    """
    retry_count retries attempt attempts max_retries idempotency_key enqueued_at queued_at timestamp created_at updated_at
    scheduled_at due_at next_retry_at last_attempt_at last_error trace_id span_id traceparent request_id correlation_id
    """.split()
)

# Any amount that a payment may have fits; more digits cannot be exact.
_EXACT = Context(prec=60, traps=[Inexact, InvalidOperation, Overflow, DivisionByZero])
_MOST_DIGITS = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How another queue writes a payment, as a JSON object.

    Attributes:
        key: The field whose text is the payment's key, as in `Payment(key=order_id)`.
        identity: The fields that name the purchase, as in `Payment.identified_by(("order_id",), ...)`. With neither of the
            two, the key is made of everything but the volatile fields.
        fields: Our names (`OURS`) to the old queue's, where they differ.
        amount_unit: Whether amounts are in the currency's minor unit (4999) or its major one (49.99).
        context: Further fields that are volatile.

    Raises:
        ValueError: If that cannot name payments.
    """

    key: str | None = None
    identity: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict[str, str])
    amount_unit: AmountUnit = "minor"
    context: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = sorted(set(self.fields) - set(OURS))
        if unknown:
            raise ValueError(f"no field of a payment: {', '.join(unknown)}; there are {', '.join(OURS)}")
        if self.key is not None and self.identity:
            raise ValueError("say either the field that is the key, or the fields that name the purchase")
        naming = {self.key} if self.key is not None else set(self.identity)
        if bad := sorted(naming & {*VOLATILE, *self.context, "key", "context", "details"}):
            raise ValueError(
                f"{', '.join(bad)} cannot name a payment: it is not the same for every attempt, or is our own name"
            )
        if naming and naming <= {*(self.theirs[name] for name in OURS), *OURS, "amount_minor"}:
            raise ValueError(
                f"{', '.join(sorted(naming))} takes two equal purchases for one; name a field such as an order's id"
            )

    @property
    def theirs(self) -> Mapping[str, str]:
        """The old queue's name of each of ours."""
        usual = {name: name for name in OURS} | {"amount": "amount_minor" if self.amount_unit == "minor" else "amount"}
        return MappingProxyType({**usual, **self.fields})

    def payment(self, fields: Mapping[str, Any], origin: Mapping[str, Any]) -> Payment:
        """The payment that these fields describe.

        Args:
            fields: As `json_object` gives them.
            origin: Where it comes from; kept in the payment's context, under `migrated`, beside the volatile fields.

        Raises:
            InvalidPayment: With everything that is wrong.
            RecursionError: If its details are nested too deeply.
        """
        theirs = self.theirs
        ours = {name: fields.get(theirs[name]) for name in ("user_id", "currency", "payment_method_id")}
        ours["currency"] = _capitals(ours["currency"])
        ours["amount_minor"], problems = self._amount(fields.get(theirs["amount"]), ours["currency"])
        rest = {name: _plain(value) for name, value in fields.items() if name not in {theirs[name] for name in OURS}}
        kept = {name: rest.pop(name) for name in sorted({*VOLATILE, *self.context} & rest.keys())}
        if theirs["retry_count"] in fields:
            kept[theirs["retry_count"]] = _plain(fields[theirs["retry_count"]])
        context = {"migrated": {**origin, **({"fields": kept} if kept else {})}}
        try:
            payment = self._named(ours, rest, context)
        except InvalidPayment as error:
            raise InvalidPayment([*problems, *error.problems, *hints(fields, theirs, self.amount_unit)]) from None
        if problems:
            raise InvalidPayment(problems)
        return payment

    def was_attempted(self, fields: Mapping[str, Any]) -> bool:
        """Whether the old queue says that it has tried this payment."""
        return fields.get(self.theirs["retry_count"]) not in (None, 0, "0", "")

    def _named(self, ours: dict[str, Any], rest: dict[str, Any], context: dict[str, Any]) -> Payment:
        """The payment with its key."""
        if self.key is not None:
            key = self._key(rest.pop(self.key, None))
        elif self.identity:
            named = {name: rest[name] for name in self.identity if name in rest}
            for name in self.identity:
                _naming_text(name, {**ours, **named}.get(name))
            key = Payment.identified_by(self.identity, {**ours, **named}).key
        else:
            payment = Payment(key="migrated", **ours, details=rest, context=context)
            return replace(payment, key=f"migrated-{payment.fingerprint.hex()}")
        return Payment(key=key, **ours, details=rest, context=context)

    def _key(self, value: Any) -> str:
        if value is None:
            without = "without --key, equal members are one payment"
            raise InvalidPayment([f"{self.key} names the payment, but is missing; {without}"])
        return _naming_text(str(self.key), value)

    def _amount(self, value: Any, currency: object) -> tuple[Any, list[str]]:
        """The amount in minor units and what is wrong with it; then 1 stands for it, so that the other fields are looked at."""
        places = 0 if self.amount_unit == "minor" else DECIMAL_PLACES.get(currency) if isinstance(currency, str) else None
        if value is None or places is None:  # The payment itself will say what is wrong.
            return (None if value is None else 1), []
        try:
            return _minor_units(value, places), []
        except ValueError as error:
            return 1, [f"{self.theirs['amount']}: {error}"]


def json_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in these bytes; its numbers with a point or an exponent as `Decimal`, digit for digit.

    Raises:
        InvalidPayment: If they are none, or a name stands twice in an object, or a number is none (NaN).
        RecursionError: If it is nested too deeply.
    """
    try:
        value = json.loads(
            raw.decode("utf-8"), parse_float=Decimal, parse_constant=_no_number, object_pairs_hook=_without_repeats
        )
    except UnicodeDecodeError as error:
        raise InvalidPayment([f"not text in UTF-8: byte {error.start}"]) from None
    except (ValueError, InvalidOperation) as error:
        raise InvalidPayment([f"not JSON that names each field once: {error}"]) from None
    if not isinstance(value, dict):
        raise InvalidPayment([f"a payment is a JSON object, found {type(value).__name__}"])
    return cast("dict[str, Any]", value)


def _minor_units(value: Any, places: int) -> int:
    """The exact number of minor units.

    Raises:
        ValueError: If there is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise ValueError(f"must be a number, found {type(value).__name__}")  # noqa: TRY004 - what is foreign is data.
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ValueError(f"{value!r:.40} is no number") from None
    if not number.is_finite() or number.adjusted() > _MOST_DIGITS:
        raise ValueError(f"{value!s:.40} is no amount")
    try:
        minor = _EXACT.multiply(number, Decimal(10) ** places)
    except Inexact:
        minor = Decimal("0.5")
    if minor != minor.to_integral_value():
        raise ValueError(f"{value!s:.40} is not exact in {places} decimal places, and is not rounded")
    return int(minor)


def _capitals(currency: Any) -> Any:
    """Some write `eur`; there is no other currency that this could be."""
    return currency.upper() if isinstance(currency, str) and currency.upper() in DECIMAL_PLACES else currency


def _naming_text(name: str, value: Any) -> str:
    if value is None or value == "":
        raise InvalidPayment([f"{name} names the payment, but is missing"])
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InvalidPayment([f"{name} names the payment and must be text or a whole number, found {type(value).__name__}"])
    if not str(value).isprintable():
        raise InvalidPayment([f"{name} holds characters that cannot be printed"])
    return str(value)


def _plain(value: object) -> Any:
    """The value as JSON can hold it: a number with a point as one if that is exact, else as text."""
    if isinstance(value, Decimal):
        number = float(value)
        return number if Decimal(repr(number)) == value else str(value)
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list):
        return [_plain(part) for part in cast("list[object]", value)]
    return value


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """One object. Of two values under one name, nobody knows which was meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        repeated = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{repeated!r:.40} stands twice in one object")
    return found
