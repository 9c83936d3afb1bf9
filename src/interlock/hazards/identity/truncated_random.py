"""A random id is cut so short that two operations soon get the same one.

## What happens
Eight characters of a UUID are 32 bits. By the birthday rule an even chance of two equal ones comes after 77,000 draws, not after
four thousand million: at 420 a second, in about three minutes. One order shows another customer's data, a payment is taken for a
repeat of somebody else's, or an insert fails on the unique key.

## Why tests miss it
A test draws ten. With 32 bits the chance of a collision among ten is one in a hundred million.

## What to write instead
The whole UUID, or `secrets.token_urlsafe(16)`. Where people must read or type it, keep a full id as the key beside the short
code, and draw the code again when the unique column refuses it.

## Where it comes from
The published fix of the 17 October 2024 incident cut its UUID to 8 hex digits. The same cut is in many public bug reports.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from interlock.core.finding import Severity
from interlock.hazards.hazard import Hazard, Mutant
from interlock.hazards.identity._telling import REQUESTS_PER_S, even_chance, in_words, only_who, tells_one_from_another
from interlock.source.edit import edited, importing, replacing
from interlock.source.module import LOOPS
from interlock.source.origin import Kind
from interlock.source.sinks import Purpose, Role, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.core.finding import Finding
    from interlock.source.module import Module
    from interlock.source.origin import Origin, Part
    from interlock.source.sinks import Sink

HAZARD = Hazard(
    __name__,
    severity=Severity.HIGH,
    advice="use the whole uuid4() or secrets.token_urlsafe(16) as the key; show people a short code beside it",
    needles=(
        (b"uuid", b"random", b"secrets", b"token", b"urandom", b"nanoid"),
        (b"id", b"key", b"Key", b"dedup", b"ref", b"number"),
    ),
    signal="errors on a unique key, or records of one customer shown to another, more often the more rows there are",
    scenario="as many operations as production makes in an hour get as many ids",
    sources=(
        "https://www.rfc-editor.org/rfc/rfc9562#section-6.9",
        "https://en.wikipedia.org/wiki/Birthday_problem#Probability_table",
    ),
)

# Bits below which each purpose is at risk: an even chance of a collision within a day at 420 a second needs 53 bits.
_ENOUGH_BITS = {Purpose.IDEMPOTENCY: 53.0, Purpose.BUSINESS: 53.0, Purpose.ROW: 53.0, Purpose.LABEL: 33.0, Purpose.NAME: 31.0}
_FINE_S = 1e-3  # A clock this fine tells more apart than the missing bits would.


@HAZARD.detects(ast.Module)
def detect(_: ast.Module, module: Module) -> Iterator[Finding]:
    """Randomness of too few bits, where identity matters."""
    reported: set[ast.AST] = set()
    for sink in module.sinks:
        origin = module.origins.of(sink.value)
        bits = _random_bits(origin)
        drawn = {part.maker or part.site for part in origin.of(Kind.RANDOM)}
        if bits is None or bits >= _enough_bits(sink) or drawn <= reported:
            continue
        if _tells_apart_alone(sink, origin) and not _is_drawn_again(sink, origin, module) and _is_kept(sink):
            reported |= drawn
            yield HAZARD.finding(module, sink.value, _message(sink, origin, bits))


def _enough_bits(sink: Sink) -> float:
    is_local = sink.purpose is Purpose.ROW and sink.role is not Role.DEFAULT  # `id = ...` may name a thing on a page.
    return _ENOUGH_BITS[Purpose.LABEL if is_local else sink.purpose]


def _random_bits(origin: Origin) -> float | None:
    """All random bits together; None if there are none, or if some cannot be counted."""
    drawn = [part.bits for part in origin.always(Kind.RANDOM)]
    known = [bits for bits in drawn if bits is not None]
    return sum(known) if drawn and len(known) == len(drawn) else None


def _tells_apart_alone(sink: Sink, origin: Origin) -> bool:
    """Whether nothing else in the value makes it different for each operation."""
    fine = any(part.resolution_s < _FINE_S for part in origin.of(Kind.CLOCK))
    if sink.purpose is Purpose.NAME and words(sink.name).endswith(("filename", "file_name")):
        # A file's ending and folder do not tell one from another.
        return not fine and not any(tells_one_from_another(part) for part in origin.parts)
    return only_who(origin.parts) and not fine


def _is_drawn_again(sink: Sink, origin: Origin, module: Module) -> bool:
    """Whether a value that is taken already is drawn again: in a loop, or where the store refuses it."""
    places: list[ast.AST] = [sink.value, *(part.maker for part in origin.of(Kind.RANDOM) if part.maker is not None)]
    loops = [loop for place in places if (loop := module.enclosing(place, *LOOPS)) is not None]
    drawn_until_free = any(isinstance(loop, ast.While) or _tests_presence(loop) for loop in loops)
    return drawn_until_free or any(_handles_refusal(place, module) for place in places)


def _handles_refusal(place: ast.AST, module: Module) -> bool:
    around = module.enclosing(place, ast.Try)
    caught = [ast.unparse(handler.type) for handler in around.handlers if handler.type] if around else []
    return any("Integrity" in name or "Duplicate" in name or "Unique" in name or "Exists" in name for name in caught)


def _tests_presence(loop: ast.AST) -> bool:
    """Whether a loop asks somewhere if a value is there already."""
    names = {node.attr for node in ast.walk(loop) if isinstance(node, ast.Attribute)}
    compared = any(
        isinstance(op, (ast.In, ast.NotIn)) for node in ast.walk(loop) if isinstance(node, ast.Compare) for op in node.ops
    )
    return compared or not names.isdisjoint({"exists", "first", "one_or_none", "get_or_none", "DoesNotExist"})


def _is_kept(sink: Sink) -> bool:
    """Whether the value outlives the call: a bare `id` in an argument may name a thing on a page."""
    return sink.purpose is not Purpose.ROW or sink.role in {Role.DEFAULT, Role.ASSIGNED}


def _message(sink: Sink, origin: Origin, bits: float) -> str:
    draws = even_chance(bits)
    part: Part = origin.of(Kind.RANDOM)[0]
    per = "" if not origin.of(Kind.CLOCK) else " in each tick of its clock"
    return (
        f"the {sink.purpose} `{sink.name}` has {bits:.0f} random bits (from {part.name}): an even chance that two are equal "
        f"after {draws:,.0f} of them{per}, {in_words(draws / REQUESTS_PER_S)} at {REQUESTS_PER_S} a second"
    )


@HAZARD.injects
def inject(module: Module) -> Iterator[Mutant]:
    """Cuts a whole UUID to eight hex digits."""
    for sink in module.sinks:
        whole = [part for part in module.origins.of(sink.value).always(Kind.RANDOM) if (part.bits or 0) > 100]  # noqa: PLR2004 - a UUID.
        if (
            whole
            and whole[0].maker is not None
            and sink.purpose not in {Purpose.LABEL, Purpose.NAME}
            and sink.role in {Role.ASSIGNED, Role.DEFAULT}
        ):
            edits = [replacing(module, sink.value, "uuid.uuid4().hex[:8]"), importing(module, "uuid")]
            yield Mutant(sink.value.lineno, f"{sink.name} is cut to 8 hex digits", edited(module, edits))


BAD = (
    """
import uuid

def store(upload, folder, ext):
    filename = f"{uuid.uuid4().hex[:5]}.{ext}"  # expect: identity/truncated-random
    (folder / filename).write_bytes(upload.content)
""",
    """
import random
import secrets
import string
import uuid

def new_order(user_id):
    order_id = f"ORD-{uuid.uuid4().hex[:8].upper()}"  # expect: identity/truncated-random
    transaction_id = str(uuid.uuid4()).split("-")[0]  # expect: identity/truncated-random
    payment_ref = secrets.token_hex(4)  # expect: identity/truncated-random
    invoice_number = "INV-" + "".join(random.choices(string.digits, k=8))  # expect: identity/truncated-random
    booking_id = f"{user_id}-{random.randint(1000, 9999)}"  # expect: identity/truncated-random
    return order_id, transaction_id, payment_ref, invoice_number, booking_id
""",
    """
import uuid
from sqlalchemy import Column, String

def short_id():
    return uuid.uuid4().hex[:10]  # expect: identity/truncated-random

class Account(Base):
    id = Column(String(10), primary_key=True, default=short_id)
    code = Column(String(8), unique=True, default=lambda: str(uuid.uuid4())[:8])  # expect: identity/truncated-random
""",
)

GOOD = (
    """
import uuid

def store(upload, folder, name):
    filename = f"{uuid.uuid4().hex}.{upload.extension}"
    (folder / filename).write_bytes(upload.content)
    pod_name = f"{name}-{uuid.uuid4().hex[:6]}"
    return pod_name
""",
    """
import secrets
import uuid

def new_order(items):
    order_id = str(uuid.uuid4())
    transaction_id = secrets.token_hex(16)
    for number, item in enumerate(items):
        item.order_id = f"{order_id}-{number}"
    return order_id, transaction_id
""",
    """
import random
import secrets

def login_code(user):
    code = f"{random.randint(0, 999999):06d}"
    salt = secrets.token_hex(4)
    return code, salt

def label(name):
    return f"{name}-{secrets.token_hex(3)}"
""",
    """
import secrets
import string
from shop.models import Order

ALPHABET = string.ascii_uppercase + string.digits

def assign_number(order):
    while True:
        order_number = "".join(secrets.choice(ALPHABET) for _ in range(6))
        if not Order.objects.filter(order_number=order_number).exists():
            order.order_number = order_number
            return
""",
    """
import uuid
from sqlalchemy import Column, String

class Account(Base):
    id = Column(String(36), primary_key=True, default=lambda: str(uuid.uuid4()))
    color = Column(String(6), default=lambda: uuid.uuid4().hex[:6])
""",
)
