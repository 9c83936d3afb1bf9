"""Account models, ported from the Prisma schema of the TypeScript service."""

import uuid
from datetime import UTC, datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from shop.database import Base

DEFAULT_LOCALE = "en"


class User(Base):
    """A registered user.

    Prisma: ``id String @id @default(uuid())``.
    """

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=str(uuid.uuid4()))
    email: Mapped[str] = mapped_column(String(254), unique=True)
    token_digest: Mapped[str] = mapped_column(String(64), unique=True)

    profile: Mapped["Profile"] = relationship(back_populates="user")


class Profile(Base):
    """What a user tells about themselves.

    Prisma: ``userId String @id``, ``locale String @default("en")``, ``createdAt DateTime @default(now())``.
    """

    __tablename__ = "profiles"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    display_name: Mapped[str] = mapped_column(String(80))
    locale: Mapped[str] = mapped_column(String(8), default=DEFAULT_LOCALE)
    created_at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC))

    user: Mapped[User] = relationship(back_populates="profile")
