"""A default is worked out once, when the module is imported, and everybody gets the same one.

## What happens
`default=uuid.uuid4()` calls the function while the class is being defined. The process makes one id, and every row, object or
call until the next restart gets that one. The first sign-up works; every later one fails on the unique key, or worse: where
nothing is unique, everybody is the same person. With a clock in the place of the id, everything has the time of the deploy.

## Why tests miss it
A test signs up one user on an empty database, and one is exactly as many as work. Each run of the tests is a new process with a
new value, so it even looks random.

## What to write instead
Give the function, not its result: `default=uuid.uuid4`, `default=lambda: str(uuid.uuid4())`, `default_factory=...`. For an
argument, write `None` and make the value in the body. A SQL expression such as `func.now()` is worked out by the database for
each row and is right as it is.

## Where it comes from
A start-up's sign-up, translated by an assistant from one framework to another: five days in which only the first user of each
process could sign up, and $10k lost.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from interlock.core.finding import Confidence, Severity
from interlock.hazards.hazard import Hazard, Mutant
from interlock.source.edit import edited, replacing
from interlock.source.module import FUNCTIONS
from interlock.source.origin import Kind, Part
from interlock.source.sinks import Purpose, Role, purpose_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.core.finding import Finding
    from interlock.source.module import Function, Module
    from interlock.source.sinks import Sink

HAZARD = Hazard(
    __name__,
    severity=Severity.CRITICAL,
    advice="give the function instead of its result: default=make_id, default=lambda: make_id(), default_factory=make_id",
    needles=((b"uuid", b"now(", b"time", b"today(", b"random", b"secrets", b"token", b"ulid", b"nanoid"),),
    signal="sign-ups (or whatever is created) per hour fall to one per process; errors on a unique key rise",
    scenario="two sign-ups in quick succession",
    sources=(
        "https://docs.sqlalchemy.org/en/20/core/defaults.html#python-executed-functions",
        "https://docs.djangoproject.com/en/5.2/ref/models/fields/#default",
        "https://docs.python-guide.org/writing/gotchas/#mutable-default-arguments",
    ),
)

# The keyword arguments by which frameworks take a default: columns, model fields, dataclass, attrs and pydantic fields.
_DEFAULTS = frozenset({"default", "insert_default", "onupdate", "server_default", "missing", "load_default"})
_FIELD_MAKERS = frozenset(
    {"Column", "mapped_column", "field", "Field", "ib", "attrib", "attr", "Parameter", "Body", "Query", "Form"}
)
_DATA_CLASSES = ("dataclass", "dataclasses.dataclass", "attr.s", "attr.attrs", "attr.define", "attrs.define", "attrs.frozen")
_DATA_BASES = frozenset({"BaseModel", "SQLModel", "Schema", "Struct", "NamedTuple", "Document", "RootModel"})


@HAZARD.detects(ast.Call)
def detect_field(call: ast.Call, module: Module) -> Iterator[Finding]:
    """`Column(default=uuid.uuid4())`, `models.DateTimeField(default=timezone.now())`, `Field(uuid4())`."""
    if not _makes_field(call, module) or not module.at_import(call) or _made_once_anyway(module.scope(call), module):
        return
    for value in _given_defaults(call, module):
        made = _made_at_import(value, module)
        if made is not None:
            yield HAZARD.finding(module, value, _message(f"this default of {_field_name(call, module)}", made))


@HAZARD.detects(ast.FunctionDef, ast.AsyncFunctionDef)
def detect_argument(function: Function, module: Module) -> Iterator[Finding]:
    """`def record(event, at=datetime.now())`."""
    for argument, default in _arguments_with_defaults(function) if module.at_import(function) else ():
        made = _made_at_import(default, module)
        if made is not None and not _is_dependency(default):
            yield HAZARD.finding(module, default, _message(f"the default of the argument `{argument.arg}`", made))


@HAZARD.detects(ast.AnnAssign, ast.Assign)
def detect_attribute(statement: ast.AnnAssign | ast.Assign, module: Module) -> Iterator[Finding]:
    """`id: str = str(uuid4())` in a dataclass or model, and a plain class attribute that its objects use as their id."""
    owner = module.scope(statement)
    if not isinstance(owner, ast.ClassDef) or statement.value is None or not module.at_import(statement):
        return
    if _made_once_anyway(owner, module):
        return
    made = _made_at_import(statement.value, module)
    if made is not None and (_is_field(statement, owner, module) or _is_own_id(statement, owner, module)):
        yield HAZARD.finding(module, statement.value, _message(f"the field `{owner.name}.{_target_name(statement)}`", made))


@HAZARD.detects(ast.Module)
def detect_shared(_: ast.Module, module: Module) -> Iterator[Finding]:
    """`User(id=NEW_ID)` in a function, where `NEW_ID = str(uuid4())` stands at the top of the module."""
    for sink in module.sinks:
        if sink.role is not Role.SENT or sink.purpose not in {Purpose.ROW, Purpose.BUSINESS, Purpose.IDEMPOTENCY}:
            continue
        made = _made_at_import(sink.value, module) if module.function(sink.value) is not None else None
        if made is not None and made.kind is Kind.RANDOM and _makes_object(sink, module):
            yield HAZARD.finding(module, sink.value, _message(f"the {sink.purpose} `{sink.name}`", made), Confidence.MEDIUM)


def _makes_object(sink: Sink, module: Module) -> bool:
    """Whether each call makes a new thing with this id: an object of a class, or an operation with a key."""
    holder = module.parent(sink.value)
    call = module.parent(holder) if isinstance(holder, ast.keyword) else None
    if not isinstance(call, ast.Call):
        return sink.purpose is Purpose.IDEMPOTENCY
    name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""
    return sink.purpose is Purpose.IDEMPOTENCY or name[:1].isupper()


def _makes_field(call: ast.Call, module: Module) -> bool:
    """Whether a call declares a field, to judge by the name of what is called."""
    name = module.names.dotted(call.func) or (call.func.attr if isinstance(call.func, ast.Attribute) else "")
    last = name.rpartition(".")[2] or (call.func.id if isinstance(call.func, ast.Name) else "")
    return last in _FIELD_MAKERS or (last.endswith("Field") and last[:1].isupper())


def _made_once_anyway(owner: ast.AST, module: Module) -> bool:
    """Whether a process makes one object of this class: its settings."""
    if not isinstance(owner, ast.ClassDef):
        return False
    return any(name.endswith(("Settings", "Config")) for name in (owner.name, *module.names.ancestry(owner)))


def _given_defaults(call: ast.Call, module: Module) -> Iterator[ast.expr]:
    yield from (keyword.value for keyword in call.keywords if keyword.arg in _DEFAULTS)
    if call.args and module.names.dotted(call.func).rpartition(".")[2] == "Field":
        yield call.args[0]  # pydantic's Field takes the default first.


def _made_at_import(value: ast.expr, module: Module) -> Part | None:
    """The clock or randomness in a value, if it is really read while the module is imported."""
    made = module.origins.of(value).always(Kind.CLOCK, Kind.RANDOM)
    return next((part for part in made if module.at_import(part.site) and not _means_import(value, part, module)), None)


def _means_import(value: ast.expr, made: Part, module: Module) -> bool:
    """Whether the name says that the time of the import is what is wanted: `started_at`, `boot_time`."""
    statement = module.statement(value)
    name = _target_name(statement) if isinstance(statement, (ast.Assign, ast.AnnAssign)) else ""
    return (
        made.kind is Kind.CLOCK and re.search(r"start(up|ed)|boot|launch|uptime|(im|re)?load", name, re.IGNORECASE) is not None
    )


def _arguments_with_defaults(function: Function) -> Iterator[tuple[ast.arg, ast.expr]]:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    yield from zip(positional[len(positional) - len(arguments.defaults) :], arguments.defaults, strict=True)
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is not None:
            yield argument, default


def _is_dependency(default: ast.expr) -> bool:
    """FastAPI's `Depends(...)` and the like are worked out for each request."""
    return isinstance(default, ast.Call) and ast.unparse(default.func).rpartition(".")[2] in {"Depends", "Security", "Provide"}


def _is_data_class(owner: ast.ClassDef, module: Module) -> bool:
    """Whether annotated attributes of the class are the fields of its objects."""
    decorated = any(name in _DATA_CLASSES or name.endswith(".dataclass") for name, _ in module.names.decorators(owner))
    bases = {name.rpartition(".")[2] for name in module.names.ancestry(owner)}
    return decorated or not bases.isdisjoint(_DATA_BASES)


def _is_field(statement: ast.AnnAssign | ast.Assign, owner: ast.ClassDef, module: Module) -> bool:
    """Whether a class attribute is a field, of which each object has its own."""
    annotated = isinstance(statement, ast.AnnAssign) and "ClassVar" not in ast.unparse(statement.annotation)
    return annotated and _is_data_class(owner, module)


def _is_own_id(statement: ast.AnnAssign | ast.Assign, owner: ast.ClassDef, module: Module) -> bool:
    """Whether a plain class attribute is called an id and read through `self`, as if each object had its own."""
    name = _target_name(statement)
    if purpose_of(name) is None or name in module.names.attributes(owner):
        return False
    return any(
        isinstance(node, ast.Attribute) and node.attr == name and isinstance(node.value, ast.Name) and node.value.id == "self"
        for node in ast.walk(owner)
    )


def _target_name(statement: ast.AnnAssign | ast.Assign) -> str:
    target = statement.target if isinstance(statement, ast.AnnAssign) else statement.targets[0]
    return target.id if isinstance(target, ast.Name) else ""


def _field_name(call: ast.Call, module: Module) -> str:
    statement = module.statement(call)
    name = _target_name(statement) if isinstance(statement, (ast.Assign, ast.AnnAssign)) else ""
    return f"`{name}`" if name else "a field"


def _message(what: str, made: Part) -> str:
    meaning = "the time of the import" if made.kind is Kind.CLOCK else "one value for everybody"
    return f"{what} calls {made.name} once, when the module is imported: {meaning} until the process restarts"


@HAZARD.injects
def inject(module: Module) -> Iterator[Mutant]:
    """Calls what should be called later: `default=make` becomes `default=make()`, a lambda becomes its body."""
    for call in module.nodes(ast.Call):
        for keyword in call.keywords if _makes_field(call, module) and module.at_import(call) else ():
            value = keyword.value
            if keyword.arg not in {*_DEFAULTS, "default_factory", "factory"}:
                continue
            called = module.segment(value.body) if isinstance(value, ast.Lambda) else f"{module.segment(value)}()"
            if isinstance(value, (ast.Lambda, ast.Name, ast.Attribute)) and _would_be_made(value, module):
                yield Mutant(
                    keyword.value.lineno, f"default={called}", edited(module, [replacing(module, keyword, f"default={called}")])
                )


def _would_be_made(factory: ast.Lambda | ast.Name | ast.Attribute, module: Module) -> bool:
    """Whether calling this factory reads a clock or makes something random."""
    if isinstance(factory, ast.Lambda):
        return bool(module.origins.of(factory.body).always(Kind.CLOCK, Kind.RANDOM))
    helper = next((b.node for b in module.names.lookup(factory.id, factory)), None) if isinstance(factory, ast.Name) else None
    if isinstance(helper, FUNCTIONS):
        return any(
            module.origins.of(node.value).always(Kind.CLOCK, Kind.RANDOM) for node in module.names.returns(helper) if node.value
        )
    return module.names.dotted(factory) in {"uuid.uuid4", "django.utils.timezone.now", "datetime.datetime.now", "time.time"}


BAD = (
    """
import uuid
from shop.models import User

NEW_ID = str(uuid.uuid4())

def sign_up(session, name):
    session.add(User(id=NEW_ID, name=name))  # expect: identity/evaluated-once

def pay(bank, order):
    return bank.charge(order.amount_minor, idempotency_key=NEW_ID)  # expect: identity/evaluated-once
""",
    """
import uuid
from sqlalchemy import Column, String
from sqlalchemy.orm import Mapped, mapped_column

class User(Base):
    id: Mapped[str] = mapped_column(String, primary_key=True, default=str(uuid.uuid4()))  # expect: identity/evaluated-once
    legacy_id = Column(String, default=uuid.uuid4().hex)  # expect: identity/evaluated-once
""",
    """
from datetime import datetime
from django.db import models
from django.utils import timezone

def new_reference():
    return datetime.now().strftime("%Y%m%d%H%M%S")

class Order(models.Model):
    placed_at = models.DateTimeField(default=timezone.now())  # expect: identity/evaluated-once
    reference = models.CharField(max_length=20, default=new_reference())  # expect: identity/evaluated-once
""",
    """
import secrets
from dataclasses import dataclass, field
from uuid import UUID, uuid4
import attr
from pydantic import BaseModel, Field

@dataclass
class Job:
    id: str = str(uuid4())  # expect: identity/evaluated-once
    token: str = field(default=secrets.token_hex(16))  # expect: identity/evaluated-once

class Event(BaseModel):
    id: UUID = uuid4()  # expect: identity/evaluated-once
    key: str = Field(default=secrets.token_urlsafe(16))  # expect: identity/evaluated-once

@attr.s(auto_attribs=True)
class Task:
    id: str = attr.ib(default=uuid4().hex)  # expect: identity/evaluated-once
""",
    """
import time
import uuid

def record(event, at=time.time()):  # expect: identity/evaluated-once
    return event, at

class Request:
    request_id = str(uuid.uuid4())  # expect: identity/evaluated-once

    def headers(self):
        return {"X-Request-ID": self.request_id}
""",
    """
from uuid import uuid4
from sqlalchemy import Column, String
from shop.ids import new_id

class User(Base):
    id = Column(String, primary_key=True, default=new_id())  # expect-later: identity/evaluated-once
""",
)

GOOD = (
    """
import uuid
from shop.models import User

WORKER_ID = str(uuid.uuid4())

def sign_up(session, name):
    session.add(User(id=str(uuid.uuid4()), name=name, created_by=WORKER_ID))

def heartbeat(client):
    client.send(worker_id=WORKER_ID, id="heartbeat")
""",
    """
import uuid
from sqlalchemy import Column, DateTime, String, func, text
from sqlalchemy.orm import Mapped, mapped_column

class User(Base):
    id: Mapped[str] = mapped_column(String, primary_key=True, default=lambda: str(uuid.uuid4()))
    legacy_id = Column(String, default=uuid.uuid4)
    created_at = Column(DateTime, default=func.now(), onupdate=func.now())
    seen_at = Column(DateTime, server_default=text("now()"))
""",
    """
from django.db import models
from django.utils import timezone

def new_reference():
    return timezone.now().strftime("%Y%m%d%H%M%S%f")

class Order(models.Model):
    placed_at = models.DateTimeField(default=timezone.now)
    reference = models.CharField(max_length=20, default=new_reference)
    year = models.IntegerField(default=2024)
""",
    """
import secrets
from dataclasses import dataclass, field
from uuid import UUID, uuid4
from pydantic import BaseModel, Field

@dataclass
class Job:
    id: str = field(default_factory=lambda: str(uuid4()))
    token: str = field(default_factory=secrets.token_hex)

class Event(BaseModel):
    id: UUID = Field(default_factory=uuid4)
""",
    """
import time
import uuid

def record(event, at=None):
    return event, time.time() if at is None else at

def timer():
    def elapsed(start=time.monotonic()):
        return time.monotonic() - start
    return elapsed
""",
    """
import functools
import uuid
from sqlalchemy import Column, String

def prefixed(prefix):
    return functools.partial("{}_{}".format, prefix)

WORKER_ID = uuid.uuid4().hex

class Worker:
    started_by = WORKER_ID

class User(Base):
    id = Column(String, primary_key=True, default=prefixed("user"))
""",
)
