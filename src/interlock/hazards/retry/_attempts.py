"""Retries written by hand: a loop that only success leaves, and a function that calls itself again after a failure."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.core.pattern import pattern
from interlock.source.module import LOOPS, SCOPES
from interlock.source.names import leaves

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.source.module import Function, Module

_WAITS = frozenset({"sleep", "wait", "wait_for", "backoff", "_backoff", "_sleep", "pause", "delay", "retry_sleep", "sleep_for"})
_LOGS = frozenset(
    {"debug", "info", "warning", "warn", "error", "exception", "critical", "log", "print", "print_exc", "write", "echo"}
)
_READS = frozenset(
    {"str", "repr", "type", "isinstance", "format", "getattr", "hasattr", "len", "format_exc", "format_exception"}
)
_ASKS = frozenset(
    {"input", "raw_input", "getkey", "getch", "get_wch", "getpass", "prompt", "ask", "confirm", "readline", "run_forever"}
)
_CLOCKS = frozenset({"time", "monotonic", "perf_counter", "now", "utcnow"})
_OUTCOMES = frozenset({"ok", "status_code", "status", "is_success", "is_error", "code"})
_AGAIN = frozenset({401, 403, 408, 409, 425, 429, 500, 502, 503, 504})
_COUNTERS = pattern(r"retr(y|ies)|attempt|tries|count|depth|deadline|remaining", re.IGNORECASE)
_LEAVES = (ast.Return, ast.Raise, ast.Break)


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """One try in an endless loop: success leaves the loop, failure begins it again."""

    loop: ast.While
    block: ast.Try
    handler: ast.ExceptHandler
    waits: bool  # whether there is a pause before the next turn


def endless_attempts(loop: ast.While, module: Module) -> Iterator[Attempt]:
    """The handlers by which a failed attempt goes on to the next turn, if nothing but success ends the loop."""
    flag = _flag(loop.test)
    if flag is None or _is_bounded(loop, module):
        return
    for block, after in _blocks(loop.body):
        rest_leaves = _success_leaves(after)
        rest_leaves = rest_leaves or _raises_flag(flag, after)
        attempt = [*block.body, *block.orelse]
        succeeds = rest_leaves or _success_leaves(attempt) or _raises_flag(flag, attempt)
        for handler in block.handlers if succeeds else ():
            falls_into_rest = not leaves(handler.body)
            if _inside(handler, *_LEAVES) or (rest_leaves and falls_into_rest) or hands_on(handler):
                continue
            yield Attempt(loop, block, handler, waits=_waits([*handler.body, *_siblings(loop, block)]))


def _flag(test: ast.expr) -> str | None:
    """What ends the loop by its condition: nothing (empty), or a flag that success sets; None if the condition says more."""
    match test:
        case ast.Constant(value=value) if value:
            return ""
        case ast.UnaryOp(op=ast.Not(), operand=ast.Name() | ast.Attribute() as operand):
            return ast.unparse(operand)
        case ast.Compare(
            left=ast.Name() | ast.Attribute() as left, ops=[ast.Is()], comparators=[ast.Constant(value=None | False)]
        ):
            return ast.unparse(left)
        case _:
            return None


def _raises_flag(flag: str, statements: list[ast.stmt]) -> bool:
    """Whether success sets the flag that the loop waits for."""
    return bool(flag) and any(
        ast.unparse(target) == flag
        for statement in statements
        if isinstance(statement, ast.Assign)
        for target in statement.targets
    )


def _blocks(body: list[ast.stmt]) -> Iterator[tuple[ast.Try, list[ast.stmt]]]:
    """The `try` statements of one turn, each with what comes after it; those inside `with` too."""
    for position, statement in enumerate(body):
        match statement:
            case ast.Try():
                yield statement, body[position + 1 :]
            case ast.With() | ast.AsyncWith():
                yield from ((block, [*after, *body[position + 1 :]]) for block, after in _blocks(statement.body))
            case _:
                pass


def _success_leaves(statements: list[ast.stmt]) -> bool:
    """Whether whoever comes to the end of these statements leaves the loop; `if response.ok: return` counts as the end."""
    match statements[-1] if statements else None:
        case ast.Return() | ast.Break():
            return True
        case ast.If(test=test, body=body, orelse=[]) if _asks_for_success(test):
            return _success_leaves(body)
        case ast.If(body=body, orelse=orelse):
            return _success_leaves(body) and _success_leaves(orelse)
        case ast.With(body=body) | ast.AsyncWith(body=body):
            return _success_leaves(body)
        case _:
            return False


def _asks_for_success(test: ast.expr) -> bool:
    """Whether a condition asks how a response turned out: `response.ok`, `response.status_code == 200`."""
    return any(isinstance(node, ast.Attribute) and node.attr in _OUTCOMES for node in ast.walk(test))


def _is_bounded(loop: ast.While, module: Module) -> bool:
    """Whether something in the loop ends it besides success: a count, a deadline, an exit outside of the attempt."""
    blocks = {block for block, _ in _blocks(loop.body)}
    counted = {ast.unparse(node.target) for node in _nodes(loop) if isinstance(node, ast.AugAssign)}
    for node in _nodes(loop):
        match node:
            case ast.If(test=test) if _mentions(test, counted) or _reads_clock(test):
                return True
            case ast.If() if (
                _inside(node, *_LEAVES) and not blocks.intersection(_around(node, loop, module)) and not _ends_turn(node, loop)
            ):
                return True
            case ast.If() if (
                _inside(node, ast.Return, ast.Break) and not _ends_block(node, module) and not _asks_for_success(node.test)
            ):
                return True
            case ast.Call(func=ast.Name(id="next")) | ast.Yield() | ast.YieldFrom() | ast.Assert():
                return True
            case _:
                pass
    return False


def _ends_turn(node: ast.If, loop: ast.While) -> bool:
    return bool(loop.body) and loop.body[-1] is node


def _ends_block(node: ast.If, module: Module) -> bool:
    """Whether an `if` is the last statement of a `try`: the place where success leaves."""
    around = module.parent(node)
    while isinstance(around, (ast.With, ast.AsyncWith)) and around.body[-1] is node:
        around = module.parent(around)
    return isinstance(around, (ast.Try, ast.ExceptHandler)) and node in (around.body[-1], *getattr(around, "orelse", [])[-1:])


def _around(node: ast.AST, loop: ast.While, module: Module) -> Iterator[ast.AST]:
    for around in module.ancestors(node):
        if around is loop:
            return
        yield around


def _nodes(loop: ast.While) -> Iterator[ast.AST]:
    """The nodes of a loop's turns, without those of functions defined in it."""
    waiting: list[ast.AST] = list(loop.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, SCOPES):
            waiting.extend(ast.iter_child_nodes(node))


def _inside(node: ast.AST, *types: type[ast.AST]) -> bool:
    """Whether a statement holds one of these, without those of functions defined in it."""
    waiting = list(ast.iter_child_nodes(node))
    while waiting:
        found = waiting.pop()
        if isinstance(found, types):
            return True
        if not isinstance(found, SCOPES):
            waiting.extend(child for child in ast.iter_child_nodes(found))
    return False


def _mentions(test: ast.expr, names: set[str]) -> bool:
    return (
        any(isinstance(node, (ast.Name, ast.Attribute)) and ast.unparse(node) in names for node in ast.walk(test))
        if names
        else False
    )


def _reads_clock(test: ast.expr) -> bool:
    """Whether a condition compares times: a deadline."""
    return any(isinstance(node, ast.Call) and called(node) in _CLOCKS for node in ast.walk(test))


def hands_on(handler: ast.ExceptHandler) -> bool:
    """Whether the error is given to something that may raise or decide: `self._give_up(error)`, `retries.increment(error)`."""
    calls = [node for statement in handler.body for node in ast.walk(statement) if isinstance(node, ast.Call)]
    return any(
        isinstance(argument, ast.Name) and argument.id == handler.name
        for call in calls
        if called(call) not in _LOGS and called(call) not in _READS
        for argument in (*call.args, *(keyword.value for keyword in call.keywords))
    )


def _siblings(loop: ast.While, block: ast.Try) -> list[ast.stmt]:
    """What else runs in a turn that fails: the statements around the attempt, and its `finally`."""
    return [*(statement for statement in loop.body if statement is not block), *block.finalbody]


def _waits(statements: list[ast.stmt]) -> bool:
    return any(
        isinstance(node, ast.Call) and called(node) in _WAITS for statement in statements for node in ast.walk(statement)
    )


def called(call: ast.Call) -> str:
    """The last part of the name of what is called."""
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def waits_for_lock(loop: ast.While, module: Module) -> bool:
    """Whether a loop goes round until something is free, and nothing else ends it: its condition asks, or an `if` that leaves it."""
    if (
        isinstance(loop.test, ast.UnaryOp)
        and isinstance(loop.test.op, ast.Not)
        and isinstance(loop.test.operand, (ast.Call, ast.Await))
    ):
        return not any(isinstance(node, _LEAVES) for node in _nodes(loop))
    if _flag(loop.test) != "":
        return False
    exits = [node for node in _nodes(loop) if isinstance(node, _LEAVES)]
    return len(exits) == 1 and isinstance(module.parent(exits[0]), ast.If) and not _is_counted(loop)


def _is_counted(loop: ast.While) -> bool:
    counted = {ast.unparse(node.target) for node in _nodes(loop) if isinstance(node, ast.AugAssign)}
    tests = [node.test for node in _nodes(loop) if isinstance(node, ast.If)]
    return any(_mentions(test, counted) or _reads_clock(test) for test in tests)


def asks_a_person(statements: list[ast.stmt]) -> bool:
    """Whether each attempt begins with a person, who can stop at any time."""
    return any(isinstance(node, ast.Call) and called(node) in _ASKS for statement in statements for node in ast.walk(statement))


@dataclass(frozen=True, slots=True, eq=False)
class Recursion:
    """A function that calls itself again with the same arguments after a failure."""

    call: ast.Call
    function: Function
    handler: ast.ExceptHandler | None  # None where the failure is a status and not an error


def endless_recursion(call: ast.Call, module: Module) -> Recursion | None:
    """The retry that a call of the function around it is, if nothing counts the attempts."""
    function = module.function(call)
    if function is None or module.names.definition(call) is not function or not _same_arguments(call, function, module):
        return None
    around = [node for node in module.ancestors(call) if module.function(node) is function]
    handler = next((node for node in around if isinstance(node, ast.ExceptHandler)), None)
    tests = [node.test for node in around if isinstance(node, ast.If)]
    after_status = any(_asks_for_failure(test) for test in tests)
    if not (handler or after_status) or any(isinstance(node, LOOPS) for node in around):
        return None
    if handler is not None and not all(_asks_for_failure(test) for test in _guards(call, handler, module)):
        return None  # What is asked there may change: a path that was added, a setting that was dropped.
    if _counts(function) or asks_a_person(function.body) or (handler is not None and hands_on(handler)):
        return None
    return Recursion(call, function, handler)


def _guards(call: ast.Call, handler: ast.ExceptHandler, module: Module) -> Iterator[ast.expr]:
    """The conditions between a handler and a call in it."""
    for around in module.ancestors(call):
        if around is handler:
            return
        if isinstance(around, ast.If):
            yield around.test


def _asks_for_failure(test: ast.expr) -> bool:
    """Whether a condition asks for the status of a response that means: again. `response.status_code == 429`."""
    return _asks_for_success(test) and any(
        isinstance(node, ast.Constant) and isinstance(node.value, int) and node.value in _AGAIN for node in ast.walk(test)
    )


def _same_arguments(call: ast.Call, function: Function, module: Module) -> bool:
    """Whether a call gives a function its own parameters again, unchanged."""
    parameters = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    if isinstance(call.func, ast.Attribute):
        parameters = parameters[1:]
    own = module.names.own(function)
    given: set[str] = set()
    pairs = [*zip(parameters, call.args, strict=False), *((keyword.arg, keyword.value) for keyword in call.keywords)]
    for name, value in pairs:
        match value:
            case ast.Name(id=same) if name in (same, None) and len(own.get(same, [])) == 1:
                given.add(same)
            case ast.Starred(value=ast.Name(id=same)) if function.args.vararg and same == function.args.vararg.arg:
                given.add(same)
            case _:
                return False
    missing = [name for name in (*parameters, *(argument.arg for argument in function.args.kwonlyargs)) if name not in given]
    # A parameter that is left to its default is another argument, unless nothing is decided by it.
    return len(call.args) <= len(parameters) + 1 and not any(_decides(name, function) for name in missing)


def _decides(name: str, function: Function) -> bool:
    return any(
        isinstance(node, ast.Name) and node.id == name
        for tested in ast.walk(function)
        if isinstance(tested, (ast.If, ast.While, ast.IfExp))
        for node in ast.walk(tested.test)
    )


def _counts(function: Function) -> bool:
    """Whether something that changes from attempt to attempt is asked for: `self.retries += 1` and `if self.retries > 5`."""
    nodes = list(ast.walk(function))
    changed = {ast.unparse(node.target) for node in nodes if isinstance(node, ast.AugAssign)}
    changed |= {
        ast.unparse(target)
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.value, (ast.Constant, ast.BinOp))
        for target in node.targets
    }
    tests = [node.test for node in nodes if isinstance(node, (ast.If, ast.While, ast.IfExp))]
    return any(_mentions(test, changed) or _reads_clock(test) or _COUNTERS.search(ast.unparse(test)) for test in tests)
