"""On which condition a policy tries again, and what comes out when it gives up."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from interlock.hazards.retry._calls import function_named
from interlock.hazards.retry._errors import BROAD, related, spelled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.hazards.retry._policies import Policy
    from interlock.source.module import Module

_NOT_RETRIED = frozenset({"KeyboardInterrupt", "SystemExit", "GeneratorExit", "asyncio.CancelledError", "tenacity.TryAgain"})


def loses_errors(policy: Policy) -> bool:
    """Whether tenacity ends these attempts with an error of its own."""
    if policy.library != "tenacity" or not policy.complete or "stop" not in policy.settings:
        return False
    match policy.settings.get("reraise"):
        case None | ast.Constant(value=False):
            return policy.settings.keys().isdisjoint({"retry_error_callback", "retry_error_cls"})
        case _:
            return False


def reraises(policy: Policy, module: Module) -> bool:
    """Whether the last error itself comes out; after a result that was not good enough it is a RetryError all the same."""
    match policy.settings.get("reraise"):
        case ast.Constant(value=True):
            condition = policy.settings.get("retry")
            return condition is None or ("result" not in ast.unparse(condition) and "TryAgain" not in module.text)
        case _:
            return False


def is_retry_error(name: str) -> bool:
    return name in {"tenacity.RetryError", "tenacity.retry.RetryError"}


def is_wrapped(error: ast.expr, policy: Policy, module: Module) -> bool:
    """Whether this error is one that is tried again, so that in the end it is wrapped; others come out as they are."""
    name = spelled(error, module)
    if name in _NOT_RETRIED or name in BROAD or name.startswith("tenacity."):
        return False
    condition = policy.settings.get("retry")
    return condition is None or _wraps(condition, error, module)


def _wraps(condition: ast.expr, error: ast.expr, module: Module) -> bool:
    match condition:
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return _wraps(left, error, module) or _wraps(right, error, module)
        case ast.BinOp(op=ast.BitAnd(), left=left, right=right):
            return _wraps(left, error, module) and _wraps(right, error, module)
        case ast.Call(func=func):
            kind = module.names.dotted(func).rpartition(".")[2]
            types = _types(condition)
            if kind == "retry_if_exception_type":
                return not types or any(related(error, other, module) for other in types)
            if kind == "retry_if_not_exception_type":
                return not any(related(error, other, module) for other in types)
            return kind == "retry_if_exception" and _accepts(condition, error, module)
        case _:
            return False


def _accepts(condition: ast.Call, error: ast.expr, module: Module) -> bool:
    """Whether the function of `retry_if_exception(function)` asks for this error."""
    predicate = condition.args[0] if condition.args else None
    helper = function_named(predicate, module) if predicate is not None else None
    body: ast.AST | None = predicate if isinstance(predicate, ast.Lambda) else helper
    return body is not None and any(
        related(error, node, module)
        for node in ast.walk(body)
        if isinstance(node, (ast.Name, ast.Attribute)) and _is_error(node, module)
    )


def _is_error(node: ast.Name | ast.Attribute, module: Module) -> bool:
    """Whether a name in a condition is that of an error class."""
    last = spelled(node, module).rpartition(".")[2]
    return bool(re.search(r"(Error|Exception|Timeout|Warning)$", last)) and last not in BROAD


def _types(condition: ast.Call) -> list[ast.expr]:
    found: list[ast.expr] = []
    for argument in [*condition.args, *(keyword.value for keyword in condition.keywords)]:
        found += argument.elts if isinstance(argument, ast.Tuple) else [argument]
    return found


def is_named(error: ast.expr, policy: Policy, module: Module) -> bool:
    """Whether the retry is for this very error."""
    condition = policy.settings.get("retry")
    if condition is None:
        return False
    return any(related(error, other, module) for other in errors_of(condition, module))


def errors_of(condition: ast.expr, module: Module) -> Iterator[ast.expr]:
    """The errors that a condition of a retry names, without those that stand for all."""
    for node in ast.walk(condition):
        if isinstance(node, (ast.Name, ast.Attribute)):
            name = spelled(node, module)
            if name.rpartition(".")[2][:1].isupper() and name not in BROAD and not name.startswith("tenacity."):
                yield node


def leaves_trace(policy: Policy) -> bool:
    """Whether somebody can see that it is tried again and again: backoff and retry write to the log, tenacity does so if it is asked."""
    return policy.library in {"backoff", "retry"} or not policy.settings.keys().isdisjoint({"before", "after", "before_sleep"})


def ends_elsewhere(policy: Policy, module: Module) -> bool:
    """Whether an end is given where the policy is used (`retry_with(stop=...)`), or by the code that is retried."""
    texts = {"retry_with", "attempt_number", "seconds_since_start"}
    if any(node.attr in texts for node in module.nodes(ast.Attribute)):
        return True
    condition = policy.settings.get("retry")
    if policy.library != "tenacity" or condition is None:
        return False
    parts = list(_parts(condition))
    if all(_waits_for_signal(part, module) for part in parts) and not _is_signalled(module):
        return True
    # A condition of one's own may count.
    return not all(
        module.names.dotted(part.func if isinstance(part, ast.Call) else part).startswith("tenacity.") for part in parts
    )


def _parts(condition: ast.expr) -> Iterator[ast.expr]:
    """The parts of a condition that is joined with `|` and `&`."""
    waiting = [condition]
    while waiting:
        match waiting.pop():
            case ast.BinOp(left=left, right=right):
                waiting += [left, right]
            case part:
                yield part


def _waits_for_signal(condition: ast.expr, module: Module) -> bool:
    """Whether a condition is for `TryAgain`, which no call raises by itself: the code asks for another attempt, or there is none."""
    match condition:
        case ast.Call(args=[error]):
            return module.names.dotted(error).endswith(".TryAgain")
        case _:
            return False


def _is_signalled(module: Module) -> bool:
    """Whether anything in this module asks for another attempt."""
    named = [node for node in module.nodes(ast.Name, ast.Attribute) if module.names.dotted(node).endswith(".TryAgain")]
    return any(isinstance(module.statement(node), ast.Raise) for node in named)
