"""What a request may use: the database, the payment provider and the retry queue."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from shop.database import Sessions
from shop.payments.provider import Provider
from shop.payments.retry_queue import PaymentRetryQueue


@dataclass(frozen=True, slots=True)
class Shop:
    """One running shop."""

    sessions: Sessions
    provider: Provider
    retries: PaymentRetryQueue


async def current_shop(request: Request) -> Shop:
    """The shop that the request came to. It waits for nothing, so it needs no thread of its own."""
    shop: Shop = request.app.state.shop
    return shop


CurrentShop = Annotated[Shop, Depends(current_shop)]
