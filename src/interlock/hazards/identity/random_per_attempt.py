"""A key that is made anew on every call can never recognise a repeat, so it prevents no double charge.

## What happens
The idempotency key is a fresh UUID, or the clock in nanoseconds. No two calls share it. The call that is repeated after a lost reply,
a crash or a second click carries another key than the first one; the provider takes it for a new payment and charges again. A store
that is asked "have I seen this key?" can only answer no.

## Why tests miss it
A test that calls twice on purpose checks that two keys differ, which they do. The repeat that matters comes after a failure, and
tests seldom lose a reply.

## What to write instead
Make the key once for the operation, store it with the operation, and send the stored one with every attempt. Or derive it from what
names the operation: the order, the payment intent, the message id.

## Where it comes from
The published fix of the 17 October 2024 incident: nanoseconds and eight hex digits of a fresh UUID. It no longer collides, and it no
longer recognises anything: measured, 20 of 20 payments are charged twice after a crash between charge and removal.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from interlock.core.finding import Confidence, Severity
from interlock.hazards.hazard import Hazard, Mutant
from interlock.source.edit import edited, importing, replacing
from interlock.source.module import FUNCTIONS, LOOPS
from interlock.source.origin import Kind
from interlock.source.sinks import Purpose, Role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.core.finding import Finding
    from interlock.source.module import Module
    from interlock.source.origin import Part
    from interlock.source.sinks import Sink

HAZARD = Hazard(
    __name__,
    severity=Severity.CRITICAL,
    advice="make the key once for the operation, store it with it, and send the stored one with every attempt",
    needles=(
        (b"uuid", b"random", b"secrets", b"time", b"now", b"token", b"nanoid", b"ulid"),
        (
            b"dempoten",
            b"dedup",
            b"Dedup",
            b"idem",
            b"client_token",
            b"ClientToken",
            b"Request-Id",
            b"processed",
            b"seen",
            b"already",
            b"handled",
        ),
    ),
    signal="duplicate charges after timeouts, restarts and double clicks; the rate of recognised repeats is zero",
    scenario="lost reply on enqueue and on charge",
    sources=(
        "https://docs.stripe.com/api/idempotent_requests",
        "https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/",
    ),
)

_COARSEST_S = 0.9e-3  # A clock read more coarsely than this is another hazard: it collides.
_ENOUGH_BITS = 16.0  # Fewer random bits than this are a draw among a few, not a fresh key.


@HAZARD.detects(ast.Module)
def detect(_: ast.Module, module: Module) -> Iterator[Finding]:
    """A key that is used in the very call that made it."""
    reported: set[ast.AST] = set()
    for sink in sorted(module.sinks, key=lambda sink: sink.role is not Role.LOOKED_UP):
        if sink.purpose is not Purpose.IDEMPOTENCY or sink.role not in {Role.LOOKED_UP, Role.SENT}:
            continue
        fresh = _fresh_part(sink, module)
        if fresh is None or (fresh.maker or fresh.site) in reported:
            continue
        if sink.role is Role.LOOKED_UP:
            reported.add(fresh.maker or fresh.site)
            yield HAZARD.finding(module, sink.value, _looked_up_message(sink, fresh))
        elif _is_sent_away(sink, module) and not _serves_all_attempts(sink, fresh, module):
            reported.add(fresh.maker or fresh.site)
            yield HAZARD.finding(module, _made_where(sink, fresh, module), _sent_message(sink, fresh), Confidence.MEDIUM)


def _made_where(sink: Sink, fresh: Part, module: Module) -> ast.expr:
    """The place to mend: where the function makes the key, if it sends a name for it."""
    statement = module.statement(fresh.site)
    if not isinstance(sink.value, ast.Name) or not isinstance(statement, (ast.Assign, ast.AnnAssign)):
        return sink.value
    return statement.value or sink.value


def _fresh_part(sink: Sink, module: Module) -> Part | None:
    """What makes the key another one on each call; None if the caller can give it, or it was kept from before."""
    for part in module.origins.of(sink.value).always(Kind.RANDOM, Kind.CLOCK):
        is_fresh = (
            part.resolution_s < _COARSEST_S if part.kind is Kind.CLOCK else part.bits is None or part.bits >= _ENOUGH_BITS
        )
        if is_fresh and not module.at_import(part.site):
            return part
    return None


def _serves_all_attempts(sink: Sink, fresh: Part, module: Module) -> bool:
    """Whether the key is made before the loop in which it is sent: every attempt of this call shares it."""
    return any(
        isinstance(around, LOOPS) and around not in set(module.ancestors(fresh.site)) for around in module.ancestors(sink.value)
    )


def _is_sent_away(sink: Sink, module: Module) -> bool:
    """Whether the key goes out with a call of this function, and is not stored with a new record first."""
    holder = module.parent(sink.value)
    if isinstance(holder, ast.keyword):
        call = module.parent(holder)
        return isinstance(call, ast.Call) and _goes_out(call, module)
    return any(_goes_out(call, module) for call in _calls_with(sink, holder, module))


def _calls_with(sink: Sink, holder: ast.AST | None, module: Module) -> Iterator[ast.Call]:
    """The calls of the same function that are given the dict which holds the key."""
    for around in module.ancestors(sink.value):
        if isinstance(around, (*FUNCTIONS, ast.Lambda, ast.stmt)):
            break
        if isinstance(around, ast.Call):
            yield around
    name = _dict_name(holder, module)
    function = module.function(sink.value)
    for node in ast.walk(function) if name and function else ():
        if isinstance(node, ast.Call) and any(_passes(node, name)):
            yield node


def _dict_name(holder: ast.AST | None, module: Module) -> str:
    """The local name of the dict that a key is put into; empty if it is the caller's, or is given back to the caller."""
    statement = module.statement(holder) if holder is not None else None
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return "" if _is_returned(name, statement, module) else name
        case ast.Assign(targets=[ast.Subscript(value=ast.Name(id=name) as used)]):
            is_given = any(
                isinstance(binding.node, ast.arg) and not _collects(binding.node, module)
                for binding in module.names.lookup(name, used)
            )
            return "" if is_given or _is_returned(name, statement, module) else name
        case _:
            return ""


def _collects(argument: ast.arg, module: Module) -> bool:
    """Whether an argument is `**options`: a dict of this call's own, which the caller never sees."""
    arguments = module.parent(argument)
    return isinstance(arguments, ast.arguments) and arguments.kwarg is argument


def _is_returned(name: str, statement: ast.stmt, module: Module) -> bool:
    function = module.function(statement)
    returns = module.names.returns(function) if function else []
    return any(isinstance(node.value, ast.Name) and node.value.id == name for node in returns)


def _passes(call: ast.Call, name: str) -> Iterator[bool]:
    for argument in (*call.args, *(keyword.value for keyword in call.keywords)):
        inner = argument.value if isinstance(argument, ast.Starred) else argument
        yield isinstance(inner, ast.Name) and inner.id == name


def _goes_out(call: ast.Call, module: Module) -> bool:
    """Whether a call sends something away. Making an object, a record or a log line does not."""
    text = ast.unparse(call.func)
    pieces = text.split(".")
    last = pieces[-1]
    if last[:1].isupper() or last in _KEEPS or "objects" in pieces or "setdefault" in pieces:
        return False
    is_model = len(pieces) == 2 and pieces[0][:1].isupper() and _is_own_class(call, module)  # noqa: PLR2004 - Class.method.
    if last == "create" and _is_related_manager(call, text, module):
        return False
    return not is_model and not text.startswith(("log", "self.log", "print", "json."))


_KEEPS = frozenset(
    "add save insert insert_one append dict update_or_create get_or_create values info debug warning error exception dumps isinstance "
    "setdefault update pop items keys copy deepcopy len str bool print replace evolve bind model_copy filter where".split()
)


def _is_related_manager(call: ast.Call, text: str, module: Module) -> bool:
    """Whether `order.events.create(...)` stores a row through Django, and does not call a provider's client."""
    uses_django = "django" in module.text or ".models" in module.text
    return uses_django and not module.names.dotted(call.func) and re.search(r"client|api|gateway|sdk|provider", text) is None


def _is_own_class(call: ast.Call, module: Module) -> bool:
    """Whether `X` in `X.create(...)` is a class of the project, whose `create` stores a row."""
    name = module.names.dotted(call.func)
    return name.startswith(".") or ".models" in name or "models." in name


def _made(fresh: Part) -> str:
    return f"`{fresh.name}`" if fresh.name else "a fresh value"


def _looked_up_message(sink: Sink, fresh: Part) -> str:
    return f"`{sink.name}` is made by {_made(fresh)} in this very call, so the store can never have seen it: no repeat is recognised"


def _sent_message(sink: Sink, fresh: Part) -> str:
    return f"`{sink.name}` is made by {_made(fresh)} on every call: a repeat after a lost reply has another key and is carried out again"


@HAZARD.injects
def inject(module: Module) -> Iterator[Mutant]:
    """Makes the key anew where it is sent or looked up."""
    for sink in module.sinks:
        if sink.purpose is Purpose.IDEMPOTENCY and (
            sink.role is Role.LOOKED_UP or (sink.role is Role.SENT and _is_sent_away(sink, module))
        ):
            key = 'f"idempotency:{uuid.uuid4()}"' if sink.role is Role.LOOKED_UP else "str(uuid.uuid4())"
            edits = [replacing(module, sink.value, key), importing(module, "uuid")]
            yield Mutant(sink.value.lineno, f"{sink.name} is a fresh UUID on every call", edited(module, edits))


BAD = (
    """
import time
import uuid

class PaymentRetryQueue:
    def _new_key(self, user_id):
        return f"{user_id}:{time.time_ns()}:{uuid.uuid4().hex[:8]}"

    def enqueue(self, payment):
        key = self._new_key(payment["user_id"])
        if self.redis.exists(f"idempotency:{key}"):  # expect: identity/random-per-attempt
            return False
        self.redis.set(f"idempotency:{key}", "1", ex=86400)
        return True
""",
    """
import uuid
import requests
import stripe

def charge(order):
    for attempt in range(3):
        intent = stripe.PaymentIntent.create(
            amount=order.amount_minor,
            currency="eur",
            idempotency_key=str(uuid.uuid4()),  # expect: identity/random-per-attempt
        )
        if intent.status == "succeeded":
            return intent

async def pay(client, order):
    idempotency_key = str(uuid.uuid4())  # expect: identity/random-per-attempt
    body = {"source_id": order.source, "idempotency_key": idempotency_key}
    return await client.payments.create_payment(body)

def refund(order):
    headers = {"Authorization": "..."}
    headers["Idempotency-Key"] = uuid.uuid4().hex  # expect: identity/random-per-attempt
    return requests.post("https://api.pay.example/refunds", json={"order": order.id}, headers=headers, timeout=5)
""",
    """
import uuid

class Client:
    def post(self, path, body, headers=None):
        headers = headers or {}
        if "Idempotency-Key" not in headers:
            headers["Idempotency-Key"] = str(uuid.uuid4())  # expect-later: identity/random-per-attempt
        return self.session.post(path, json=body, headers=headers)
""",
)

GOOD = (
    """
import uuid
import stripe

def charge(order):
    key = str(uuid.uuid4())
    for attempt in range(3):
        intent = stripe.PaymentIntent.create(amount=order.amount_minor, currency="eur", idempotency_key=key)
        if intent.status == "succeeded":
            return intent

def refund(order):
    return stripe.Refund.create(payment_intent=order.intent, idempotency_key=f"refund:{order.id}")
""",
    """
import uuid
import requests

def create(url, body, idempotency_key=None):
    idempotency_key = idempotency_key or str(uuid.uuid4())
    return requests.post(url, json=body, headers={"Idempotency-Key": idempotency_key}, timeout=5)

def key_for(request):
    given = request.headers.get("Idempotency-Key")
    if given:
        return given
    return str(uuid.uuid4())

def pay(client, request, body):
    return client.post("/payments", body, idempotency_key=key_for(request))
""",
    """
import uuid
from shop.models import Payment

def start(session, order):
    payment = Payment(order_id=order.id, idempotency_key=str(uuid.uuid4()))
    session.add(payment)
    session.commit()
    return payment

def send(bank, payment):
    return bank.charge(payment.amount_minor, idempotency_key=payment.idempotency_key)
""",
    """
import uuid
import redis

store = redis.Redis()

def take_job(job_id, lease_ms):
    token = str(uuid.uuid4())
    if store.set(f"processed:{job_id}", token, nx=True, px=lease_ms):
        return token
    return None
""",
)
