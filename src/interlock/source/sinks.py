"""Where identity matters: the places in code whose value must tell operations apart, or recognise one again.

A sink is recognised by what its author called it (an argument, a header, a variable, a helper's name), by what a framework says
of it (a primary key, a unique column), or by what is done with it (a Redis key that is written only if it is not there yet).
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from interlock.core.pattern import pattern
from interlock.source.module import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.source.module import Module


class Purpose(StrEnum):
    """What the value is for."""

    IDEMPOTENCY = "idempotency key"  # different for two operations, the same for two attempts of one
    BUSINESS = "business id"  # an order, a payment, a user: different for every one
    ROW = "row id"  # a primary key or a unique column
    LABEL = "id"  # any other name that ends in id: a job, a session, a request
    NAME = "name"  # what a thing is called while it is there: a session, a file, a resource somewhere else


class Role(StrEnum):
    """What the code does with the value at this place."""

    ASSIGNED = "assigned"
    RETURNED = "returned"  # by a helper whose name says what it makes
    SENT = "sent"  # in an argument, a header or an entry of a dict
    LOOKED_UP = "looked up"  # as a key of a store that remembers what was seen
    DEFAULT = "default"  # as the default of a field


@dataclass(frozen=True, slots=True, eq=False)
class Sink:
    """One place where identity matters."""

    purpose: Purpose
    role: Role
    value: ast.expr
    name: str  # as the code calls it: `idempotency_key`, `order_id`


_IDEMPOTENCY: Final = pattern(
    r"(^|_)(idempotency|idempotence|idempotent|idem|dedup|dedupe|deduplication)(_(key|id|token|hash|header))?(_(str|string|text|raw|source|base|data|parts|input))?$"
    r"|^(client_token|client_request_token|pay_?pal_request_id|x_idempotency_key)$"
)
_BUSINESS: Final = pattern(
    r"(^|_)(order|transaction|txn|tx|payment|charge|refund|invoice|transfer|payout|booking|receipt|reservation|subscription|user"
    r"|account|customer|merchant|purchase|shipment|wallet|settlement|payment_intent|serial)"
    r"_(id|uid|uuid|guid|pk|no|num|number|ref|reference)$"
)
_ROW: Final = pattern(r"^(id|pk|uid|uuid|guid|public_id|external_id)$")
_LABEL: Final = pattern(r"_(id|uuid|guid|uid)$")
_NAME: Final = pattern(r"(^|_)(name|filename|session|checkpoint)$")
_SHORT: Final = pattern(r"short|abbrev|display|trunc")  # The name says that it is only for people to read.
_ASKS: Final = frozenset(
    {"set", "setnx", "setex", "exists", "get", "watch", "hsetnx", "hexists", "sadd", "sismember", "zscore"}
)
_SEEN_BEFORE: Final = pattern(r"idem|dedup|processed|already|seen|handled", re.IGNORECASE)
_MAKER: Final = pattern(r"^_*(get|make|create|generate|gen|build|new|next|compute|derive|calculate|calc|construct|for)_")


def words(name: str) -> str:
    """An identifier or header in one spelling: `Idempotency-Key` and `idempotencyKey` are `idempotency_key`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.replace("-", "_").strip("_"))
    return spaced.lower()


def purpose_of(name: str) -> Purpose | None:
    """What a value of this name is for; None if the name does not say that identity matters."""
    spelled = words(name)
    if _SHORT.search(spelled):
        return None
    for name_form, purpose in (
        (_IDEMPOTENCY, Purpose.IDEMPOTENCY),
        (_BUSINESS, Purpose.BUSINESS),
        (_ROW, Purpose.ROW),
        (_LABEL, Purpose.LABEL),
        (_NAME, Purpose.NAME),
    ):
        if name_form.search(spelled):
            return purpose
    return None


def find_sinks(module: Module) -> Iterator[Sink]:
    """Every sink of a module."""
    yield from _assigned(module)
    yield from _returned(module)
    yield from _sent(module)
    yield from _defaults(module)
    yield from _looked_up(module)


def _named(name: str, role: Role, value: ast.expr | None) -> Iterator[Sink]:
    purpose = purpose_of(name)
    if purpose is Purpose.NAME and role is not Role.ASSIGNED:
        return  # A name that is handed on is for people; one that is made up here may have to be unique.
    if purpose is not None and value is not None and not isinstance(value, ast.Constant):
        yield Sink(purpose, role, value, name)


def _assigned(module: Module) -> Iterator[Sink]:
    for node in module.nodes(ast.Assign, ast.AnnAssign, ast.NamedExpr):
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            match target:
                case ast.Name(id=name) | ast.Attribute(attr=name):
                    yield from _named(name, Role.ASSIGNED, node.value)
                case ast.Subscript(slice=ast.Constant(value=str() as name)):
                    yield from _named(name, Role.SENT, node.value)
                case _:
                    pass


def _returned(module: Module) -> Iterator[Sink]:
    for node in module.nodes(ast.Return):
        function = module.scope(node)
        if isinstance(function, FUNCTIONS):
            yield from _named(_MAKER.sub("", function.name), Role.RETURNED, node.value)


def _sent(module: Module) -> Iterator[Sink]:
    for call in module.nodes(ast.Call):
        match call:
            case ast.Call(func=ast.Attribute(attr=setter), args=[value]) if setter.startswith("set_"):
                yield from _named(setter.removeprefix("set_"), Role.ASSIGNED, value)
            case _:
                pass
    for keyword in module.nodes(ast.keyword):
        if keyword.arg:
            yield from _named(keyword.arg, Role.SENT, keyword.value)
    for entries in module.nodes(ast.Dict):
        for key, value in zip(entries.keys, entries.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield from _named(key.value, Role.SENT, value)


def _defaults(module: Module) -> Iterator[Sink]:
    """What a field's default makes for each new row: `default=lambda: ...`, `default_factory=make_code`."""
    for keyword in module.nodes(ast.keyword):
        call = module.parent(keyword)
        if keyword.arg in {"default", "default_factory", "factory", "insert_default"} and isinstance(call, ast.Call):
            name = _field_name(module, call)
            purpose = Purpose.ROW if _is_unique(call) else purpose_of(name)
            for value in _made_by(module, keyword.value) if purpose else ():
                yield Sink(purpose or Purpose.ROW, Role.DEFAULT, value, name)


def _field_name(module: Module, call: ast.Call) -> str:
    match module.parent(call):
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
        case _:
            return ""


def _is_unique(call: ast.Call) -> bool:
    """Whether a column refuses a second row with the same value."""
    return any(
        keyword.arg in {"unique", "primary_key"} and isinstance(keyword.value, ast.Constant) and keyword.value.value is True
        for keyword in call.keywords
    )


def _made_by(module: Module, factory: ast.expr) -> Iterator[ast.expr]:
    """The values that a factory returns: a lambda's body, the returns of a function of this module."""
    match factory:
        case ast.Lambda(body=body):
            yield body
        case ast.Name(id=name):
            for binding in module.names.lookup(name, factory):
                if isinstance(binding.node, FUNCTIONS):
                    yield from (node.value for node in module.names.returns(binding.node) if node.value)
        case _:
            pass


def _looked_up(module: Module) -> Iterator[Sink]:
    """Keys by which a store is asked whether it has seen an operation before."""
    for command in module.redis_commands:
        key = command.key
        if key is not None and command.name in _ASKS and _SEEN_BEFORE.search(_spelled_out(key, module)):
            yield Sink(Purpose.IDEMPOTENCY, Role.LOOKED_UP, key, module.segment(key))


def _spelled_out(key: ast.expr, module: Module) -> str:
    """The text of a key with that of the values that its names stand for."""
    text = module.segment(key)
    if isinstance(key, ast.Name):
        values = [binding.value for binding in module.names.reaching(key.id, key)]
        text += " ".join(module.segment(value) for value in values if value is not None)
    return text
