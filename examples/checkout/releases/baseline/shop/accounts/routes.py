"""The HTTP side of accounts: `POST /sign-up`, and who is asking."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, status
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field

from shop.accounts.models import User
from shop.accounts.sign_up import EmailTaken, sign_up, user_of
from shop.context import CurrentShop

router = APIRouter()
bearer = HTTPBearer()


class SignUp(BaseModel):
    """What a visitor fills in."""

    email: str = Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)


class SignedUp(BaseModel):
    """What the new user gets."""

    user_id: str
    token: str


@router.post("/sign-up", status_code=status.HTTP_201_CREATED)
def post_sign_up(form: SignUp, shop: CurrentShop) -> SignedUp:
    """Makes an account."""
    try:
        account = sign_up(shop.sessions, form.email)
    except EmailTaken:
        raise HTTPException(status.HTTP_409_CONFLICT, "this address has an account") from None
    return SignedUp(user_id=account.user_id, token=account.token)


def current_user(credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)], shop: CurrentShop) -> User:
    """The user whose token came with the request."""
    user = user_of(shop.sessions, credentials.credentials)
    if user is None:
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "unknown token", {"WWW-Authenticate": "Bearer"})
    return user


CurrentUser = Annotated[User, Depends(current_user)]
