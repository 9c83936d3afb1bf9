"""What other queues call a payment's fields, so that a member that cannot be read tells which option would read it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# In the order in which they are looked for. Only looked for to be told: nothing is read from them unless it is said.
_AMOUNTS = ("amount", "amount_minor", "amount_cents", "price", "total")
_OTHERS = {
    "user_id": ("user", "customer_id", "customer", "account_id"),
    "currency": ("currency_code",),
    "payment_method_id": ("payment_method", "method_id", "card_id"),
}


def hints(fields: Mapping[str, Any], theirs: Mapping[str, str], amount_unit: str) -> list[str]:
    """For each field that is missing, which option would read it, if there is a field of a well-known other name.

    Args:
        fields: The member.
        theirs: Our names to those that were looked for.
        amount_unit: `minor` or `major`, as it was said.
    """
    found: list[str] = []
    if fields.get(theirs["amount"]) is None:
        name = next((name for name in _AMOUNTS if _can_be_amount(fields.get(name))), None)
        found += [_amount_hint(name, amount_unit)] if name else []
    for ours, known in _OTHERS.items():
        if fields.get(theirs[ours]) is None:
            name = next((name for name in (ours, *known) if _can_be_name(fields.get(name))), None)
            found += [f"there is {_a(name)}; give --field {ours}={name}"] if name else []
    return found


def _amount_hint(name: str, amount_unit: str) -> str:
    if amount_unit == "major":
        unit = " and --amount-unit minor" if name in {"amount_minor", "amount_cents"} else ""
        return f"there is {_a(name)}; give --field amount={name}{unit}"
    if name == "amount":
        return "there is an amount; give --amount-unit major, or --field amount=amount for minor units"
    unit = "" if name in {"amount_minor", "amount_cents"} else ", and --amount-unit major if it is in major units"
    return f"there is {_a(name)}; give --field amount={name}{unit}"


def _a(name: str) -> str:
    return f"{'an' if name[0] == 'a' else 'a'} {name}"


def _can_be_amount(value: Any) -> bool:
    return isinstance(value, int | str | Decimal) and not isinstance(value, bool) and value != ""


def _can_be_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""
