"""The table of users."""

import uuid

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from shop.database import Base


class User(Base):
    """Somebody who signed up."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=lambda: str(uuid.uuid4()))
    email: Mapped[str] = mapped_column(String(254), unique=True)
    token_digest: Mapped[str] = mapped_column(String(64), unique=True)
