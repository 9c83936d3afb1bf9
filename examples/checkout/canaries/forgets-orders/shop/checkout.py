"""Checkout: an order is stored first and charged second, under its own id, so no press of the button charges twice."""

from typing import Literal
from uuid import UUID

from fastapi import APIRouter, HTTPException, status
from pydantic import BaseModel, Field

from shop.accounts.routes import CurrentUser
from shop.context import CurrentShop, Shop
from shop.database import Sessions
from shop.metrics import ORDERS_COMPLETED
from shop.orders import CURRENCY, PRICES_MINOR, CheckoutChanged, Order, Status, place, settle
from shop.payments.provider import Charge, OutcomeUnknown, PaymentDeclined

INVOICE_FROM = 5

router = APIRouter()


class Checkout(BaseModel):
    """What the payment page sends."""

    checkout_id: UUID  # Made by the page when it shows the form.
    sku: Literal["assam", "sencha", "teapot"]
    quantity: int = Field(ge=1, le=99)
    payment_method_id: str = Field(min_length=1, max_length=64)


class Receipt(BaseModel):
    """What became of the order."""

    order_id: str
    status: Status
    amount_minor: int
    currency: str = CURRENCY


@router.post("/checkout")
def post_checkout(form: Checkout, user: CurrentUser, shop: CurrentShop) -> Receipt:
    """Orders and pays."""
    try:
        order = place(shop.sessions, _order(form, user.id))
    except CheckoutChanged:
        raise HTTPException(status.HTTP_409_CONFLICT, "this checkout was for another order") from None
    outcome = pay(shop, order) if order.status == Status.PLACED else order.status
    if outcome == Status.DECLINED:
        raise HTTPException(status.HTTP_402_PAYMENT_REQUIRED, "the payment was declined")
    return Receipt(order_id=order.id, status=outcome, amount_minor=order.amount_minor)


def pay(shop: Shop, order: Order) -> Status:
    """Charges a placed order; a large one is paid by invoice. Pressing again after a 503 is safe: it is the same order, so the same key."""
    if order.quantity >= INVOICE_FROM:
        return Status.PLACED
    charge = Charge(amount_minor=order.amount_minor, currency=CURRENCY, payment_method_id=order.payment_method_id)
    try:
        shop.provider.charge(charge, idempotency_key=order.id)
    except PaymentDeclined:
        settle(shop.sessions, order.id, Status.DECLINED)
        return Status.DECLINED
    except OutcomeUnknown:
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, "please try again") from None
    complete_order(shop.sessions, order.id)
    return Status.PAID


def complete_order(sessions: Sessions, order_id: str) -> None:
    """Notes that the order is paid, and counts it once."""
    if settle(sessions, order_id, Status.PAID):
        ORDERS_COMPLETED.inc()


def _order(form: Checkout, user_id: str) -> Order:
    return Order(
        user_id=user_id,
        checkout_id=str(form.checkout_id),
        sku=form.sku,
        quantity=form.quantity,
        amount_minor=PRICES_MINOR[form.sku] * form.quantity,
        payment_method_id=form.payment_method_id,
    )
