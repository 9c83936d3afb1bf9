"""Where identity matters."""

from __future__ import annotations

import ast

import pytest

from interlock.source.module import Module
from interlock.source.sinks import Purpose, Role, purpose_of, words

IDEMPOTENCY, BUSINESS, ROW = Purpose.IDEMPOTENCY, Purpose.BUSINESS, Purpose.ROW
LABEL, NAME = Purpose.LABEL, Purpose.NAME


def sinks(text: str) -> set[tuple[Purpose, Role, str]]:
    """The sinks of an example, with the text of their values."""
    module = Module("shop/example.py", text)
    return {(sink.purpose, sink.role, ast.unparse(sink.value)) for sink in module.sinks}


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("Idempotency-Key", "idempotency_key"),
        ("idempotencyKey", "idempotency_key"),
        ("IdempotencyKey", "idempotency_key"),
        ("IDEMPOTENCY_KEY", "idempotency_key"),
        ("_order_id", "order_id"),
        ("orderId", "order_id"),
        ("X-Request-Id", "x_request_id"),
        ("sha256Key", "sha256_key"),
    ],
)
def test_names_have_one_spelling(name: str, spelled: str) -> None:
    assert words(name) == spelled


@pytest.mark.parametrize(
    ("name", "purpose"),
    [
        ("idempotency_key", IDEMPOTENCY),
        ("Idempotency-Key", IDEMPOTENCY),
        ("X-Idempotency-Key", IDEMPOTENCY),
        ("idempotencyToken", IDEMPOTENCY),
        ("dedup_key", IDEMPOTENCY),
        ("message_deduplication_id", IDEMPOTENCY),
        ("client_request_token", IDEMPOTENCY),
        pytest.param("PayPal-Request-Id", IDEMPOTENCY),
        ("order_id", BUSINESS),
        ("orderId", BUSINESS),
        ("invoice_number", BUSINESS),
        ("transaction_ref", BUSINESS),
        ("id", ROW),
        ("public_id", ROW),
        ("job_id", LABEL),
        ("session_name", NAME),
        ("short_order_id", None),
        ("display_id", None),
        ("order", None),
        ("valid", None),
        ("paid", None),
        ("identity", None),
        ("width", None),
        ("android", None),
    ],
)
def test_a_name_says_what_its_value_is_for(name: str, purpose: Purpose | None) -> None:
    assert purpose_of(name) is purpose


@pytest.mark.parametrize(
    ("text", "sink"),
    [
        ("order_id = make()\n", (BUSINESS, Role.ASSIGNED, "make()")),
        ("self.order_id = make()\n", (BUSINESS, Role.ASSIGNED, "make()")),
        ("order_id: str = make()\n", (BUSINESS, Role.ASSIGNED, "make()")),
        ("if (order_id := make()): pass\n", (BUSINESS, Role.ASSIGNED, "make()")),
        ("headers['Idempotency-Key'] = make()\n", (IDEMPOTENCY, Role.SENT, "make()")),
        ("post(headers={'Idempotency-Key': make()})\n", (IDEMPOTENCY, Role.SENT, "make()")),
        ("headers = {'X-Idempotency-Key': make(), **more}\n", (IDEMPOTENCY, Role.SENT, "make()")),
        ("stripe.Charge.create(idempotency_key=make())\n", (IDEMPOTENCY, Role.SENT, "make()")),
        ("charge(idempotencyKey=make())\n", (IDEMPOTENCY, Role.SENT, "make()")),
        ("order.set_order_id(make())\n", (BUSINESS, Role.ASSIGNED, "make()")),
        ("def get_idempotency_key():\n    return make()\n", (IDEMPOTENCY, Role.RETURNED, "make()")),
        ("def _generate_order_id(self):\n    return make()\n", (BUSINESS, Role.RETURNED, "make()")),
        ("async def new_transaction_id():\n    return make()\n", (BUSINESS, Role.RETURNED, "make()")),
        ("class A:\n    order_id = field(default_factory=lambda: make())\n", (BUSINESS, Role.DEFAULT, "make()")),
        (
            "def f():\n    return make()\nclass A:\n    id = Column(primary_key=True, default=f)\n",
            (ROW, Role.DEFAULT, "make()"),
        ),
        (
            "def f():\n    return make()\nclass A:\n    code = CharField(unique=True, default=f)\n",
            (ROW, Role.DEFAULT, "make()"),
        ),
        ("import redis\nr = redis.Redis()\nr.set(f'idem:{x}', 1, nx=True)\n", (IDEMPOTENCY, Role.LOOKED_UP, "f'idem:{x}'")),
        ("def f(redis):\n    key = f'processed:{x}'\n    redis.exists(key)\n", (IDEMPOTENCY, Role.LOOKED_UP, "key")),
    ],
)
def test_a_place_where_identity_matters_is_seen(text: str, sink: tuple[Purpose, Role, str]) -> None:
    assert sink in sinks(text)


@pytest.mark.parametrize(
    "text",
    [
        "order_id = 'fixed'\n",
        "order_id: str\n",
        "def order_id(): pass\n",
        "def f():\n    return make()\n",
        "def get_order_id():\n    def inner():\n        return make()\n    return None\n",
        "order = make()\n",
        "order_id += 1\n",
        "f(width=make())\n",
        "f(**make())\n",
        "class A:\n    code = CharField(default=make)\n",
        "class A:\n    code = CharField(unique=False, default=lambda: make())\n",
        "{**make()}\n",
        "seen.get(f'idem:{x}')\n",
    ],
)
def test_other_places_are_none(text: str) -> None:
    assert sinks(text) == set()
