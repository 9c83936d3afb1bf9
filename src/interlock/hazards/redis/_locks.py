"""Whether a lock is held, or a transaction guards, where a command runs."""

from __future__ import annotations

import ast
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from interlock.core.pattern import pattern
from interlock.hazards.redis._accesses import accesses_in, calls_in, uses_in
from interlock.hazards.redis._acts import is_dropped
from interlock.source.module import FUNCTIONS

if TYPE_CHECKING:
    from interlock.source.module import Function, Module

_LOCK: Final = pattern(
    r"(?i)(?<![a-z])(r|red|dist|distributed|mem|file|advisory|global)?_?(lock|mutex|semaphore)(s|ed|ing|er)?(?![a-z])|synchroni[sz]ed|select_for_update"
)
_TAKES: Final = pattern(r"(?i)^_*(try_|a)?(acquire|lock|claim|take_lock|get_lock|obtain_lock)")


def is_guarded(module: Module, node: ast.AST) -> bool:
    """Whether a lock is held, or a transaction guards, where this node runs: here, or wherever its function is called."""
    function = module.function(node)
    if _is_held(module, node) or function is None:
        return True if function is not None else _is_held(module, node)
    callers = _callers(module).get(function, [])
    return bool(callers) and all(_is_held(module, call) for call in callers)


def _is_held(module: Module, node: ast.AST) -> bool:
    for around in module.ancestors(node):
        if isinstance(around, (ast.With, ast.AsyncWith)) and any(
            _LOCK.search(ast.unparse(item.context_expr)) for item in around.items
        ):
            return True
        if isinstance(around, FUNCTIONS):
            return _is_locked_function(module, around, node)
    return False


def _is_locked_function(module: Module, function: Function, node: ast.AST) -> bool:
    if any(_LOCK.search(ast.unparse(decorator)) for decorator in function.decorator_list):
        return True
    accesses = accesses_in(module)
    for command in accesses.commands.get(function, []):
        if command.name in {"watch", "transaction"}:
            return True
        if command.only_if_new and _before(command.call, node) and not is_dropped(module, accesses.answer(command, function)):
            return True
    return any(
        _takes_lock(module, call) for call in calls_in(module).get(function, []) if _before(call, node)
    ) or _is_transaction(module, function)


def _takes_lock(module: Module, call: ast.Call) -> bool:
    """Whether a call takes a lock: `lock.acquire()`, `acquire_lock(...)`; not the helper of this module that is the hazard itself."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    helper = module.names.definition(call)
    if helper is not None:
        return any(
            command.only_if_new or command.name in {"lock", "eval", "evalsha"}
            for command in accesses_in(module).commands.get(helper, [])
        )
    return bool(_TAKES.match(name)) and (name == "acquire" or bool(_LOCK.search(name)))


def takes_lock(module: Module, function: Function, apart_from: ast.Call) -> bool:
    """Whether a function takes a lock anywhere, so that a test before it is a shortcut only."""
    withs = (node for node in module.nodes(ast.With, ast.AsyncWith) if module.function(node) is function)
    held = any(_LOCK.search(ast.unparse(item.context_expr)) for node in withs for item in node.items)
    return held or any(_takes_lock(module, call) for call in calls_in(module).get(function, []) if call is not apart_from)


def _is_transaction(module: Module, function: Function) -> bool:
    """Whether the function is given to `client.transaction(...)`."""
    return any(
        isinstance(call.func, ast.Attribute) and call.func.attr == "transaction"
        for node in uses_in(module).get(function.name, [])
        if isinstance(call := module.parent(node), ast.Call) and node in call.args
    )


def _before(node: ast.AST, other: ast.AST) -> bool:
    return (getattr(node, "lineno", 0), getattr(node, "col_offset", 0)) < (
        getattr(other, "lineno", 0),
        getattr(other, "col_offset", 0),
    )


@lru_cache(maxsize=1)
def _callers(module: Module) -> dict[Function, list[ast.Call]]:
    found: dict[Function, list[ast.Call]] = {}
    for call in module.nodes(ast.Call):
        definition = module.names.definition(call)
        if definition is not None:
            found.setdefault(definition, []).append(call)
    return found
