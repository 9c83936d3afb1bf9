"""Numbered names that are looked for one by one: the first that is free is returned, and taken by whoever asked."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from interlock.hazards.redis._accesses import accesses_in
from interlock.hazards.redis._flow import Sense, depends, guards, senses
from interlock.hazards.redis._lifetimes import form
from interlock.source.module import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.hazards.redis._accesses import Access
    from interlock.source.module import Module

_ASKS: Final = frozenset({"exists", "get", "hgetall"})
_TAKES: Final = frozenset({"set", "setex", "hset", "hmset"})
_SHORTEST: Final = 3  # Shorter forms are no names of anything.


def taken_later(read: Access, module: Module) -> Access | None:
    """The write that takes the name for which a loop over numbers found nothing; None if there is no such search."""
    function = module.function(read.at)
    key = read.command.key
    if function is None or key is None or read.name not in _ASKS or read.helper is not None:
        return None
    numbers = [number for number in _numbers(read, module) if _follows(key, number, module)]
    is_search = numbers and any(
        node.value is not None
        and any(_follows(node.value, number, module) for number in numbers)
        and any(sense is Sense.ABSENT for guard in guards(module, node) for sense, _ in senses(module, guard, read))
        for node in module.names.returns(function)
    )
    return _taker(read, module) if is_search else None


def _numbers(read: Access, module: Module) -> Iterator[ast.AST]:
    """Where the numbers of the loops around a read come from: `range(...)`, `count()`, the `n` of `n += 1`."""
    for around in module.ancestors(read.at):
        match around:
            case ast.For(iter=ast.Call(func=ast.Name(id="range" | "count") | ast.Attribute(attr="count")) as numbers):
                yield numbers
            case ast.While():
                yield from (node.target for node in ast.walk(around) if isinstance(node, ast.AugAssign))
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return
            case _:
                pass


def _follows(expr: ast.expr, number: ast.AST, module: Module) -> bool:
    """Whether an expression changes with a number. A counter is told by its name: the turn before has raised it."""
    if isinstance(number, ast.Name):
        return any(isinstance(node, ast.Name) and node.id == number.id for node in ast.walk(expr))
    return depends(module, expr, number)


def _taker(read: Access, module: Module) -> Access | None:
    """The command that writes such a key; None if one of them writes only what is not there yet."""
    accesses = accesses_in(module)
    wanted = form(read.key)
    if len(wanted) < _SHORTEST:
        return None
    writes = [
        access
        for function in module.nodes(*FUNCTIONS)
        if function in accesses.commands
        for access in accesses.of(function)
        if access.helper is None and form(access.key) == wanted and (access.name in _TAKES or access.command.only_if_new)
    ]
    return None if any(write.command.only_if_new for write in writes) else next(iter(writes), None)
