"""What a request may use: the database and the payment provider."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from shop.database import Sessions
from shop.payments.provider import Provider


@dataclass(frozen=True, slots=True)
class Shop:
    """One running shop."""

    sessions: Sessions
    provider: Provider


async def current_shop(request: Request) -> Shop:
    """The shop that the request came to. It waits for nothing, so it needs no thread of its own."""
    shop: Shop = request.app.state.shop
    return shop


CurrentShop = Annotated[Shop, Depends(current_shop)]
