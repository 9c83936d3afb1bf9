"""A payment: what is charged, from whom, and the key that names it.

The key names the *payment*, not the call. A key made of the clock or of fresh randomness names the call: it lets two
payments of one user in one second collide, or never recognises a repeat. So the caller gives the key (the payment intent,
the order), or it is derived from declared fields that name the purchase.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, cast

from retryqueue.card_numbers import is_card_number, without_card_numbers
from retryqueue.currencies import DECIMAL_PLACES
from retryqueue.errors import InvalidPayment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LONGEST_TEXT = 255
# Key, user and method of most payments, joined: visible ASCII that JSON leaves as it is, and a method that is no card number.
_PLAIN = re.compile(r"[!-~]{1,200} [!#-\[\]-~]{1,255} [A-Za-z][!#-\[\]-~]{0,254}")
# It is sent in a header, with a generation behind it, and providers take 255 characters.
_KEY = re.compile(r"[!-~]{1,200}")
# As stored; what is left for details and context, when all other fields are as long as they may be, is a round number.
LONGEST_REST = 4_096
LARGEST_BYTES = 16_384 + LONGEST_REST
LARGEST_AMOUNT = 10**15

_REQUIRED = ("user_id", "amount_minor", "currency", "payment_method_id")
_EXTRAS = ("details", "context")
_STORED = (*_REQUIRED, *_EXTRAS)
_NAMES = frozenset({"key", *_STORED})

_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
_NOTHING: Mapping[str, Any] = {}


def _quick_canonical() -> Callable[[object], str]:
    """The same as `_canonical`, which makes itself anew for every value; that takes as long as the rest.

    Where this Python has no such encoder in C, it is `_canonical`. A circle is found by the depth that it comes to.
    """
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    try:
        # No markers, no default, no indentation; sorted keys, none skipped, no NaN.
        encode = make(None, None, json.encoder.encode_basestring, None, ":", ",", True, False, False)  # noqa: FBT003 - it takes no names.
    except TypeError:
        return _canonical
    return lambda value: "".join(encode(value, 0))


_quickly = _quick_canonical()


@dataclass(frozen=True, kw_only=True, init=False)
class Payment:
    """One payment, checked when it is made.

    Attributes:
        key: Names the payment for ever: the payment intent or the order. 1 to 200 visible ASCII characters, no blanks.
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
    details: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    context: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)

    def __init__(
        self,
        *,
        key: str,
        user_id: str,
        amount_minor: int,
        currency: str,
        payment_method_id: str,
        details: Mapping[str, Any] = _NOTHING,
        context: Mapping[str, Any] = _NOTHING,
    ) -> None:
        details = {} if details is _NOTHING else details
        context = {} if context is _NOTHING else context
        # Straight into its dictionary: the assignments of a frozen dataclass take longer than all of the checks.
        self.__dict__.update(
            key=key,
            user_id=user_id,
            amount_minor=amount_minor,
            currency=currency,
            payment_method_id=payment_method_id,
            details=details,
            context=context,
        )
        charged = _at_a_glance(key, user_id, amount_minor, currency, payment_method_id, details, context)
        if charged is not None:
            self.__dict__["what_is_charged"] = charged
        elif (problems := _field_problems(self)) or not _fits(self):
            raise InvalidPayment([without_card_numbers(problem) for problem in problems + _json_problems(self)])

    @classmethod
    def identified_by(cls, names: str | Sequence[str], fields: Mapping[str, Any]) -> Self:
        """The payment with these fields, whose key is derived from those that `names` declares.

        Fields that are no attributes of a payment become its details. The key is the same for the same values, whatever the
        order of the fields or the process that asks.

        Args:
            names: The field or fields that name the purchase, such as `("order_id",)`.
            fields: All fields of the payment, except `key`.

        Raises:
            InvalidPayment: If a declared field is missing, or all declared ones only say what is charged: two equal
                purchases would then be taken for one.
        """
        names = (names,) if isinstance(names, str) else names
        problems = [problem for name in names if (problem := _naming_problem(name, fields.get(name)))]
        if set(names) <= {*_REQUIRED, "context"}:
            problems.append(
                f"a key of {', '.join(names) or 'no field'} takes two equal purchases for one; declare a field that names the "
                "purchase, such as an order's id"
            )
        if problems:
            raise InvalidPayment(problems)
        # As text: the order 1041 is the same purchase, whether its caller kept the number as one or not.
        named = {name: str(fields[name]) for name in set(names)}
        return cls.from_fields(_digest(_canonical(named).encode()).hex(), fields)

    @classmethod
    def from_fields(cls, key: str, fields: Mapping[str, Any]) -> Self:
        """The payment with this key and these fields; what is no attribute of a payment becomes one of its details.

        Raises:
            InvalidPayment: As the constructor; a missing field is named like a bad one.
        """
        details, others = fields.get("details", {}), {n: v for n, v in fields.items() if n not in _NAMES}
        if isinstance(details, Mapping):  # Else the constructor says so.
            details = {**cast("Mapping[str, Any]", details), **others}
        given = {name: fields.get(name) for name in _REQUIRED}
        return cls(key=key, **given, details=details, context=fields.get("context", {}))  # type: ignore[arg-type]

    @cached_property
    def what_is_charged(self) -> bytes:
        """The canonical JSON of all that is compared when the key is used again: sorted names, no spaces, text as it is."""
        charged = [self.user_id, self.amount_minor, self.currency, self.payment_method_id, dict(self.details)]
        return _canonical(charged).encode()

    @property
    def fingerprint(self) -> bytes:
        """16 bytes that are the same for the same payment, whatever accompanies it."""
        return _digest(self.what_is_charged)

    def to_json(self) -> bytes:
        """Everything but the key, as a JSON list: the form in which a payment is stored."""
        context = _canonical(dict(self.context)).encode() if self.context else b"{}"
        return self.what_is_charged[:-1] + b"," + context + b"]"

    @classmethod
    def from_json(cls, key: str, stored: bytes) -> Self:
        """The payment from its stored form.

        Raises:
            InvalidPayment: If the bytes are no such form.
        """
        try:
            values: list[Any] = json.loads(stored)
            named: dict[str, Any] = dict(zip(_STORED, values, strict=True))
        except (ValueError, TypeError, RecursionError) as error:
            raise InvalidPayment([f"not the stored form of a payment: {error}"]) from None
        payment = object.__new__(cls)
        payment.__dict__.update(named, key=key)  # Its details came as JSON, and need no look at whether they can become it.
        if not _is_plain(key, *values) and (problems := _field_problems(payment)):
            raise InvalidPayment(problems)
        return payment


def _digest(canonical: bytes) -> bytes:
    return hashlib.sha256(canonical).digest()[:16]


def _is_plain(  # noqa: PLR0917 - a payment has as many fields.
    key: object, user_id: object, amount_minor: object, currency: object, method: object, details: object, context: object
) -> bool:
    """Whether a payment's fields are as most are, at a glance. The others are looked at one by one, which takes longer."""
    return (
        type(key) is str
        and type(user_id) is str
        and type(method) is str
        and _PLAIN.fullmatch(f"{key} {user_id} {method}") is not None
        and type(amount_minor) is int
        and 0 < amount_minor <= LARGEST_AMOUNT
        and type(currency) is str
        and currency in DECIMAL_PLACES
        and type(details) is dict
        and type(context) is dict
    )


def _at_a_glance(  # noqa: PLR0917 - likewise.
    key: str,
    user_id: str,
    amount_minor: int,
    currency: str,
    method: str,
    details: Mapping[str, Any],
    context: Mapping[str, Any],
) -> bytes | None:
    """What is charged, as `what_is_charged` has it, if the payment is as most are and can be stored; else nothing."""
    if not _is_plain(key, user_id, amount_minor, currency, method, details, context):
        return None
    try:
        charged = f'["{user_id}",{amount_minor},"{currency}","{method}",{_quickly(details) if details else "{}"}]'.encode()
        rest = len(_quickly(context).encode()) if context else len("{}")
    except (TypeError, ValueError, RecursionError):
        return None
    return charged if len(charged) + len(",") + rest <= LARGEST_BYTES else None


def _fits(payment: Payment) -> bool:
    """Whether a payment with good fields can be stored. Looks at what will be stored, which is made only once."""
    try:
        return len(payment.to_json()) <= LARGEST_BYTES
    except (TypeError, ValueError, RecursionError):
        return False


def _field_problems(payment: Payment) -> list[str]:
    """A sentence for each bad field; `details` and `context` are not looked into."""
    found = (
        _key_problem(payment.key),
        _text_problem("user_id", payment.user_id),
        _amount_problem(payment.amount_minor),
        _currency_problem(payment.currency),
        _method_problem(payment.payment_method_id),
        _mapping_problem("details", payment.details),
        _mapping_problem("context", payment.context),
    )
    return [problem for problem in found if problem]


def _naming_problem(name: str, value: object) -> str | None:
    if value is None:
        return f"{name} names the payment, but is missing"
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return f"{name} names the payment, so it must be text or a whole number, found {type(value).__name__}"
    return _text_problem(name, str(value))


def _key_problem(value: object) -> str | None:
    if isinstance(value, str) and _KEY.fullmatch(value):
        return None
    return _text_problem("key", value) or (
        "key must be 1 to 200 visible ASCII characters without blanks; Payment.identified_by makes one of any fields"
    )


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
        return f"amount_minor must be from 1 to {LARGEST_AMOUNT}, found {value if abs(value) < 10**30 else 'a far larger one'}"
    return None


def _currency_problem(value: object) -> str | None:
    if value is None:
        return "currency is missing"
    if not isinstance(value, str) or value not in DECIMAL_PLACES:
        return f"currency must be an ISO 4217 code in capitals, such as EUR, found {value!r:.40}"
    return None


def _method_problem(value: object) -> str | None:
    problem = _text_problem("payment_method_id", value)
    if problem is None and is_card_number(str(value)):
        return "payment_method_id is a card number; give the provider's token for it"
    return problem


def _mapping_problem(name: str, value: object) -> str | None:
    return None if isinstance(value, Mapping) else f"{name} must be a mapping, found {type(value).__name__}"


def _json_problems(payment: Payment) -> list[str]:
    """A sentence for each of `details` and `context` that is no JSON, or one if they take too much together."""
    found, size = list[str](), 0
    for name in _EXTRAS:
        value: Any = getattr(payment, name)
        try:
            size += len(_canonical(dict(value)).encode()) if _mapping_problem(name, value) is None else 0
        except (TypeError, ValueError, RecursionError) as error:
            found.append(f"{name} must be JSON: {error}")
    if size > LARGEST_BYTES - LONGEST_REST:
        found.append(f"details and context may take {LARGEST_BYTES - LONGEST_REST} bytes as JSON together, found {size}")
    return found
