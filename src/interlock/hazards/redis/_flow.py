"""What lies between a read and a write: which tests the answer of the read decides, and what they ask.

A write is decided by the tests of the `if`s around it, and by those above it in whose arm control leaves (`if seen: return`).
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, TypeAlias

from interlock.source.module import FUNCTIONS
from interlock.source.names import leaves

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.hazards.redis._accesses import Access
    from interlock.source.module import Module
    from interlock.source.names import Binding

_DEEPEST: Final = 8
_WRAPPERS: Final = frozenset({"bool", "int", "float", "len", "str", "any", "all", "cast", "list", "set"})


class Sense(Enum):
    """What a test asks of an answer, on the way that was taken."""

    ABSENT = auto()  # nothing is there
    PRESENT = auto()
    EQUAL = auto()  # it is this value: a token, a state
    ORDERED = auto()  # it is below or above this


Asked: TypeAlias = tuple[Sense, ast.expr | None]  # with what the answer is compared to


@dataclass(frozen=True, slots=True)
class Guard:
    """A test, and which of its two ways was taken."""

    test: ast.expr
    taken: bool
    exit: tuple[ast.stmt, ...]  # the arm in which control leaves on the other way; empty if it does not


def depends(module: Module, expr: ast.AST, result: ast.AST) -> bool:
    """Whether an expression contains an answer (or what a parameter stands for), directly or through variables and loops."""
    waiting: list[tuple[ast.AST, int]] = [(expr, 0)]
    seen: set[ast.AST] = set()
    while waiting:
        found, depth = waiting.pop()
        if found in seen or depth > _DEEPEST:
            continue
        seen.add(found)
        for node in ast.walk(found):
            if node is result:
                return True
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                bindings = module.names.reaching(node.id, node)
                if any(binding.node is result for binding in bindings):
                    return True
                waiting += [(source, depth + 1) for binding in bindings for source in _sources(module, node, binding)]
    return False


def _sources(module: Module, use: ast.Name, binding: Binding) -> Iterator[ast.expr]:
    """The expressions from which a binding has its value."""
    if binding.value is not None:
        yield binding.value
    match binding.node:
        case ast.AugAssign(value=value, target=ast.Name(id=name) as target):
            yield value
            for earlier in module.names.reaching(name, target):
                if earlier.node is not binding.node and earlier.value is not None:
                    yield earlier.value
        case ast.Assign(value=value):
            yield value
        case ast.arg() as parameter:
            yield from _given_to_lambda(module, parameter)
        case ast.expr() as target:
            around = module.parent(target)
            if isinstance(around, (ast.For, ast.AsyncFor, ast.comprehension)) and use is not target:
                yield around.iter
        case _:
            pass


def _given_to_lambda(module: Module, parameter: ast.arg) -> Iterator[ast.expr]:
    """What a parameter of a `lambda` goes through: `map(lambda item: ..., items)`."""
    around = module.parent(module.parent(parameter) or parameter)
    call = module.parent(around) if isinstance(around, ast.Lambda) else None
    if isinstance(call, ast.Call):
        yield from (argument for argument in call.args if argument is not around)


def guards(module: Module, node: ast.AST) -> Iterator[Guard]:
    """The tests that decide whether a node runs, innermost first."""
    below = node
    for around in module.ancestors(node):
        match around:
            case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test) if below is not test:
                arm = module.names.arm(around, below)
                yield Guard(test, arm == "body", ())
            case ast.BoolOp(op=op, values=values) if isinstance(below, ast.expr) and below in values:
                yield from (Guard(value, isinstance(op, ast.And), ()) for value in values[: values.index(below)])
            case _:
                pass
        yield from _exits_above(around, below)
        if isinstance(around, (*FUNCTIONS, ast.Lambda, ast.ClassDef)):
            return
        below = around


def _exits_above(block: ast.AST, below: ast.AST) -> Iterator[Guard]:
    for name in ("body", "orelse", "finalbody"):
        statements: list[ast.stmt] | ast.expr = getattr(block, name, [])
        if isinstance(below, ast.stmt) and isinstance(statements, list) and below in statements:
            for statement in statements[: statements.index(below)]:
                yield from _exits(statement)


def _exits(statement: ast.stmt) -> Iterator[Guard]:
    """The tests that whoever comes out below a statement has passed."""
    match statement:
        case ast.If(test=test, body=body, orelse=orelse):
            if leaves(body):
                yield Guard(test, False, tuple(body))  # noqa: FBT003 - the way taken, as the field says.
                for inner in orelse[:1]:
                    yield from _exits(inner)
            elif orelse and leaves(orelse):
                yield Guard(test, True, tuple(orelse))  # noqa: FBT003
            else:
                for nested in (found for inner in body for found in _exits(inner)):  # `if seen:`, and in it `if recent: return`
                    yield nested
                    yield Guard(test, False, nested.exit)  # noqa: FBT003
        case ast.While(test=test, orelse=[]):
            yield Guard(test, False, ())  # noqa: FBT003
        case ast.Assert(test=test):
            yield Guard(test, True, ())  # noqa: FBT003
        case ast.Try(body=body) | ast.With(body=body) | ast.AsyncWith(body=body):
            for inner in body:
                yield from _exits(inner)
        case _:
            pass


def senses(module: Module, guard: Guard, access: Access) -> list[Asked]:
    """What a test asks of the answer of a read, with what it is compared to."""
    return list(_asked(module, guard, access, 0))


def _asked(module: Module, guard: Guard, access: Access, depth: int) -> Iterator[Asked]:
    if depth > _DEEPEST or not depends(module, guard.test, access.result):
        return
    match guard.test:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield from _asked(module, replace(guard, test=operand, taken=not guard.taken), access, depth + 1)
        case ast.BoolOp(values=values):
            for value in values:
                yield from _asked(module, replace(guard, test=value), access, depth + 1)
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            sides = (left, right) if depends(module, left, access.result) else (right, left)
            yield from _compared(op, sides[1], guard, access)
        case ast.NamedExpr(value=value) | ast.Await(value=value):
            yield from _asked(module, replace(guard, test=value), access, depth + 1)
        case ast.Call() as call if call is not access.result:
            yield from _asked_of_call(module, call, guard, access, depth)
        case ast.Name(id=name) if (bound := _only_value(module, guard.test, name)) is not None:
            yield from _asked(module, replace(guard, test=bound), access, depth + 1)
        case _:
            yield from _asked_of_truth(module, guard, access, depth)


def _asked_of_call(module: Module, call: ast.Call, guard: Guard, access: Access, depth: int) -> Iterator[Asked]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    match name, call.args:
        case "compare_digest", [left, right]:
            yield (Sense.EQUAL if guard.taken else Sense.PRESENT), right if depends(module, left, access.result) else left
        case wrapper, [*_, inner] if wrapper in _WRAPPERS:
            yield from _asked(module, replace(guard, test=inner), access, depth + 1)
        case _:
            yield (Sense.PRESENT if guard.taken else Sense.ABSENT), None


def _asked_of_truth(module: Module, guard: Guard, access: Access, depth: int) -> Iterator[Asked]:
    """Truth itself. What a helper returns may be the opposite of what it read."""
    sent = access.command.call
    is_helper = access.helper is not None and guard.test is access.result
    returns = module.names.returns(access.helper) if access.helper is not None and is_helper else []
    inner = next((node.value for node in returns if node.value is not None and sent in set(ast.walk(node.value))), None)
    if inner is not None and inner is not sent:
        yield from _asked(module, replace(guard, test=inner), replace(access, at=sent, result=sent, helper=None), depth + 1)
    else:
        yield (Sense.PRESENT if guard.taken else Sense.ABSENT), None


def _only_value(module: Module, use: ast.AST, name: str) -> ast.expr | None:
    bindings = module.names.reaching(name, use)
    return bindings[0].value if len(bindings) == 1 else None


def _compared(op: ast.cmpop, other: ast.expr, guard: Guard, access: Access) -> Iterator[Asked]:
    """What a comparison of an answer with something else asks."""
    same = guard.taken != isinstance(op, (ast.NotEq, ast.IsNot, ast.NotIn))
    says_yes = access.name in {"exists", "sismember", "hexists"}
    match op, other:
        case ((ast.Lt() | ast.LtE() | ast.Gt() | ast.GtE()), _):
            yield Sense.ORDERED, other
            if isinstance(other, ast.Constant) and other.value == 0:
                yield (Sense.PRESENT if guard.taken == isinstance(op, ast.Gt) else Sense.ABSENT), None
        case ((ast.In() | ast.NotIn()), _):
            yield (Sense.PRESENT if same else Sense.ABSENT), None
        case _, ast.Constant(value=None | False | 0 | "" | b"" | -2):
            yield (Sense.ABSENT if same else Sense.PRESENT), None
        case _, ast.Constant(value=True | 1) if says_yes:
            yield (Sense.PRESENT if same else Sense.ABSENT), None
        case _:
            yield (Sense.EQUAL if same else Sense.PRESENT), other


def shares_way(module: Module, node: ast.AST, other: ast.AST, result: ast.AST) -> bool:
    """Whether whoever gets to `other` may have run `node` too, as far as the tests on an answer tell.

    A call in one of these tests has been run, too: `if process(item): r.zrem(key, item)`.
    """
    decided = {(guard.test, guard.taken) for guard in guards(module, other) if depends(module, guard.test, result)}
    if any(node in set(ast.walk(test)) or (isinstance(node, ast.expr) and depends(module, test, node)) for test, _ in decided):
        return True
    return decided <= {(guard.test, guard.taken) for guard in guards(module, node)}
