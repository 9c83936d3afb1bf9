"""What an endless attempt asks for: a request whose answer is awaited, or something that will be there sooner or later."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from interlock.core.pattern import pattern
from interlock.hazards.retry._attempts import called
from interlock.source.module import FUNCTIONS

if TYPE_CHECKING:
    from interlock.hazards.retry._attempts import Attempt
    from interlock.source.module import Module

_CONNECTS = tuple("connect listen accept recv receive subscribe consume login open poll wait ready ping lock acquire".split())
_WRITES = frozenset("post put patch delete charge capture refund transfer send publish send_message".split())
_PLAIN = frozenset("debug info warning error exception append format join strip split items keys".split())
_CLIENT = pattern(r"requests|httpx|session|client|http|api", re.IGNORECASE)
_LOCAL = tuple("builtins. json. re. os.path. datetime. time. random. uuid. string. math. copy. itertools. logging.".split())


def outside_calls(attempt: Attempt, module: Module) -> list[ast.Call]:
    """The calls of an attempt that can fail for reasons outside: not those of builtins, texts and clocks."""
    consumes = any(
        isinstance(node, (ast.For, ast.AsyncFor, ast.While)) for statement in attempt.block.body for node in ast.walk(statement)
    )
    if consumes:
        return []
    calls = [node for statement in attempt.block.body for node in ast.walk(statement) if isinstance(node, ast.Call)]
    calls.sort(key=lambda call: (call.lineno, call.col_offset))
    return [call for call in calls if not _is_local(call, module)]


def _is_local(call: ast.Call, module: Module) -> bool:
    name = module.names.dotted(call.func)
    is_builtin = isinstance(call.func, ast.Name) and bool(name) and "." not in name
    if is_builtin or name.startswith(_LOCAL):
        return True
    match call.func:
        case ast.Attribute(value=receiver, attr="get"):  # Of a dict, unless it is the GET of a client.
            return not isinstance(module.parent(call), ast.Await) and not _CLIENT.search(ast.unparse(receiver))
        case _:
            return called(call) in _PLAIN or called(call) in {"logger", "getLogger", "get_logger"}


def is_patience(attempt: Attempt, calls: list[ast.Call], module: Module) -> bool:
    """Whether an attempt with a pause is a wait for something to be there, and not a request whose answer is awaited."""
    function = module.function(attempt.loop)
    if function is not None and function.name in {"__next__", "__anext__"}:
        return True
    names = [called(call) for call in calls]
    if any(word in name.lower() for name in names for word in _CONNECTS) or any(name[:1].isupper() for name in names):
        return True
    if not _is_awaited(attempt, module):
        return not any(name in _WRITES for name in names)
    return False


def _is_awaited(attempt: Attempt, module: Module) -> bool:
    """Whether what the attempt gives is used afterwards: returned, or put into a variable or entry that outlives the loop."""
    for statement in [*attempt.block.body, *attempt.block.orelse]:
        match statement:
            case ast.Return(value=value) if value is not None and not isinstance(value, ast.Constant):
                return True
            case ast.Assign(targets=[ast.Subscript()], value=value) if any(
                isinstance(node, ast.Call) for node in ast.walk(value)
            ):
                return True
            case ast.Assign(targets=[ast.Name() | ast.Attribute() as target]) if not isinstance(statement.value, ast.Constant):
                if _is_read_after(ast.unparse(target), attempt, module):
                    return True
            case _:
                pass
    return False


def _is_read_after(target: str, attempt: Attempt, module: Module) -> bool:
    scope = module.scope(attempt.loop)
    end = attempt.block.body[-1].end_lineno or attempt.block.lineno
    return any(
        isinstance(node.ctx, ast.Load) and node.lineno > end and ast.unparse(node) == target and module.scope(node) is scope
        for node in module.nodes(ast.Name, ast.Attribute)
    )


_DEADLINES = frozenset(
    {"move_on_after", "fail_after", "move_on_at", "fail_at", "timeout", "timeout_at", "Timeout", "time_limit"}
)


def has_deadline(loop: ast.While, module: Module) -> bool:
    """Whether a loop stands in a block that ends it after some time: `with anyio.fail_after(5):`, `async with asyncio.timeout(5):`."""
    for around in module.ancestors(loop):
        if isinstance(around, FUNCTIONS):
            return False
        if isinstance(around, (ast.With, ast.AsyncWith)):
            calls = [item.context_expr for item in around.items if isinstance(item.context_expr, ast.Call)]
            if any(called(call) in _DEADLINES and call.args for call in calls):
                return True
    return False
