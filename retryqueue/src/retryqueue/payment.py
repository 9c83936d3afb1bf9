"""A payment: what is charged, from whom, and the key that names it.

The key names the *payment*, not the call. A key made of the clock or of fresh randomness names the call: it lets two
payments of one user in one second collide, or never recognises a repeat. So the caller gives the key (the payment intent,
the order), or it is derived from declared fields that name the purchase.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from retryqueue.card_numbers import is_card_number
from retryqueue.currencies import DECIMAL_PLACES
from retryqueue.errors import InvalidPayment

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST_TEXT = 255
LARGEST_EXTRA_BYTES = 16_384
LARGEST_AMOUNT = 10**15

_WHAT_IS_CHARGED = ("user_id", "amount_minor", "currency", "payment_method_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One payment, checked when it is made.

    Attributes:
        key: Names the payment for ever: the payment intent or the order. 1 to 255 characters.
        user_id: Who pays. 1 to 255 characters.
        amount_minor: How much, in the currency's minor unit (4999 is 49.99 EUR, and 4999 JPY is 4999 yen).
        currency: An ISO 4217 code in capitals.
        payment_method_id: The provider's token. Never a card number. 1 to 255 characters.
        details: What else is paid for, as JSON; part of the payment, so that a repeat with other details is a conflict.
        context: What only accompanies this call, such as a trace id, as JSON; never compared.

    Raises:
        InvalidPayment: Naming every field that is missing, empty, too long or of a wrong type.
    """

    key: str
    user_id: str
    amount_minor: int
    currency: str
    payment_method_id: str = field(repr=False)
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)
    context: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if problems := _problems(self):
            raise InvalidPayment(problems)

    @classmethod
    def identified_by(cls, names: Sequence[str], fields: Mapping[str, Any]) -> Self:
        """The payment with these fields, whose key is derived from those that `names` declares.

        Fields that are no attributes of a payment become its details. The key is the same for the same values, whatever the
        order of the fields or the process that asks.

        Args:
            names: The fields that name the purchase, such as `("order_id",)`.
            fields: All fields of the payment, except `key`.

        Raises:
            InvalidPayment: If a declared field is missing, or all declared ones only say what is charged: two equal
                purchases would then be taken for one.
        """
        problems = [f"{name} names the payment, but is missing" for name in names if fields.get(name) in {None, ""}]
        if set(names) <= {*_WHAT_IS_CHARGED, "context"}:
            problems.append(
                f"a key of {', '.join(names) or 'no field'} takes two equal purchases for one; declare a field that names the "
                "purchase, such as an order's id"
            )
        if problems:
            raise InvalidPayment(problems)
        named = {name: fields[name] for name in sorted(set(names))}
        return cls.from_fields(fingerprint(named).hex(), fields)

    @classmethod
    def from_fields(cls, key: str, fields: Mapping[str, Any]) -> Self:
        """The payment with this key and these fields; what is no attribute of a payment becomes one of its details.

        Raises:
            InvalidPayment: As the constructor; a missing field is named like a bad one.
        """
        details = {**_mapping(fields.get("details")), **{n: v for n, v in fields.items() if n not in cls.__slots__}}
        given = {name: fields.get(name) for name in _WHAT_IS_CHARGED}
        return cls(key=key, **given, details=details, context=fields.get("context", {}))  # type: ignore[arg-type]

    @property
    def fingerprint(self) -> bytes:
        """16 bytes that are the same for the same payment, whatever accompanies it."""
        return fingerprint([self.user_id, self.amount_minor, self.currency, self.payment_method_id, dict(self.details)])

    def to_json(self) -> bytes:
        """Everything but the key, as a JSON list: the form in which a payment is stored."""
        values = [self.user_id, self.amount_minor, self.currency, self.payment_method_id]
        extras = [dict(self.details), dict(self.context)]
        return json.dumps(values + extras, separators=(",", ":"), ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, key: str, stored: bytes) -> Self:
        """The payment from its stored form.

        Raises:
            InvalidPayment: If the bytes are no such form.
        """
        try:
            user_id, amount_minor, currency, payment_method_id, details, context = json.loads(stored)
        except (ValueError, TypeError) as error:
            raise InvalidPayment([f"not the stored form of a payment: {error}"]) from None
        return cls(
            key=key,
            user_id=user_id,
            amount_minor=amount_minor,
            currency=currency,
            payment_method_id=payment_method_id,
            details=details,
            context=context,
        )


def fingerprint(value: object) -> bytes:
    """16 bytes of SHA-256 over the canonical JSON of a value: sorted names, no spaces, text as it is."""
    return hashlib.sha256(_json(value)).digest()[:16]


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _problems(payment: Payment) -> list[str]:
    """A sentence for each bad field."""
    found = [_text_problem(name, getattr(payment, name)) for name in ("key", "user_id", "payment_method_id")]
    found += [_amount_problem(payment.amount_minor), _currency_problem(payment.currency), _card_problem(payment)]
    found += [_extra_problem(name, getattr(payment, name)) for name in ("details", "context")]
    return [problem for problem in found if problem]


def _text_problem(name: str, value: object) -> str | None:
    if value is None:
        return f"{name} is missing"
    if not isinstance(value, str):
        return f"{name} must be text, found {type(value).__name__}"
    if not value.strip():
        return f"{name} is empty"
    if len(value) > LONGEST_TEXT:
        return f"{name} may have {LONGEST_TEXT} characters, found {len(value)}"
    if not value.isprintable():
        return f"{name} holds characters that cannot be printed"
    return None


def _amount_problem(value: object) -> str | None:
    if value is None:
        return "amount_minor is missing"
    if isinstance(value, bool) or not isinstance(value, int):
        return f"amount_minor must be a whole number of the currency's minor unit, found {type(value).__name__} {value!r:.40}"
    if not 0 < value <= LARGEST_AMOUNT:
        return f"amount_minor must be from 1 to {LARGEST_AMOUNT}, found {value:.6g}"
    return None


def _currency_problem(value: object) -> str | None:
    if value is None:
        return "currency is missing"
    if not isinstance(value, str) or value not in DECIMAL_PLACES:
        return f"currency must be an ISO 4217 code in capitals, such as EUR, found {value!r:.40}"
    return None


def _card_problem(payment: Payment) -> str | None:
    value = payment.payment_method_id
    if isinstance(value, str) and is_card_number(value):  # pyright: ignore[reportUnnecessaryIsInstance] - callers err.
        return "payment_method_id is a card number; give the provider's token for it"
    return None


def _extra_problem(name: str, value: object) -> str | None:
    if not isinstance(value, Mapping):
        return f"{name} must be a mapping, found {type(value).__name__}"
    try:
        size = len(_json(dict(value)))  # pyright: ignore[reportUnknownArgumentType] - any mapping; JSON tells.
    except (TypeError, ValueError) as error:
        return f"{name} must be JSON: {error}"
    if size > LARGEST_EXTRA_BYTES:
        return f"{name} may take {LARGEST_EXTRA_BYTES} bytes as JSON, found {size}"
    return None
