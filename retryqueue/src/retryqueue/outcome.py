"""What one attempt to charge has told: paid, declined, or nothing that one could rely on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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


def from_reply(status: int, body: Mapping[str, Any]) -> Outcome:
    """What an answer in the manner of Stripe means.

    Only an answer that says so is a success or a decline; everything else leaves open whether money has moved.

    Args:
        status: The HTTP status.
        body: The decoded JSON body; empty if it could not be decoded.

    Source: Stripe's documentation of idempotent requests, errors, decline codes and advice codes.
    """
    error = body.get("error")
    error = error if isinstance(error, dict) else {}
    reason = str(error.get("decline_code") or error.get("code") or error.get("type") or f"HTTP {status}")
    match status:
        case 200 | 201 if body.get("id") and (body.get("paid") is True or body.get("status") == "succeeded"):
            return Succeeded(str(body["id"]))
        case 402:
            return Declined(reason, final=error.get("advice_code") in _FINAL_ADVICE or reason in _FINAL_CODES)
        case 400 | 404 | 422 if error.get("type") in {"invalid_request_error", "card_error"}:
            return Declined(reason, final=True)  # Refused before anything was tried; it will be refused again.
        case _:
            return Ambiguous(f"HTTP {status}: {reason}")


_FINAL_ADVICE = {"do_not_try_again", "confirm_card_data"}
_FINAL_CODES = frozenset(
    "authentication_required currency_not_supported expired_card fraudulent incorrect_cvc incorrect_number invalid_account "
    "invalid_amount invalid_cvc invalid_expiry_month invalid_expiry_year invalid_number live_mode_test_card lost_card "
    "merchant_blacklist new_account_information_available pickup_card restricted_card revocation_of_all_authorizations "
    "revocation_of_authorization security_violation stolen_card stop_payment_order testmode_decline transaction_not_allowed".split()
)
