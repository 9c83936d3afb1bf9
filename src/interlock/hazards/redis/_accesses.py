"""What a function reads and writes in Redis, command by command and key by key, also through helpers of its module.

Two commands meet if they name the same key. Keys are compared as they are spelled once the names in them are followed:
`key = f"lock:{job_id}"` and `f"lock:{job_id}"` are one key, and so is the `f"lock:{name}"` of a helper that was called with `job_id`.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from interlock.source.redis import Command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.source.module import Function, Module

_DEEPEST: Final = 6  # Names followed in a row; real keys are spelled within three.
_HELPERS_DEEPEST: Final = 1  # Helpers of helpers.
_HELPER_COMMANDS_MAX: Final = 4  # A helper with more commands than this is no mere "is it there" or "mark it".
# Django's cache by the names of the Redis commands that it stands for.
_CACHE_METHODS: Final = {"get": "get", "set": "set", "add": "setnx", "delete": "delete", "has_key": "exists", "lock": "lock"}


@dataclass(frozen=True, slots=True, eq=False)
class Access:
    """One command on one key, as a function sees it."""

    command: Command
    key: str  # as spelled once names are followed
    at: ast.Call  # where it stands in the function: the command, or the call of the helper that sends it
    result: ast.expr  # where its answer comes out: the command, or the `execute()` of its pipeline
    helper: Function | None = None  # of this module, which sends it
    is_cache: bool = False  # through Django's cache

    @property
    def name(self) -> str:
        """The command's name."""
        return self.command.name

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands, for comparison."""
        return self.at.lineno, self.at.col_offset

    def meets(self, other: Access) -> bool:
        """Whether both name one key. What a helper does to a key's spelling (a prefix) is forgiven."""
        if self.key == other.key:
            return True
        longer, shorter = sorted((self.key, other.key), key=len, reverse=True)
        return (self.helper is not None or other.helper is not None) and len(shorter) > 2 and f"({shorter}" in longer  # noqa: PLR2004 - "k" is in everything.

    def in_one_batch_with(self, other: Access) -> bool:
        """Whether both are sent with one EXEC."""
        return self.command.buffered and other.command.buffered and self.result is other.result


@dataclass(frozen=True, slots=True)
class Accesses:
    """The accesses of one module, by function."""

    module: Module
    commands: dict[Function | None, list[Command]]
    caches: set[Command]  # those on Django's cache

    def of(self, function: Function, frame: dict[str, str] | None = None) -> list[Access]:
        """What a function does in Redis, in source order, with what its helpers do in its place.

        `frame` says what its parameters stand for.
        """
        own = [access for command in self.commands.get(function, []) for access in self._own(command, frame or {})]
        through = [access for call in calls_in(self.module).get(function, []) for access in self._through(call, function)]
        return sorted([*own, *through], key=lambda access: access.place)

    def _own(self, command: Command, frame: dict[str, str]) -> Iterator[Access]:
        for key in command.keys[:1]:
            answer = self.answer(command, self.module.function(command.call))
            yield Access(command, spelled(self.module, key, frame), command.call, answer, None, command in self.caches)

    def _through(self, call: ast.Call, function: Function) -> Iterator[Access]:
        """What a call of a helper does, at the place of the call."""
        helper = self.module.names.definition(call)
        sent = (
            list(self._sent_by(helper, frame_of(self.module, given_to(helper, call.args, call.keywords)), 0))
            if helper is not None and helper is not function
            else []
        )
        if len(sent) <= _HELPER_COMMANDS_MAX and _is_of_one_kind([access.command for access in sent]):
            for access in sent:
                yield Access(access.command, access.key, call, call, helper, access.is_cache)

    def _sent_by(self, helper: Function, frame: dict[str, str], depth: int) -> Iterator[Access]:
        """The commands of a helper and of the helpers that it calls itself."""
        for command in self.commands.get(helper, []):
            yield from self._own(command, frame)
        for call in calls_in(self.module).get(helper, []) if depth < _HELPERS_DEEPEST else ():
            inner = self.module.names.definition(call)
            if inner is not None and inner is not helper:
                yield from self._sent_by(
                    inner, frame_of(self.module, given_to(inner, call.args, call.keywords), frame), depth + 1
                )

    def answer(self, command: Command, function: Function | None) -> ast.expr:
        """Where the answer of a command comes out."""
        if not command.buffered or command.name == "execute":
            return command.call
        later = [
            found for found in self.commands.get(function, []) if found.name == "execute" and _after(found.call, command.call)
        ]
        pipe = root(command.receiver)
        return next((found.call for found in later if root(found.receiver) == pipe), command.call)


READS_ONE: Final = frozenset("get exists hget hexists sismember zscore zrank getbit ttl pttl hgetall hmget mget".split())
READS_COUNT: Final = frozenset("zcard scard llen hlen zcount".split())
READS_MANY: Final = frozenset(
    "zrangebyscore zrange zrevrange zrevrangebyscore lrange lindex smembers hgetall hkeys hvals sscan_iter zscan_iter hscan_iter".split()
)
COUNTS: Final = frozenset("incr incrby incrbyfloat decr decrby hincrby hincrbyfloat zincrby".split())
READS: Final = (
    READS_ONE | READS_COUNT | READS_MANY | {"scan_iter", "keys", "scan", "type", "strlen", "srandmember", "sscan", "info"}
)
NEUTRAL: Final = frozenset(
    "expire pexpire expireat pexpireat execute multi watch unwatch pipeline multi_exec reset close aclose ping publish".split()
)


def _is_of_one_kind(commands: list[Command]) -> bool:
    """Whether a helper only reads or only writes. One that does both is a whole operation and is looked at by itself."""
    reads = [command.name in READS for command in commands if command.name not in NEUTRAL]
    return bool(reads) and (all(reads) or not any(reads))


@lru_cache(maxsize=1)
def accesses_in(module: Module) -> Accesses:
    """The accesses of a module; three hazards ask for them one after the other."""
    found = Accesses(module, {}, set())
    for command in module.redis_commands:
        found.commands.setdefault(module.function(command.call), []).append(command)
    for command in _cache_commands(module) if "cache" in module.text else ():
        found.commands.setdefault(module.function(command.call), []).append(command)
        found.caches.add(command)
    return found


@lru_cache(maxsize=1)
def calls_in(module: Module) -> dict[Function | None, list[ast.Call]]:
    """The calls of a module by the function in which they run, in source order."""
    found: dict[Function | None, list[ast.Call]] = {}
    for call in module.nodes(ast.Call):
        found.setdefault(module.function(call), []).append(call)
    return found


@lru_cache(maxsize=1)
def uses_in(module: Module) -> dict[str, list[ast.AST]]:
    """Where each name is used, as a variable or as an attribute."""
    found: dict[str, list[ast.AST]] = {}
    for name in module.nodes(ast.Name):
        found.setdefault(name.id, []).append(name)
    for attribute in module.nodes(ast.Attribute):
        found.setdefault(attribute.attr, []).append(attribute)
    return found


def _cache_commands(module: Module) -> Iterator[Command]:
    """Calls on Django's cache, as the commands that they stand for."""
    known = {command.call for command in module.redis_commands}
    for call in module.nodes(ast.Call):
        match call.func:
            case ast.Attribute(value=receiver, attr=attr) if (
                attr in _CACHE_METHODS and call not in known and _is_cache(module, receiver)
            ):
                yield Command(call, _CACHE_METHODS[attr], receiver, buffered=False)
            case _:
                pass


def _is_cache(module: Module, receiver: ast.expr) -> bool:
    if isinstance(receiver, ast.Subscript):
        return module.names.dotted(receiver.value) == "django.core.cache.caches"
    if isinstance(receiver, ast.Name) and module.names.dotted(receiver) != "django.core.cache.cache":
        values = [binding.value for binding in module.names.lookup(receiver.id, receiver)]
        return any(isinstance(value, ast.Subscript) and _is_cache(module, value) for value in values)
    return module.names.dotted(receiver) == "django.core.cache.cache"


def root(receiver: ast.expr) -> str:
    """The variable at the bottom of a chain of commands: `pipe` of `pipe.set(...).expire(...)`."""
    while isinstance(receiver, ast.Call) and isinstance(receiver.func, ast.Attribute):
        receiver = receiver.func.value
    return ast.unparse(receiver)


def _after(call: ast.Call, other: ast.Call) -> bool:
    """Whether a call is made after another: further down, or around it in one chain."""
    return (call.end_lineno or 0, call.end_col_offset or 0) > (other.end_lineno or 0, other.end_col_offset or 0)


def parameters(helper: Function) -> list[ast.arg]:
    """The parameters that a caller gives by position."""
    found = [*helper.args.posonlyargs, *helper.args.args]
    return found[1:] if found and found[0].arg in {"self", "cls"} else found


def given_to(helper: Function, args: list[ast.expr], keywords: list[ast.keyword]) -> dict[str, ast.expr]:
    """What the parameters of a helper get from the arguments of a call, by name."""
    names = (parameter.arg for parameter in parameters(helper))
    return dict(zip(names, args, strict=False)) | {keyword.arg: keyword.value for keyword in keywords if keyword.arg}


def frame_of(
    module: Module, given: dict[str, ast.expr], around: dict[str, str] | None = None, depth: int = 0
) -> dict[str, str]:
    """How the parameters of a helper are spelled by one call of it."""
    return {name: spelled(module, value, around, depth) for name, value in given.items()}


def spelled(module: Module, expr: ast.expr, frame: dict[str, str] | None = None, depth: int = 0) -> str:
    """A key's text with the names in it followed; `frame` says what a helper's parameters stand for."""
    if depth > _DEEPEST:
        return ast.unparse(expr)
    match expr:
        case ast.Constant(value=value):
            return str(value)
        case ast.JoinedStr(values=values):
            return "".join(spelled(module, value, frame, depth + 1) for value in values)
        case ast.FormattedValue(value=value):
            return "{" + spelled(module, value, frame, depth + 1) + "}"
        case ast.Name(id=name):
            return _name(module, expr, name, frame, depth)
        case ast.BinOp(left=left, right=right):
            return f"{spelled(module, left, frame, depth + 1)}{spelled(module, right, frame, depth + 1)}"
        case ast.Call():
            return _made(module, expr, frame, depth)
        case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=attr):
            return _class_constant(module, expr, attr) or ast.unparse(expr)
        case ast.Starred(value=value) | ast.Await(value=value):
            return spelled(module, value, frame, depth + 1)
        case _:
            return ast.unparse(expr)


def _made(module: Module, call: ast.Call, frame: dict[str, str] | None, depth: int) -> str:
    """The key that a call makes: what a helper of this module returns; otherwise the call itself."""
    helper = module.names.definition(call)
    returned = _only_return(module, helper)
    if helper is not None and returned is not None:
        return spelled(
            module, returned, frame_of(module, given_to(helper, call.args, call.keywords), frame, depth + 1), depth + 1
        )
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    return (
        f"{_called(module, call.func, frame, depth)}({', '.join(spelled(module, value, frame, depth + 1) for value in given)})"
    )


def _only_return(module: Module, helper: Function | None) -> ast.expr | None:
    """What a helper returns if it has one way to return."""
    returns = module.names.returns(helper) if helper is not None else []
    return returns[0].value if len(returns) == 1 else None


def _class_constant(module: Module, expr: ast.expr, attr: str) -> str:
    """The text that a class body gives to an attribute, and nobody else: `prefix = "session:"`."""
    owner = module.enclosing(expr, ast.ClassDef)
    if owner is None or attr in module.names.attributes(owner):
        return ""
    values = [binding.value for cls in module.names.lineage(owner) for binding in module.names.own(cls).get(attr, [])]
    return values[0].value if values and isinstance(values[0], ast.Constant) and isinstance(values[0].value, str) else ""


def _called(module: Module, func: ast.expr, frame: dict[str, str] | None, depth: int) -> str:
    if isinstance(func, ast.Attribute) and isinstance(func.value, (ast.Constant, ast.JoinedStr, ast.Name)):
        return f"{spelled(module, func.value, frame, depth + 1)}.{func.attr}"
    return ast.unparse(func)


def _name(module: Module, expr: ast.Name, name: str, frame: dict[str, str] | None, depth: int) -> str:
    bindings = module.names.reaching(name, expr)
    if bindings and bindings[0].is_parameter:
        return (frame or {}).get(name, name)
    value = bindings[0].value if len(bindings) == 1 else None
    is_text = isinstance(value, (ast.Constant, ast.JoinedStr, ast.BinOp, ast.Call, ast.Attribute, ast.Name))
    in_loop = bindings and isinstance(module.parent(bindings[0].node), ast.withitem)
    return spelled(module, value, frame, depth + 1) if value is not None and is_text and not in_loop else name
