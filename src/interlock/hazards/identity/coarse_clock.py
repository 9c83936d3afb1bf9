"""Two operations in the same tick of a clock get the same identity, and one of them is lost.

## What happens
The key is made of the user and the time in whole seconds. Two payments of one user in one second get the same key: the second is
taken for a repeat of the first and dropped. A repeat that arrives a second later gets another key: it is not recognised, and the
customer pays twice. One key does both kinds of harm. An order number made from the time alone collides between all customers.

## Why tests miss it
A test makes one request a second, or freezes the clock. Production makes hundreds in the same second.

## What to write instead
A key that names the thing: the order, the payment intent, the message. It is made once, stored, and sent again unchanged with every
attempt. For a new row's id use `uuid4()` or the database's own sequence.

## Where it comes from
The payment retry queue of 17 October 2024: user id + whole seconds, 0 % collisions in tests at one request a second, 37 % in
production at 420; 47 minutes of outage, 14,217 duplicate transactions.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from interlock.core.finding import Confidence, Severity
from interlock.core.pattern import pattern
from interlock.hazards.hazard import Hazard, Mutant
from interlock.hazards.identity._telling import label, only_who, resolution_in_words, tells_one_from_another
from interlock.source.edit import edited, importing, replacing
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
    severity=Severity.CRITICAL,
    advice="let the key name the thing (the order, the payment), made once, stored, and sent again unchanged; no clock in it",
    needles=((b"time", b"now", b"today"), (b"id", b"key", b"Key", b"dedup", b"ref", b"number")),
    signal="accepted payments exceed stored ones; duplicate charges; both grow with traffic and are absent at night",
    scenario="two payments of one user in one second",
    sources=("https://docs.stripe.com/api/idempotent_requests", "https://www.rfc-editor.org/rfc/rfc9562#section-6"),
)

_FINEST_S = 0.9e-3  # Below a millisecond a clock rarely repeats itself within one process.
_WINDOW_S = 59.0  # From a minute up, a clock in an idempotency key is a window that somebody meant.

_STORES = frozenset({"open", "join", "joinpath", "Path", "save", "put_object", "upload_file", "upload_fileobj", "write_bytes"})
# What a person or a schedule starts, one after the other.
_ONE_AT_A_TIME = pattern(
    r"(^|_)(run|backup|build|version|snapshot|release|experiment|report|export|dump|archive|migration|revision)(_|$)"
)


@HAZARD.detects(ast.Module)
def detect(_: ast.Module, module: Module) -> Iterator[Finding]:
    """A clock, read no finer than a millisecond, where identity matters."""
    reported: set[ast.AST] = set()
    for sink in sorted(module.sinks, key=lambda sink: sink.role is not Role.RETURNED):
        origin = module.origins.of(sink.value)
        clock = _coarse_clock(sink, origin)
        if clock is None or clock.maker in reported or _is_told_apart(sink, origin) or _is_for_people(sink, origin, module):
            continue
        reported.add(clock.maker or clock.site)
        sure = Confidence.MEDIUM if sink.purpose in {Purpose.LABEL, Purpose.NAME} else Confidence.HIGH
        place = _place(sink, clock, module)
        yield HAZARD.finding(module, place, _message(sink, origin, clock, place), sure)


def _coarse_clock(sink: Sink, origin: Origin) -> Part | None:
    longest_s = _WINDOW_S if sink.purpose is Purpose.IDEMPOTENCY else 2 * 86400.0
    clocks = origin.always(Kind.CLOCK)
    return next(
        (part for part in clocks if _FINEST_S <= min(part.resolution_s, *(c.resolution_s for c in clocks)) <= longest_s), None
    )


def _is_told_apart(sink: Sink, origin: Origin) -> bool:
    """Whether something beside the clock makes each operation's value another one."""
    if origin.of(Kind.RANDOM):
        return True
    match sink.purpose:
        case Purpose.IDEMPOTENCY:
            return False  # Whatever else is in it: the clock keeps it from recognising a repeat.
        case Purpose.BUSINESS:
            return not only_who(origin.parts)
        case Purpose.ROW:
            return not only_who(origin.parts)
        case Purpose.NAME:
            in_seconds = any(part.resolution_s == 1.0 for part in origin.of(Kind.CLOCK))
            is_mixed = len(origin.parts) > 1
            return not (in_seconds and is_mixed) or any(tells_one_from_another(part) for part in origin.parts)
        case Purpose.LABEL:
            return not only_who(origin.parts) or sink.role is Role.SENT or _ONE_AT_A_TIME.search(words(sink.name)) is not None


def _is_for_people(sink: Sink, origin: Origin, module: Module) -> bool:
    """Whether a name is there to be read: it has spaces or brackets in it, or is a file's that is not stored here."""
    if sink.purpose is not Purpose.NAME:
        return False
    texts = "".join(
        part.site.value
        for part in origin.of(Kind.CONSTANT)
        if isinstance(part.site, ast.Constant) and isinstance(part.site.value, str)
    )
    is_file = re.search(r"file_?name$", sink.name, re.IGNORECASE) is not None
    return not set(texts).isdisjoint(" []()") or (is_file and not _is_stored(sink, module)) or _is_a_label(sink, module)


def _is_a_label(sink: Sink, module: Module) -> bool:
    """Whether a local name does nothing but become the `name` of something that has an id of its own: `{"name": job_name}`."""
    function = module.function(sink.value)
    uses = [node for node in ast.walk(function) if _reads(node, sink.name)] if function else []
    return bool(uses) and all(_labels(use, module) for use in uses)


def _reads(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)


def _labels(use: ast.AST, module: Module) -> bool:
    """Whether a use is an entry called name or title, or an argument of a log line."""
    match module.parent(use):
        case ast.Dict(keys=keys, values=values):
            key = next(key for key, value in zip(keys, values, strict=True) if value is use or key is use)
            return isinstance(key, ast.Constant) and key.value in {"name", "title", "display_name", "label"}
        case ast.Call(func=ast.Attribute(attr="debug" | "info" | "warning" | "error" | "exception")):
            return True
        case _:
            return False


def _is_stored(sink: Sink, module: Module) -> bool:
    """Whether a file's name becomes part of a path here."""
    function = module.function(sink.value)
    for node in ast.walk(function) if function else ():
        match node:
            case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called), args=arguments) if called in _STORES:
                operands = arguments
            case ast.BinOp(op=ast.Div(), right=right):
                operands = [right]
            case _:
                continue
        if any(isinstance(operand, ast.Name) and operand.id == sink.name for operand in operands):
            return True
    return False


def _place(sink: Sink, clock: Part, module: Module) -> ast.expr:
    """Where the key is put together: at the sink if the clock is read in the same function, else where it is read."""
    if clock.maker is None or module.function(clock.maker) is module.function(sink.value):
        return sink.value
    return _whole(clock.maker, module)


def _whole(maker: ast.expr, module: Module) -> ast.expr:
    """The largest expression around a clock's call: the text that it becomes part of."""
    for around in module.ancestors(maker):
        if not isinstance(around, (ast.expr, ast.keyword)):
            break
        if isinstance(around, ast.expr):
            maker = around
    return maker


def _message(sink: Sink, origin: Origin, clock: Part, place: ast.expr) -> str:
    tick = resolution_in_words(clock.resolution_s)
    who = [label(part) for part in origin.variable if part.kind is not Kind.CLOCK and label(part)]
    of_whom = f"of one {' and '.join(dict.fromkeys(who))} " if who else ""
    second = "; a repeat after it is not recognised" if sink.purpose is Purpose.IDEMPOTENCY else ""
    line = clock.maker.lineno if clock.maker is not None else place.lineno
    read = "" if line == place.lineno else f" (read in line {line})"
    return f"the {sink.purpose} `{sink.name}` tells time by the {tick}{read}: two operations {of_whom}in one {tick} get the same{second}"


@HAZARD.injects
def inject(module: Module) -> Iterator[Mutant]:
    """Puts the clock in whole seconds in the place of what names the operation."""
    for sink in module.sinks:
        if sink.purpose is Purpose.IDEMPOTENCY and sink.role in {Role.ASSIGNED, Role.SENT, Role.RETURNED}:
            edits = [replacing(module, sink.value, 'f"{int(time.time())}"'), importing(module, "time")]
            yield Mutant(sink.value.lineno, f"{sink.name} is the time in whole seconds", edited(module, edits))


BAD = (
    """
import time

class PaymentRetryQueue:
    def _idempotency_key(self, user_id):
        return f"{user_id}:{int(time.time())}"  # expect: identity/coarse-clock

    def enqueue(self, payment):
        key = self._idempotency_key(payment["user_id"])
        return self.redis.set(f"idem:{key}", 1, nx=True, ex=86400)
""",
    """
from datetime import datetime
import requests

def charge(user, amount_minor):
    stamp = datetime.now().strftime("%Y%m%d%H%M%S")
    headers = {"Idempotency-Key": f"{user.id}-{stamp}"}  # expect: identity/coarse-clock
    return requests.post("https://api.pay.example/charges", json={"amount": amount_minor}, headers=headers, timeout=5)

def new_order(customer_id):
    order_id = f"ORD-{datetime.now():%Y%m%d%H%M%S}"  # expect: identity/coarse-clock
    transaction_id = int(datetime.now().timestamp() * 1000)  # expect: identity/coarse-clock
    return order_id, transaction_id
""",
    """
import time
from django.db import models

def make_number():
    return f"INV{round(time.time())}"  # expect: identity/coarse-clock

class Invoice(models.Model):
    number = models.CharField(max_length=20, unique=True, default=make_number)
""",
    """
import time
from pathlib import Path

def screenshot(folder: Path, device):
    filename = f"shot_{int(time.time())}.png"  # expect: identity/coarse-clock
    device.save(folder / filename)
    task_id = f"task-{int(time.time())}"  # expect: identity/coarse-clock
    return device.send({"id": int(time.time()), "task": task_id})  # expect: identity/coarse-clock
""",
)

GOOD = (
    """
from datetime import datetime
from flask import send_file

def export(rows, title):
    filename = f"{title}-{datetime.now():%Y%m%d%H%M%S}.csv"
    return send_file(rows, download_name=filename)

def compile_job(client, project):
    job_name = f"{project}-compile-{datetime.now():%Y%m%d%H%M%S}"
    return client.post("/jobs/", json={"name": job_name, "steps": ["compile"]}).json()["id"]

def describe(job):
    job.name = f"import of {datetime.now():%H:%M:%S}"
    session = f"{job.id}-{datetime.now():%H%M%S}"
    return session
""",
    """
import time
from datetime import date

def charge(bank, order, attempt_at):
    idempotency_key = f"charge:{order.id}"
    return bank.charge(order.amount_minor, idempotency_key=idempotency_key, requested_at=int(time.time()))

def monthly_invoice(bank, subscription):
    return bank.invoice(subscription.customer, idempotency_key=f"{subscription.id}:{date.today():%Y-%m}")
""",
    """
import time
import uuid

def new_order(user_id):
    order_id = f"{int(time.time())}-{uuid.uuid4()}"
    trace_id = f"{user_id}-{time.time_ns()}"
    return order_id, trace_id
""",
    """
import time

def allow(redis, user_id, limit):
    window = int(time.time() // 60)
    key = f"rate:{user_id}:{window}"
    count = redis.incr(key)
    redis.expire(key, 120)
    return count <= limit
""",
    """
from datetime import datetime

def backup(path, run):
    run_id = datetime.now().strftime("%Y%m%d_%H%M%S")
    order_id = f"{run.sequence}-{datetime.now():%Y%m%d}"
    return path / run_id, order_id
""",
)
