"""The payment provider: one charge, one idempotency key, three answers: charged, declined, or nobody knows.

The provider answers a repeated key with what it answered first, so a charge whose outcome is unknown is asked for again
with the same key and is made at most once.
"""

from dataclasses import asdict, dataclass
from http import HTTPStatus

import httpx

from shop.metrics import PAYMENTS

TIMEOUT_S = 5.0


class PaymentDeclined(Exception):
    """The provider refused, and will refuse this key again."""


class OutcomeUnknown(Exception):
    """The charge may have been made or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What to take, and from where."""

    amount_minor: int
    currency: str
    payment_method_id: str


class Provider:
    """A client of the provider's API."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def charge(self, charge: Charge, *, idempotency_key: str) -> None:
        """Returns if the charge was made. Raises PaymentDeclined or OutcomeUnknown."""
        try:
            answer = self._http.post(
                "/charges", json=asdict(charge), headers={"Idempotency-Key": idempotency_key}, timeout=TIMEOUT_S
            )
        except httpx.TransportError as error:
            PAYMENTS.labels("unknown").inc()
            raise OutcomeUnknown("no answer") from error
        match answer.status_code:
            case HTTPStatus.OK | HTTPStatus.CREATED:
                PAYMENTS.labels("charged").inc()
            case HTTPStatus.PAYMENT_REQUIRED:
                PAYMENTS.labels("declined").inc()
                raise PaymentDeclined
            case other:
                PAYMENTS.labels("unknown").inc()
                raise OutcomeUnknown(f"answered {other}")


def open_provider(url: str, key: str) -> Provider:
    """A client of the provider at this URL, with our secret key."""
    return Provider(httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=TIMEOUT_S))
