"""What a command writes, held against what another has read: the same value, one that was changed, another member."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from interlock.hazards.redis._flow import depends

if TYPE_CHECKING:
    from interlock.hazards.redis._accesses import Access
    from interlock.source.module import Module

_OF_MEMBERS: Final = frozenset("sadd zadd sismember zscore zrank hexists hget hset hincrby hdel".split())
_SERIALIZERS: Final = frozenset("dumps str int float encode bytes json model_dump_json packb dump max min".split())
_MUTATORS: Final = frozenset("append extend insert update add remove pop discard clear setdefault sort popitem".split())


def is_value_itself(test: ast.expr, read: Access, module: Module) -> bool:
    """Whether one side of a comparison is the answer as it was read, and not something inside of it."""
    compared = [
        side for node in ast.walk(test) if isinstance(node, (ast.Compare, ast.Call)) for side in ast.iter_child_nodes(node)
    ]
    return any(_spells(side, read, module, 0) for side in compared if isinstance(side, ast.expr))


def _spells(expr: ast.expr, read: Access, module: Module, depth: int) -> bool:
    """Whether an expression is an answer, through variables, `decode()`, `strip()`, `or ""` and the like."""
    match expr:
        case _ if expr is read.result:
            return True
        case (
            ast.Await(value=inner)
            | ast.NamedExpr(value=inner)
            | ast.Call(func=ast.Attribute(value=inner, attr="decode" | "strip" | "lower"))
        ):
            return _spells(inner, read, module, depth)
        case (
            ast.Call(func=ast.Name(id="str" | "int" | "force_str"), args=[inner, *_])
            | ast.BoolOp(values=[inner, *_])
            | ast.IfExp(body=inner)
        ):
            return _spells(inner, read, module, depth)
        case ast.Name(id=name) if depth < 4:  # noqa: PLR2004
            values = [binding.value for binding in module.names.reaching(name, expr)]
            return any(value is not None and _spells(value, read, module, depth + 1) for value in values)
        case _:
            return False


def same_member(read: Access, write: Access, module: Module) -> bool:
    """Whether both speak of one member of a set or one field of a hash, where both name it."""
    if not {read.name, write.name} <= _OF_MEMBERS or "mapping" in {keyword.arg for keyword in write.command.call.keywords}:
        return True
    first, second = (access.command.call.args[1:2] for access in (read, write))
    if not first or not second or isinstance(second[0], ast.Dict):
        return True
    return read.helper is not write.helper or module.segment(first[0]) == module.segment(second[0])


def loses_update(read: Access, write: Access, module: Module) -> bool:
    """Whether what is written is what was read, changed: `r.set(k, int(r.get(k)) + 1)`."""
    value = write.command.value
    if (
        value is None
        or write.helper is not None
        or read.name not in {"get", "hget", "hgetall"}
        or not same_member(read, write, module)
    ):
        return False
    return depends(module, value, read.result) and _is_changed(module, _bare(value), read, 0)


def overwrites_larger(read: Access, write: Access, compared: list[ast.expr], module: Module) -> bool:
    """Whether a value is written because it is larger or smaller than the one read: `if int(r.get(k)) < n: r.set(k, n)`."""
    value = write.command.value
    if value is None or read.name not in {"get", "hget"} or not same_member(read, write, module):
        return False
    return not isinstance(value, ast.Constant) and any(ast.unparse(other) == ast.unparse(_bare(value)) for other in compared)


def _bare(value: ast.expr) -> ast.expr:
    """A value without the calls that only spell it for the wire."""
    while isinstance(value, ast.Call):
        name = value.func.attr if isinstance(value.func, ast.Attribute) else getattr(value.func, "id", "")
        inner = value.args[0] if value.args else value.func.value if isinstance(value.func, ast.Attribute) else None
        if name not in _SERIALIZERS or inner is None:
            break
        value = inner
    return value


def _is_changed(module: Module, value: ast.expr, read: Access, depth: int) -> bool:
    match value:
        case ast.BinOp() | ast.Dict() | ast.List():
            return depends(module, value, read.result)
        case ast.Call():  # An encoder of the project's own, given an object that was changed.
            given = [*value.args, *([value.func.value] if isinstance(value.func, ast.Attribute) else [])]
            names = [inner for inner in given if isinstance(inner, ast.Name) and depends(module, inner, read.result)]
            return any(_is_mutated(module, name, read) for name in names)
        case ast.Name(id=name):
            if _is_mutated(module, value, read):
                return True
            bindings = module.names.reaching(name, value)
            if any(isinstance(binding.node, ast.AugAssign) for binding in bindings):
                return True
            values = [
                binding.value
                for binding in bindings
                if binding.value is not None and depends(module, binding.value, read.result)
            ]
            return depth < 4 and any(_is_changed(module, _bare(inner), read, depth + 1) for inner in values)  # noqa: PLR2004
        case _:
            return False


def _is_mutated(module: Module, name: ast.Name, read: Access) -> bool:
    """Whether an object is changed between the read and this use of it: `data["x"] = y`, `data.append(z)`."""
    function = module.function(name)
    for node in module.nodes(ast.Subscript, ast.Attribute, ast.Call):
        match node:
            case ast.Subscript(value=ast.Name(id=base), ctx=ast.Store() | ast.Del()):
                changes = base == name.id
            case ast.Attribute(value=ast.Name(id=base), ctx=ast.Store()):
                changes = base == name.id
            case ast.Call(func=ast.Attribute(value=ast.Name(id=base), attr=attr)):
                changes = base == name.id and attr in _MUTATORS
            case _:
                changes = False
        if (
            changes
            and read.place < (node.lineno, node.col_offset) < (name.lineno, name.col_offset)
            and module.function(node) is function
        ):
            return True
    return False
