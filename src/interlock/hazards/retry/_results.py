"""Code that waits for a result which a retry refuses: after the last attempt it is RetryError that comes, even with `reraise=True`."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from interlock.hazards.retry._calls import function_named
from interlock.hazards.retry._sources import is_caught

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.hazards.retry._policies import Policy
    from interlock.hazards.retry._sources import Source
    from interlock.source.module import Module

_RESULT = "_result_"
_OPPOSITES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.In: ast.NotIn, ast.Is: ast.IsNot, ast.NotEq: ast.Eq, ast.NotIn: ast.In, ast.IsNot: ast.Is,
}  # fmt: skip
_CONDITIONS = (".retry_if_result", ".retry_if_not_result")


def waits_for_result(policy: Policy, module: Module) -> bool:
    """Whether a policy tries again for nothing but a result that is not good enough, and gives up with RetryError."""
    if not {"retry", "stop"} <= policy.settings.keys() or not policy.complete:
        return False
    if not policy.settings.keys().isdisjoint({"retry_error_callback", "retry_error_cls"}):
        return False
    match policy.settings["retry"]:
        case ast.Call(func=func):
            return module.names.dotted(func).startswith("tenacity.") and module.names.dotted(func).endswith(_CONDITIONS)
        case _:
            return False


def dead_tests(source: Source, module: Module) -> Iterator[ast.If]:
    """The `if`s behind a call that ask for the very result that is tried again: `if status == "pending":`."""
    refused = _refused(source.policy, module)
    name = _kept_as(source.site, module)
    if not refused or not name or is_caught(source.site, module):
        return
    scope = module.scope(source.site)
    for question in module.nodes(ast.If):
        if module.scope(question) is scope and question.lineno > source.site.lineno and _asked(question.test, name) in refused:
            use = next(node for node in ast.walk(question.test) if isinstance(node, ast.Name) and node.id == name)
            bindings = module.names.reaching(name, use)
            if len(bindings) == 1 and _given(bindings[0].value) is source.site:
                yield question


def next_is_lost(source: Source, module: Module) -> ast.For | ast.AsyncFor | None:
    """The loop that tries one after the other until one is good, and that RetryError ends at the first that is not."""
    statement = module.statement(source.site)
    loop = module.parent(statement) if statement is not None else None
    if not isinstance(loop, (ast.For, ast.AsyncFor)) or statement not in loop.body or is_caught(source.site, module):
        return None
    after = loop.body[loop.body.index(statement) + 1 :]
    is_search = any(isinstance(later, ast.If) and isinstance(later.body[-1], (ast.Break, ast.Return)) for later in after)
    return loop if is_search else None


def _refused(policy: Policy, module: Module) -> set[str]:
    """The questions that are true of a result that is tried again, with the result under one name."""
    condition = policy.settings["retry"]
    if not isinstance(condition, ast.Call) or not condition.args:
        return set()
    question = _question(condition.args[0], module)
    if question and module.names.dotted(condition.func).endswith(".retry_if_not_result"):
        question = ast.unparse(_opposite(ast.parse(question, mode="eval").body))
    # Whoever refuses all that is empty refuses None.
    return {question, f"{_RESULT} is None"} if question == f"not {_RESULT}" else {question} - {""}


def _question(predicate: ast.expr, module: Module) -> str:
    """What a predicate asks of its one parameter: a lambda, or a function that only returns the answer."""
    found = function_named(predicate, module) if isinstance(predicate, ast.Name) else predicate
    match found:
        case (
            ast.Lambda(args=ast.arguments(args=[parameter]), body=body)
            | ast.FunctionDef(args=ast.arguments(args=[parameter]), body=[ast.Return(value=ast.expr() as body)])
        ):
            return _asked(body, parameter.arg)
        case _:
            return ""


def _opposite(question: ast.expr) -> ast.expr:
    match question:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return operand
        case ast.Compare(left=left, ops=[op], comparators=comparators) if type(op) in _OPPOSITES:
            return ast.Compare(left, [_OPPOSITES[type(op)]()], comparators)
        case _:
            return ast.UnaryOp(ast.Not(), question)


def _asked(test: ast.expr, name: str) -> str:
    """A question about a name, spelled so that two of them can be compared."""
    text = ast.unparse(test)
    parts = [node for node in ast.walk(test) if isinstance(node, ast.Name) and node.id == name]
    if len(parts) != 1 or test.lineno != test.end_lineno:
        return ""
    if isinstance(test, ast.Name):
        return _RESULT
    copy = ast.parse(text, mode="eval").body
    for node in ast.walk(copy):
        if isinstance(node, ast.Name) and node.id == name:
            node.id = _RESULT
    return ast.unparse(copy)


def _kept_as(site: ast.AST, module: Module) -> str:
    """The name that the result of a call is kept under."""
    match module.statement(site):
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if _given(value) is site:
            return name
        case _:
            return ""


def _given(value: ast.expr | None) -> ast.expr | None:
    return value.value if isinstance(value, ast.Await) else value
