"""Where in a module the error of a retry that gave up comes out, and where it is caught."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.hazards.retry._calls import function_named, run_by
from interlock.hazards.retry._conditions import is_retry_error
from interlock.hazards.retry._errors import BROAD, caught, is_known_to_raise, related, spelled
from interlock.hazards.retry._policies import policy_of, retried_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.hazards.retry._policies import Policy
    from interlock.source.module import Function, Module


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A place from which RetryError comes."""

    site: ast.Call | ast.For | ast.AsyncFor
    policy: Policy
    body: ast.AST | None  # what is retried, if it can be seen
    direct: bool  # whether the site itself is what is retried, and not a helper that calls it
    name: str


def sources_in(module: Module) -> list[Source]:
    """Every place from which the error of a retry comes."""
    found = [source for call in module.nodes(ast.Call) if (source := _called(call, module)) is not None]
    for loop in module.nodes(ast.For, ast.AsyncFor):
        policy = policy_of(loop.iter, module) if isinstance(loop.iter, (ast.Call, ast.Name, ast.Attribute)) else None
        if policy is not None and policy.library == "tenacity":
            found.append(Source(loop, policy, loop, direct=True, name=f"the loop at line {loop.lineno}"))
    return [*found, *_through_helpers(found, module)]


def _called(call: ast.Call, module: Module) -> Source | None:
    """A call of a retried function, or of a policy with a function: `fetch()`, `retryer(fetch, url)`, `retry(...)(fetch)(url)`."""
    function = run_by(call, module)
    policy = retried_by(function, module) if function is not None else None
    if policy is not None and function is not None and policy.library == "tenacity":
        return Source(call, policy, function, direct=True, name=function.name)
    if function is not None or not isinstance(call.func, (ast.Call, ast.Name, ast.Attribute)):
        return None
    applied = _applied(call.func, module)
    if applied is not None:
        policy, target = applied
        return Source(call, policy, function_named(target, module), direct=True, name=ast.unparse(call.func)[:40])
    holder = call.func.value if isinstance(call.func, ast.Attribute) and call.func.attr == "call" else call.func
    policy = policy_of(holder, module)
    # `retry(...)(fetch)` gives a function and runs nothing yet; `Retrying(...)(fetch)` runs it.
    if (
        policy is None
        or policy.library != "tenacity"
        or policy.site is call.func
        or not call.args
        or _is_decorator(policy, module)
    ):
        return None
    return Source(call, policy, function_named(call.args[0], module), direct=True, name=ast.unparse(call.args[0])[:40])


def _is_decorator(policy: Policy, module: Module) -> bool:
    site = policy.site.func if isinstance(policy.site, ast.Call) else policy.site
    return module.names.dotted(site).endswith(".retry")


def _applied(expr: ast.expr, module: Module) -> tuple[Policy, ast.expr] | None:
    """The policy and the function of `retry(...)(function)`, or of a name that holds it."""
    if isinstance(expr, ast.Name):
        bindings = module.names.lookup(expr.id, expr)
        value = bindings[0].value if len(bindings) == 1 else None
        return _applied(value, module) if isinstance(value, ast.Call) else None
    match expr:
        case ast.Call(func=ast.Call() | ast.Name() | ast.Attribute() as maker, args=[target]):
            policy = policy_of(maker, module)
            is_retry = policy is not None and policy.library == "tenacity" and _is_decorator(policy, module)
            return (policy, target) if is_retry and policy is not None and not _is_maker(maker, module) else None
        case _:
            return None


def _is_maker(expr: ast.expr, module: Module) -> bool:
    """Whether an expression is the library's `retry` itself, so that its argument may be a setting."""
    return not isinstance(expr, ast.Call) and module.names.dotted(expr).startswith("tenacity.")


def _through_helpers(direct: list[Source], module: Module) -> Iterator[Source]:
    """The calls of functions that let the error through: they call what is retried, and catch nothing of it."""
    lets_through: dict[Function, Source] = {}
    calls: dict[Function, list[ast.Call]] = {}
    for call in module.nodes(ast.Call) if direct else ():
        helper = run_by(call, module)
        if helper is not None and retried_by(helper, module) is None:
            calls.setdefault(helper, []).append(call)
    waiting = list(direct)
    while waiting:
        source = waiting.pop()
        helper = module.function(source.site)
        if helper is None or helper in lets_through or helper not in calls or is_caught(source.site, module):
            continue
        lets_through[helper] = source
        for call in calls[helper]:
            further = Source(call, source.policy, source.body, direct=False, name=helper.name)
            waiting.append(further)
            yield further


def is_run(source: Source, module: Module) -> bool:
    """Whether the call runs here: that of an `async` function only where it is awaited."""
    if not isinstance(source.body, ast.AsyncFunctionDef) or not source.direct:
        return True
    statement = module.statement(source.site)
    return any(isinstance(around, ast.Await) for around in module.ancestors(source.site) if around is not statement)


def is_caught(site: ast.AST, module: Module) -> bool:
    """Whether RetryError is caught in the function in which it comes up."""
    return any(catches_all(handler, module) for block in blocks_around(site, module) for handler in block.handlers)


def blocks_around(site: ast.AST, module: Module) -> Iterator[ast.Try]:
    """The `try` statements whose body a site stands in, innermost first, within its function."""
    scope = module.scope(site)
    for around in module.ancestors(site):
        if around is scope:
            return
        if isinstance(around, ast.Try) and module.names.arm(around, site) == "body":
            yield around


def catches_all(handler: ast.ExceptHandler, module: Module) -> bool:
    names = [spelled(error, module) for error in caught(handler)]
    return not names or any(name in BROAD or is_retry_error(name) or name.startswith("tenacity.") for name in names)


def raised_in(body: ast.AST, module: Module) -> Iterator[ast.expr]:
    """The errors that a body raises by name, and that leave it."""
    for node in ast.walk(body):
        if isinstance(node, ast.Raise) and node.exc is not None:
            error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            name = spelled(error, module)
            if (
                isinstance(error, (ast.Name, ast.Attribute))
                and name.rpartition(".")[2][:1].isupper()
                and not is_caught(node, module)
            ):
                yield error


def lets_out(body: ast.AST, error: ast.expr, module: Module) -> bool:
    """Whether a body raises this error, or makes a well-known call that does, and does not catch it."""
    return any(related(raised, error, module) for raised in raised_in(body, module)) or any(
        is_known_to_raise(node, error, module) and not is_caught(node, module) and not _is_handled(node, error, module)
        for node in ast.walk(body)
        if isinstance(node, ast.Call)
    )


def _is_handled(site: ast.AST, error: ast.expr, module: Module) -> bool:
    return any(
        related(error, other, module)
        for block in blocks_around(site, module)
        for handler in block.handlers
        for other in caught(handler)
    )
