"""What one attempt to charge has told: paid, declined, or nothing that one could rely on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The provider has taken the money.

    Attributes:
        reference: The provider's name for the charge, kept as long as the key and given to whoever asks again.
    """

    reference: str


@dataclass(frozen=True, slots=True)
class Declined:
    """The provider has said no: no money has moved, and none will move under this idempotency key.

    Attributes:
        reason: The provider's reason, such as `insufficient_funds`.
        final: Whether trying again is pointless or forbidden (a stolen card).
    """

    reason: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """Money may have moved: a timeout, a lost reply, an error of the provider. Asked again under the same key.

    Attributes:
        reason: What is known, such as `HTTP 500`.
    """

    reason: str


Outcome = Succeeded | Declined | Ambiguous


def from_reply(status: int, body: Mapping[str, Any], *, is_first: bool = False) -> Outcome:
    """What an answer in the manner of Stripe means.

    Only what the provider has carried out under this key is a success or a decline. A refusal that comes before it looks
    the key up, such as a malformed request, says nothing of an earlier attempt, which may have charged.

    Args:
        status: The HTTP status.
        body: The decoded JSON body; empty if there is none.
        is_first: Whether nothing was sent under this key before: `lease.is_first`.

    Source: Stripe's pages on idempotent requests, errors, decline codes and advice codes. Where these leave open whether to
        try again, as with `generic_decline`, it is tried again.
    """
    found = body.get("error")
    error = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    reason = str(error.get("decline_code") or error.get("code") or error.get("type") or f"HTTP {status}")
    match status, error.get("type"):
        case 200 | 201, None if body.get("id") and body.get("status") == "succeeded" and body.get("captured") is not False:
            return Succeeded(str(body["id"]))
        case 402, "card_error" if reason != "duplicate_transaction":
            return Declined(reason, final=_is_final(error.get("advice_code"), reason))
        case 400 | 404 | 422, "invalid_request_error" if is_first:
            return Declined(reason, final=True)
        case _:
            return Ambiguous(f"HTTP {status}: {reason}")


def _is_final(advice: object, reason: str) -> bool:
    """The advice is the card issuer's word on this very charge, so it goes before what a code means in general."""
    return advice in _FINAL_ADVICE or (advice is None and reason in _FINAL_CODES)


_FINAL_ADVICE = {"do_not_try_again", "confirm_card_data"}
# The card will not do, or its owner must act first.
_FINAL_CODES = frozenset(
    """
    authentication_required card_decline_rate_limit_exceeded card_not_supported currency_not_supported do_not_try_again
    expired_card fraudulent highest_risk_level incorrect_address incorrect_cvc incorrect_number incorrect_pin incorrect_zip
    invalid_account invalid_amount invalid_cvc invalid_expiry_month invalid_expiry_year invalid_number invalid_pin
    live_mode_test_card lost_card merchant_blacklist new_account_information_available not_permitted
    offline_pin_required online_or_offline_pin_required pickup_card pin_try_exceeded restricted_card
    revocation_of_all_authorizations revocation_of_authorization security_violation service_not_allowed stolen_card
    stop_payment_order testmode_decline transaction_not_allowed
    """.split()
)
