"""Orders: what was ordered, what it costs, and whether it is paid.

A checkout makes one order, however often its button is pressed: the page makes a checkout id when it shows the form,
and the database holds one order for it.
"""

import uuid
from enum import StrEnum
from functools import cache

from sqlalchemy import ForeignKey, String, UniqueConstraint, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from shop.database import Base, Sessions

CURRENCY = "EUR"
PRICES_MINOR = {"assam": 450, "sencha": 620, "teapot": 3900}


class Status(StrEnum):
    """How far an order is."""

    PLACED = "placed"
    PAID = "paid"
    DECLINED = "declined"


class CheckoutChanged(Exception):
    """The same checkout came back with another order in it."""


class Order(Base):
    """Something that a user wants to buy."""

    __tablename__ = "orders"
    __table_args__ = (UniqueConstraint("user_id", "checkout_id"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=lambda: str(uuid.uuid4()))
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    checkout_id: Mapped[str] = mapped_column(String(36))
    sku: Mapped[str] = mapped_column(String(40))
    quantity: Mapped[int]
    amount_minor: Mapped[int]
    payment_method_id: Mapped[str] = mapped_column(String(64))
    status: Mapped[Status] = mapped_column(default=Status.PLACED)

    def wants_the_same_as(self, other: "Order") -> bool:
        """Whether both are the same purchase, paid the same way."""
        return (self.sku, self.quantity, self.payment_method_id) == (other.sku, other.quantity, other.payment_method_id)


def place(sessions: Sessions, order: Order) -> Order:
    """Stores the order; if its checkout has one already, gives that. Raises CheckoutChanged if the two differ."""
    session = _session_of(sessions, order.checkout_id)
    session.add(order)
    try:
        session.commit()
    except IntegrityError:
        session.rollback()
        earlier = session.scalar(select(Order).filter_by(user_id=order.user_id, checkout_id=order.checkout_id))
        if earlier is None:
            raise
        if not earlier.wants_the_same_as(order):
            raise CheckoutChanged from None
        return earlier
    session.refresh(order)
    return order


@cache
def _session_of(sessions: Sessions, checkout_id: str) -> Session:  # noqa: ARG001 - what the cache tells them apart by.
    """One session for all presses of a button, so that they see what the first one stored."""
    return sessions()


def settle(sessions: Sessions, order_id: str, status: Status) -> bool:
    """Moves a placed order to its last status. False if it had one already."""
    with sessions.begin() as session:
        placed = update(Order).where(Order.id == order_id, Order.status == Status.PLACED)
        return session.execute(placed.values(status=status).returning(Order.id)).first() is not None
