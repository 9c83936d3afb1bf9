"""A key leaves out what makes two operations different, so the second is taken for a repeat of the first.

## What happens
The key says who acts and how much, but not which operation it is: `user:amount`. The customer buys the same thing twice, the second
purchase has the key of the first, and is answered with the first one's result: never charged, never delivered, reported as done.
Parts that are joined without anything between them do the same more rarely: user 1 with order 23 is user 12 with order 3.

## Why tests miss it
Every test makes one purchase for each user, with another amount in each.

## What to write instead
Put in what names the operation (order, invoice, payment intent), and something that cannot be in the parts between them:
`f"charge:{order.id}:{attempt_group}"`.

## Where it comes from
Found beside coarse clocks whenever a key is "made unique" from what is at hand. A public donation platform keyed the creation of a
customer by the user alone: adding a second card within a day sent other parameters with the first one's key.
"""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from interlock.core.finding import Confidence, Severity
from interlock.core.pattern import pattern
from interlock.hazards.hazard import Hazard, Mutant
from interlock.hazards.identity._telling import label, says_how_much, says_who
from interlock.source.edit import edited, replacing
from interlock.source.origin import Kind
from interlock.source.sinks import Purpose, Role, purpose_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.core.finding import Finding
    from interlock.source.module import Function, Module
    from interlock.source.origin import Part
    from interlock.source.sinks import Sink

HAZARD = Hazard(
    __name__,
    severity=Severity.CRITICAL,
    advice="put what names the operation into the key (order, invoice, payment intent), with a separator between the parts",
    needles=(
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
            b"handled",
        ),
    ),
    signal="customers who say that they bought twice and got one; fewer charges than orders for returning customers",
    scenario="two payments of one user in one second",
    sources=("https://docs.stripe.com/api/idempotent_requests", "https://docs.stripe.com/error-low-level#idempotency"),
)

# What a person does more than once. (One welcome mail or one customer record for each user is right as it is.)
_REPEATED = pattern(
    r"charge|pay(?!load)|purchase|order|checkout|transfer|payout|refund|withdraw|deposit|top_?up|buy|capture|enqueue|retry|transaction",
    re.IGNORECASE,
)


@HAZARD.detects(ast.Module)
def detect(_: ast.Module, module: Module) -> Iterator[Finding]:
    """An idempotency key that two different operations share."""
    reported: set[ast.AST] = set()
    for sink in (_resolved(sink, module) for sink in module.sinks if sink.purpose is Purpose.IDEMPOTENCY):
        if _is_just_a_name(sink.value):
            continue
        problem = _shared_by_two(sink, module) or _run_together(sink, module) or _left_out(sink, module)
        site = _made_where(sink, module)
        if problem and site not in reported:
            reported.add(site)
            yield HAZARD.finding(module, site, problem, Confidence.MEDIUM)


def _resolved(sink: Sink, module: Module) -> Sink:
    """The sink with the expression behind a local name: `key = ...; charge(idempotency_key=key)`."""
    if not isinstance(sink.value, ast.Name):
        return sink
    bindings = module.names.reaching(sink.value.id, sink.value)
    value = bindings[0].value if len(bindings) == 1 else None
    return sink if value is None or isinstance(bindings[0].node, ast.withitem) else replace(sink, value=value)


def _is_just_a_name(value: ast.expr) -> bool:
    """Whether the key was made elsewhere: it is judged where it is made, or came from the caller whole."""
    return isinstance(value, (ast.Name, ast.Attribute, ast.Subscript))


def _made_where(sink: Sink, module: Module) -> ast.expr:
    """The expression that puts the key together."""
    helper = module.names.definition(sink.value) if isinstance(sink.value, ast.Call) else None
    returns = [node.value for node in module.names.returns(helper) if node.value] if helper else []
    return returns[0] if len(returns) == 1 else sink.value


def _shared_by_two(sink: Sink, module: Module) -> str:
    """Why two operations of one person get the same key; empty if they do not."""
    parts = module.origins.of(sink.value).variable
    who = [part for part in parts if says_who(part)]
    alike = [part for part in parts if says_how_much(part) and part not in who]
    if not who or len(who) + len(alike) < len(parts):
        return ""
    named = ", ".join(dict.fromkeys(part.name for part in (*who, *alike)))
    if alike and any(re.search("amount|price|total|cents|quantity|qty", label(part)) for part in alike):
        return f"the {sink.purpose} is made of {named} alone: two purchases of one user for the same amount are taken for one"
    if not alike and _is_repeated(sink, module):
        return (
            f"the {sink.purpose} is made of {named} alone: the second operation of one user is taken for a repeat of the first"
        )
    return _of_other_parameter(sink, parts, named, module)


def _of_other_parameter(sink: Sink, parts: list[Part], named: str, module: Module) -> str:
    other = _other_parameter(sink, parts, module)
    if other:
        return f"the {sink.purpose} is made of {named} alone, but the call also depends on {other}: two calls that differ in it share a key"
    return ""


def _is_repeated(sink: Sink, module: Module) -> bool:
    """Whether what is done here is done many times for one person, to judge by what it is called."""
    around = module.parent(sink.value)
    call = module.parent(around) if isinstance(around, ast.keyword) else None
    called = ast.unparse(call.func) if isinstance(call, ast.Call) else ""
    constants = " ".join(str(node.value) for node in ast.walk(sink.value) if isinstance(node, ast.Constant))
    once = re.search(r"customer|account|welcome|sign_?up|register|subscri|profile|method", called + constants, re.IGNORECASE)
    symbol = module.symbol(sink.value).rpartition(".")[2]
    return once is None and _REPEATED.search(f"{called} {constants} {symbol}") is not None


def _other_parameter(sink: Sink, parts: list[Part], module: Module) -> str:
    """An id among the call's other arguments that has nothing to do with who acts."""
    holder = module.parent(sink.value)
    call = module.parent(holder) if isinstance(holder, ast.keyword) else None
    if not isinstance(call, ast.Call) or sink.role is not Role.SENT:
        return ""
    roots = {part.name.split(".")[0] for part in parts}
    for value in (*call.args, *(keyword.value for keyword in call.keywords if keyword is not holder)):
        for part in module.origins.of(value).of(Kind.CALLER, Kind.REQUEST):
            root, _, field = part.name.partition(".")
            if root not in roots and field in {"id", "pk", "uuid"} and not says_who(part):
                return f"`{part.name}`"
    return ""


def _left_out(sink: Sink, module: Module) -> str:
    """The parameter that a key made of all the others leaves out, although the request depends on it."""
    function = module.function(sink.value)
    parts = module.origins.of(sink.value).variable
    if function is None or not any(says_how_much(part) for part in parts):
        return ""
    given = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    held = {node.id for node in _read_by(sink.value, module)}
    sent = {
        node.id for value in _sent_with_key(sink, function, module) for node in ast.walk(value) if isinstance(node, ast.Name)
    }
    missing = [name for name in given if name not in held and name in sent]
    if len(held & set(given)) < 3 or len(missing) != 1:  # noqa: PLR2004 - fewer do not show that the key means to hold them all.
        return ""
    return f"the {sink.purpose} is made of the other parameters and leaves out `{missing[0]}`, which is sent: two calls that differ in it share a key"


def _read_by(value: ast.expr, module: Module) -> Iterator[ast.Name]:
    """The names that a value depends on, through the local names that it is built from."""
    waiting: list[ast.AST] = [value]
    seen: set[str] = set()
    while waiting:
        for node in ast.walk(waiting.pop()):
            if isinstance(node, ast.Name) and node.id not in seen:
                seen.add(node.id)
                yield node
                waiting.extend(binding.value for binding in module.names.reaching(node.id, node) if binding.value is not None)


def _sent_with_key(sink: Sink, function: Function, module: Module) -> Iterator[ast.expr]:
    """The other arguments of the calls that are given the key, directly or hashed into another name."""
    for node in ast.walk(function):
        if not isinstance(node, ast.Call):
            continue
        for keyword in node.keywords:
            is_key = keyword.arg is not None and purpose_of(keyword.arg) is Purpose.IDEMPOTENCY
            if is_key and (keyword.value is sink.value or sink.value in _values_behind(keyword.value, module)):
                yield from (*node.args, *(other.value for other in node.keywords if other is not keyword))


def _values_behind(value: ast.expr, module: Module) -> list[ast.expr]:
    """What a value was made from, through local names."""
    names = list(_read_by(value, module))
    return [binding.value for name in names for binding in module.names.reaching(name.id, name) if binding.value is not None]


def _run_together(sink: Sink, module: Module) -> str:
    """Why parts that stand side by side can be cut in two ways; empty if something is between them."""
    for node in ast.walk(sink.value):
        if isinstance(node, ast.JoinedStr):
            for left, right in zip(node.values, node.values[1:], strict=False):
                if not isinstance(left, ast.FormattedValue) or not isinstance(right, ast.FormattedValue):
                    continue
                if _is_open(left, module) and _is_open(right, module):
                    names = f"`{ast.unparse(left.value)}` and `{ast.unparse(right.value)}`"
                    return f"the {sink.purpose} joins {names} with nothing between them: '1' + '23' is '12' + '3'"
    return ""


def _is_open(hole: ast.FormattedValue, module: Module) -> bool:
    """Whether a part's text can have several lengths: not a prefix, a digest, a UUID or a padded number."""
    origin = module.origins.of(hole.value)
    fixed = any(part.character_bits is not None for part in origin.parts) or hole.format_spec is not None
    is_prefix = re.search("prefix|suffix|namespace|scope|sep", ast.unparse(hole.value)) is not None
    return bool(origin.variable) and not fixed and not is_prefix and not origin.of(Kind.CLOCK, Kind.RANDOM)


@HAZARD.injects
def inject(module: Module) -> Iterator[Mutant]:
    """Leaves the user and the amount in the key, and nothing that names the operation."""
    for sink in module.sinks:
        if sink.purpose is Purpose.IDEMPOTENCY and sink.role in {Role.ASSIGNED, Role.SENT} and not _is_just_a_name(sink.value):
            edits = [replacing(module, sink.value, 'f"{user_id}:{amount_minor}"')]
            yield Mutant(sink.value.lineno, f"{sink.name} is made of user and amount alone", edited(module, edits))


BAD = (
    """
import hashlib

class Checkout:
    def pay(self, user_id, amount_minor, currency):
        idempotency_key = f"{user_id}:{amount_minor}:{currency}"  # expect: identity/incomplete-key
        return self.bank.charge(amount_minor, idempotency_key=idempotency_key)

    def _dedup_key(self, payload):
        text = f"{payload['user_id']}|{payload['amount']}"
        return hashlib.sha256(text.encode()).hexdigest()  # expect: identity/incomplete-key
""",
    """
import stripe

def charge(user, amount_minor):
    return stripe.Charge.create(amount=amount_minor, idempotency_key=f"charge-{user.id}")  # expect: identity/incomplete-key

def create_customer(user, source):
    return stripe.Customer.create(
        email=user.email,
        source=source.id,
        idempotency_key="create_customer_%i" % user.id,  # expect: identity/incomplete-key
    )

def quote(bank, amount_minor, currency, country, is_exempt):
    idempotency_key = f"quote:{amount_minor}:{currency}:{country}"  # expect: identity/incomplete-key
    return bank.quote(amount_minor, currency, country, exempt=is_exempt, idempotency_key=idempotency_key)

def dispatch(bank, user_id, order_id):
    return bank.charge(order_id, idempotency_key=f"{user_id}{order_id}")  # expect: identity/incomplete-key
""",
)

GOOD = (
    """
import hashlib

class Checkout:
    def pay(self, user_id, order_id, amount_minor):
        idempotency_key = f"{user_id}:{order_id}:{amount_minor}"
        return self.bank.charge(amount_minor, idempotency_key=idempotency_key)

    def _dedup_key(self, event):
        return hashlib.sha256(event["id"].encode()).hexdigest()
""",
    """
import stripe

def create_customer(user):
    return stripe.Customer.create(email=user.email, idempotency_key=f"customer-{user.id}")

def welcome(mailer, user):
    return mailer.send(user.email, dedup_key=f"welcome:{user.id}")
""",
    """
def charge(bank, order, prefix):
    return bank.charge(order.amount_minor, idempotency_key=f"{prefix}{order.id}")

def quote(bank, amount_minor, currency, country, timeout_s):
    idempotency_key = f"quote:{amount_minor}:{currency}:{country}"
    bank.timeout_s = timeout_s
    return bank.quote(amount_minor, currency, country, idempotency_key=idempotency_key)

def repeat(bank, payment, amount_minor):
    return bank.charge(amount_minor, idempotency_key=payment.idempotency_key)
""",
)
