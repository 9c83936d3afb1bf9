"""Who is retried by a policy, and whether anybody waits for the answer."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from interlock.hazards.retry._attempts import called
from interlock.hazards.retry._policies import policy_of
from interlock.source.module import FUNCTIONS

if TYPE_CHECKING:
    from interlock.hazards.retry._policies import Policy
    from interlock.source.module import Function, Module

_BACKGROUND = frozenset(
    """create_task ensure_future start_soon Thread spawn run_coroutine_threadsafe start_background_task add_job submit""".split()
)


def users_of(policy: Policy, module: Module) -> list[ast.AST]:
    """The functions that a policy decorates, and the loops that draw their attempts from it."""
    users: list[ast.AST] = []
    for function in module.nodes(*FUNCTIONS):
        sites = (found.site for decorator in function.decorator_list if (found := policy_of(decorator, module)))
        users += [function for site in sites if site is policy.site]
    users += [loop for loop in module.nodes(ast.For, ast.AsyncFor) if loop.iter is policy.site]
    return users


def is_daemon(user: ast.AST, module: Module) -> bool:
    """Whether nobody waits for the answer: it works in an endless loop of its own, or runs in the background."""
    endless = any(
        isinstance(node, ast.AsyncFor) or (isinstance(node, ast.While) and isinstance(node.test, ast.Constant))
        for node in ast.walk(user)
        if node is not user
    )
    return endless or (isinstance(user, FUNCTIONS) and _in_background(user, module))


def _in_background(function: Function, module: Module) -> bool:
    """Whether a function is handed to a task or thread: `create_task(self.listen())`, `Thread(target=listen)`."""
    for call in module.nodes(ast.Call):
        if called(call) in _BACKGROUND:
            given = [*call.args, *(keyword.value for keyword in call.keywords)]
            names = {node.attr if isinstance(node, ast.Attribute) else node.id for value in given for node in _named(value)}
            if function.name in names:
                return True
    return False


def _named(value: ast.expr) -> list[ast.Name | ast.Attribute]:
    target = value.func if isinstance(value, ast.Call) else value
    return [target] if isinstance(target, (ast.Name, ast.Attribute)) else []
