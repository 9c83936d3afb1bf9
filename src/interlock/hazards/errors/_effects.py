"""Which calls change the world outside of the process, to judge by what they are called and on what.

A call is an effect if its name is that of one (`send`, `commit`, `refund`), or if its name begins like one and nothing is done with its
result (`update_stock(order)`): a call whose result nobody takes is made for what it does.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Final

from interlock.core.pattern import pattern
from interlock.source.module import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.source.module import Function, Module

MONEY: Final = frozenset(
    {"charge", "refund", "capture", "payout", "transfer", "withdraw", "deposit", "pay", "debit", "credit", "settle"}
)
_EFFECTS: Final = MONEY | {
    "send", "sendmail", "publish", "enqueue", "commit", "deliver", "notify", "upload", "schedule", "submit", "persist", "save", "upsert",
    "provision", "deploy", "delay", "fulfill", "ship", "reserve", "book", "enroll", "unenroll", "email", "post",
}  # fmt: skip
_BEGINNINGS: Final = _EFFECTS | {
    "create", "update", "add", "insert", "store", "push", "record", "mark", "assign", "grant", "revoke", "activate", "register",
    "apply", "replace", "bulk", "put", "patch", "subscribe", "issue", "confirm", "finalize", "complete", "approve", "forward", "produce",
}  # fmt: skip
_STORES: Final = pattern(
    r"\bobjects\b|session|client|\bdb\b|database|\bapi\b|service|repo|table|collection|bucket|queue|stripe|s3|http|requests",
    re.IGNORECASE,
)
_REDIS_WRITES: Final = frozenset(
    {"lpush", "rpush", "xadd", "zadd", "sadd", "hset", "hincrby", "incrby", "decrby", "incr", "decr", "publish"}
)
_WRITING_SQL: Final = pattern(r"^\s*(INSERT|UPDATE|REPLACE|MERGE)\b", re.IGNORECASE)
# What may fail without anybody being the poorer: measurements and messages about the program, what is kept only to be faster.
_BESIDE_THE_POINT: Final = frozenset(
    """metric metrics telemetry statsd analytics track tracker tracking trace tracer tracing span sentry posthog mixpanel langfuse log logger
    logging stats progress heartbeat ping keepalive cache cached warm prefetch debug history typing cookie cookies stdout stderr console
    buffer stream image img profile profiler monitor monitoring shutdown cancel logout telegram slack realtime alert alerts metadata""".split()
)
_ABOUT_THE_PROGRAM: Final = pattern(
    r"(^|[/_])(logs?|logging|telemetry|analytics|metrics|stats|tracing)(_\w+)?\.py$|(^|/)_?(telemetry|analytics|metrics|tracing)/"
)
_PAYMENT: Final = pattern(r"pay|charge|intent|order|stripe|bank|transaction|authori[sz]ation", re.IGNORECASE)
# Files that are of use only while the program runs, or only make it faster, or only tell of it.
_PASSING: Final = frozenset(
    "tmp temp temporary lock pid marker devnull cache cached log logs logging history debug trace telemetry cookie cookies console".split()
)
_MAX_DEPTH: Final = 3


def words(name: str) -> list[str]:
    """The words of an identifier: `updateStock` and `_update_stock` are `update`, `stock`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip("_")).lower().split("_")


def is_beside_the_point(spelled: str) -> bool:
    """Whether a name says that something is only about the program, or only there to be faster."""
    return any(not _BESIDE_THE_POINT.isdisjoint(words(part)) for part in re.findall(r"\w+", spelled))


def effects(body: list[ast.stmt], module: Module) -> Iterator[ast.Call]:
    """The calls of a block that are effects, in source order, without those that have a handler of their own."""
    if _ABOUT_THE_PROGRAM.search(module.path):
        return
    for call in _calls(body):
        if is_effect(call, module):
            yield call


def _calls(body: list[ast.stmt]) -> Iterator[ast.Call]:
    waiting: list[ast.AST] = list(reversed(body))
    while waiting:
        node = waiting.pop()
        if isinstance(node, (*FUNCTIONS, ast.Lambda, ast.ClassDef)):
            continue
        if isinstance(node, ast.Call):
            yield node
        inside = [
            child
            for child in ast.iter_child_nodes(node)
            if not (isinstance(node, ast.Try) and node.handlers and child in node.body)
        ]
        waiting.extend(reversed(inside))


def is_effect(call: ast.Call, module: Module, depth: int = 0) -> bool:
    """Whether a call changes something outside of the process."""
    name, receiver = called(call), _receiver(call)
    spelled = f"{receiver}.{name}"
    if _writes_file(call, name, receiver):
        return True
    if not name or name[:1].isupper() or is_beside_the_point(spelled):
        return False
    if name == "capture" and not _PAYMENT.search(spelled):
        return False
    if name in _REDIS_WRITES and any(command.call is call for command in module.redis_commands):
        return True
    if name.startswith("exec"):
        return _writes_sql(call, module)
    helper = module.names.definition(call)
    if helper is not None:
        # A helper is judged by what it does, except where its name says that it moves money.
        return _begins(name) and depth < _MAX_DEPTH and (words(name)[0] in MONEY or _has_effect(helper, module, depth))
    return _is_named_effect(call, name, receiver, module)


def _writes_file(call: ast.Call, name: str, receiver: str) -> bool:
    """Whether a call writes a file that is meant to stay: `open(path, "wb")`, `path.write_text(report)`."""
    path = receiver or (ast.unparse(call.args[0]) if call.args else "")
    if any(not _PASSING.isdisjoint(words(part)) for part in re.findall(r"\w+", path)):
        return False
    modes = [*call.args[0 if receiver else 1 :], *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    match modes:
        case [ast.Constant(value=str() as mode), *_] if name == "open":
            return not set(mode).isdisjoint("wxa") and set(mode) <= set("wxabt+")
        case _:
            return name in {"write_text", "write_bytes"} and bool(receiver)


def _is_named_effect(call: ast.Call, name: str, receiver: str, module: Module) -> bool:
    is_plain = receiver and _is_local_value(call, module)
    if is_plain or name == "apply" or not _begins(name):
        return False
    if words(name) == ["save"] and call.args and not call.keywords:
        return False  # An image or a plot that is written into something.
    if len(words(name)) == 1:
        return name in _EFFECTS or (bool(_STORES.search(receiver)) and not (name == "put" and "queue" in receiver.lower()))
    return name == "apply_async" or is_command(call, module)


def _begins(name: str) -> bool:
    return words(name)[0] in _BEGINNINGS


def is_command(call: ast.Call, module: Module) -> bool:
    """Whether nothing is done with the result of a call: it is made for what it does."""
    around = module.parent(call)
    if isinstance(around, ast.Await):
        around = module.parent(around)
    return isinstance(around, ast.Expr)


def _is_local_value(call: ast.Call, module: Module) -> bool:
    """Whether a method is one of a value made here: a list, a dict, a text, a buffer."""
    match call.func:
        case ast.Attribute(value=ast.Name(id=name) as base):
            bindings = module.names.reaching(name, base)
            return bool(bindings) and all(_is_plain(binding.value) for binding in bindings)
        case ast.Attribute(value=value):
            return _is_plain(value)
        case _:
            return False


def _is_plain(value: ast.expr | None) -> bool:
    match value:
        case (
            ast.Dict()
            | ast.List()
            | ast.Set()
            | ast.Tuple()
            | ast.Constant()
            | ast.JoinedStr()
            | ast.DictComp()
            | ast.ListComp()
            | ast.SetComp()
        ):
            return True
        case ast.Call(
            func=ast.Name(
                id="dict"
                | "list"
                | "set"
                | "defaultdict"
                | "Counter"
                | "deque"
                | "OrderedDict"
                | "BytesIO"
                | "StringIO"
                | "Queue"
            )
        ):
            return True
        case ast.Call(
            func=ast.Attribute(attr="BytesIO" | "StringIO" | "Queue" | "copy" | "deque" | "md5" | "sha256" | "sha1" | "new")
        ):
            return True
        case _:
            return False


def _has_effect(helper: Function, module: Module, depth: int) -> bool:
    return any(is_effect(call, module, depth + 1) for call in _calls(helper.body))


def _writes_sql(call: ast.Call, module: Module) -> bool:
    """Whether a call executes a statement that writes: SQL text, or `Model.insert_many(rows).execute()`."""
    if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Call):
        chain = {called(node) for node in ast.walk(call.func.value) if isinstance(node, ast.Call)}
        if not chain.isdisjoint({"insert", "insert_many", "update", "replace", "upsert"}):
            return True
    return bool(call.args) and _is_writing(call.args[0], module, 0)


def _is_writing(expr: ast.expr, module: Module, depth: int) -> bool:
    match expr:
        case ast.Constant(value=str() as text):
            return bool(_WRITING_SQL.match(text))
        case ast.JoinedStr(values=[ast.Constant(value=str() as text), *_]):
            return bool(_WRITING_SQL.match(text))
        case ast.BinOp(left=left):
            return _is_writing(left, module, depth)
        case ast.Call(func=ast.Name(id="insert" | "update")):
            return True
        case ast.Call(
            func=ast.Attribute(
                value=value, attr="values" | "bindparams" | "where" | "format" | "returning" | "on_conflict_do_update"
            )
        ):
            return _is_writing(value, module, depth)
        case ast.Call(func=ast.Attribute(attr="insert" | "update"), args=[]):
            return True
        case ast.Call(args=[first, *_]) if called(expr) in {"text", "SQL"}:
            return _is_writing(first, module, depth)
        case ast.Name(id=name) if depth < _MAX_DEPTH:
            values = [binding.value for binding in module.names.reaching(name, expr) if binding.value is not None]
            return bool(values) and _is_writing(values[0], module, depth + 1)
        case _:
            return False


def called(call: ast.Call) -> str:
    """The last part of the name of what is called."""
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _receiver(call: ast.Call) -> str:
    return ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""


def is_money(call: ast.Call) -> bool:
    """Whether a call moves money, to judge by its name."""
    return not MONEY.isdisjoint(words(called(call)))
