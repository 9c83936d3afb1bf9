"""By what it can be seen behind a `try` that something in it failed: another way on, another answer, a value that is missing."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from interlock.hazards.errors._effects import called, effects, is_money
from interlock.source.module import LOOPS, SCOPES
from interlock.source.names import leaves

if TYPE_CHECKING:
    from interlock.source.module import Module


def shows(call: ast.Call, handler: ast.ExceptHandler, block: ast.Try, module: Module) -> bool:
    """Whether it can be seen afterwards that an effect failed: by another way on, another answer, a value that is missing."""
    end = handler.body[-1]
    if isinstance(end, ast.Return) and end.value is not None and not _is_none(end.value):
        return not _answers_alike(end.value, block, module)
    if (
        block.orelse
        or _goes_another_way(handler, block, module)
        or (not leaves(handler.body) and _leaves_after(call, block, module))
    ):
        return True
    return not is_money(call) and outlives(call, block, module)


def _is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def _answers_alike(answer: ast.expr, block: ast.Try, module: Module) -> bool:
    """Whether a failure gives the same answer as success: what the `try` returns, or what is returned after it.

    An empty answer (0, False, an empty list) claims no success.
    """
    if _is_empty(answer):
        return False
    after = _next_statement(block, module)
    answers = [block.body[-1], *block.orelse[-1:], *([after] if not leaves(block.body) else [])]
    return any(
        isinstance(found, ast.Return) and found.value is not None and ast.dump(found.value) == ast.dump(answer)
        for found in answers
    )


def _is_empty(answer: ast.expr) -> bool:
    match answer:
        case ast.Constant(value=value):
            return not value
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Dict(values=parts):
            return not parts
        case _:
            return False


def _next_statement(node: ast.stmt, module: Module) -> ast.stmt | None:
    """The statement that runs after this one in the same block; None at the block's end."""
    for block in _branches(module.parent(node)):
        if node in block:
            return next(iter(block[block.index(node) + 1 :]), None)
    return None


def _branches(node: ast.AST | None) -> list[list[ast.stmt]]:
    """The lists of statements that a compound statement is made of."""
    found: list[object] = [getattr(node, field, []) for field in ("body", "orelse", "finalbody")]
    return [
        branch for branch in found if isinstance(branch, list)
    ]  # The body of a lambda or of `a if b else c` is an expression.


def _goes_another_way(handler: ast.ExceptHandler, block: ast.Try, module: Module) -> bool:
    """Whether success and failure part here: one leaves the block and the other goes on."""
    success_leaves, failure_leaves = leaves(block.body), leaves(handler.body)
    if success_leaves:
        return not failure_leaves or not _ends_alike(block.body[-1], handler.body[-1])
    return failure_leaves and not _is_last(block, module, handler.body[-1])


def _leaves_after(call: ast.Call, block: ast.Try, module: Module) -> bool:
    """Whether the branch in which an effect stands leaves the `try` after it, as in `if due: send(); return`."""
    for around in [call, *module.ancestors(call)]:
        if around is block:
            return False
        branch = module.parent(around)
        if isinstance(branch, ast.If) and any(around in statements and leaves(statements) for statements in _branches(branch)):
            return True
    return False


def _ends_alike(one: ast.stmt, other: ast.stmt) -> bool:
    return ast.dump(one) == ast.dump(other)


def _is_last(node: ast.stmt, module: Module, leaving: ast.stmt) -> bool:
    """Whether nothing is skipped by leaving: the `try` is the last thing that its loop or function does."""
    target = LOOPS if isinstance(leaving, ast.Continue) else SCOPES
    statement: ast.stmt = node
    while _next_statement(statement, module) is None:
        around = module.parent(statement)
        if around is None or isinstance(around, target):
            return _returns_nothing(statement, module) if isinstance(leaving, ast.Return) else True
        if not isinstance(around, ast.stmt) or isinstance(around, LOOPS):
            return False
        statement = around
    return False


def _returns_nothing(node: ast.AST, module: Module) -> bool:
    """Whether the function around gives no value, so that `return` does not say that something failed."""
    function = module.function(node)
    values = [found.value for found in module.names.returns(function)] if function is not None else []
    return all(value is None or _is_none(value) for value in values)


def outlives(call: ast.Call, block: ast.stmt, module: Module) -> bool:
    """Whether something that is set by the effect, or after it, is read behind the block: then its absence tells."""
    inside = [node for statement in getattr(block, "body", []) for node in ast.walk(statement)]
    targets: set[str] = set()
    for node in inside:
        if (
            isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.NamedExpr))
            and (node.end_lineno or 0) >= call.lineno
        ):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                targets |= {ast.unparse(part) for part in ast.walk(target) if isinstance(part, (ast.Name, ast.Attribute))}
        if (
            isinstance(node, ast.Call)
            and called(node) in {"append", "add"}
            and node.lineno >= call.lineno
            and isinstance(node.func, ast.Attribute)
        ):
            targets.add(ast.unparse(node.func.value))
    end = block.end_lineno or block.lineno
    function = module.scope(block)
    return bool(targets) and any(
        isinstance(node.ctx, ast.Load) and node.lineno > end and ast.unparse(node) in targets and module.scope(node) is function
        for node in module.nodes(ast.Name, ast.Attribute)
    )


def is_expected(block: ast.Try, module: Module) -> bool:
    """Whether the `try` is a fallback: the statement after it does the same thing another way."""
    mine = {called(call) for call in effects(block.body, module)}
    after = _next_statement(block, module)
    following = {called(node) for node in ast.walk(after) if isinstance(node, ast.Call)} if after is not None else set[str]()
    return not mine.isdisjoint(following)
