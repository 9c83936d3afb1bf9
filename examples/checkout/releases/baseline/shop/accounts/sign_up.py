"""Signing up gives a token; the token is the only way to act as that user, and only its digest is stored."""

import hashlib
import secrets
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from shop.accounts.models import User
from shop.database import Sessions
from shop.metrics import SIGN_UPS


class EmailTaken(Exception):
    """Somebody signed up with this address before."""


@dataclass(frozen=True, slots=True)
class NewAccount:
    """A user, and the token that is shown to them this one time."""

    user_id: str
    token: str = field(repr=False)


def sign_up(sessions: Sessions, email: str) -> NewAccount:
    """Makes the account of this address. Raises EmailTaken if it has one."""
    token = secrets.token_urlsafe(32)
    user = User(email=email.strip().lower(), token_digest=digest(token))
    with sessions() as session:
        session.add(user)
        try:
            session.commit()
        except IntegrityError:
            session.rollback()
            if session.scalar(select(User.id).where(User.email == user.email)):
                raise EmailTaken from None
            raise
    SIGN_UPS.inc()
    return NewAccount(user.id, token)


def user_of(sessions: Sessions, token: str) -> User | None:
    """The user who was given this token."""
    with sessions() as session:
        return session.scalar(select(User).where(User.token_digest == digest(token)))


def digest(token: str) -> str:
    """What is stored of a token. It is 256 random bits, so a fast hash without salt is enough."""
    return hashlib.sha256(token.encode()).hexdigest()
