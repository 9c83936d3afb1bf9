"""Which handlers wait for an error that does not come: for that of what is retried, or for a RetryError that is never raised there."""

from __future__ import annotations

import ast
import builtins
from typing import TYPE_CHECKING

from interlock.hazards.retry._calls import run_by
from interlock.hazards.retry._conditions import errors_of, is_named, is_retry_error, is_wrapped, reraises
from interlock.hazards.retry._errors import caught, plain, spelled
from interlock.hazards.retry._policies import retried_by
from interlock.hazards.retry._sources import blocks_around, catches_all, is_run, lets_out

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.hazards.retry._policies import Policy
    from interlock.hazards.retry._sources import Source
    from interlock.source.module import Module


def passed_by(source: Source, module: Module) -> Iterator[tuple[ast.ExceptHandler, str]]:
    """The handlers that wait for an error that comes out as RetryError, as far out as nobody catches that."""
    if isinstance(source.site, ast.Call) and not is_run(source, module):
        return
    for block in blocks_around(source.site, module):
        caught_here = any(catches_all(handler, module) for handler in block.handlers)
        if any("RetryError" in ast.unparse(error) for handler in block.handlers for error in caught(handler)):
            return
        for handler in block.handlers:
            for error in caught(handler):
                if not is_wrapped(error, source.policy, module) or _picks(handler, error, source.policy, module):
                    continue
                if _is_expected(error, source, block, module, surely=caught_here):
                    yield handler, ast.unparse(error)
                    break
        if caught_here:
            return


def _picks(handler: ast.ExceptHandler, error: ast.expr, policy: Policy, module: Module) -> bool:
    """Whether a handler asks which failure it is, where some of these errors are not tried again and reach it as they are."""
    condition = policy.settings.get("retry")
    if condition is None or any(plain(error, module) == plain(other, module) for other in errors_of(condition, module)):
        return False
    return any(
        isinstance(node, ast.Name) and node.id == handler.name
        for asking in ast.walk(handler)
        if isinstance(asking, (ast.If, ast.Match, ast.IfExp))
        for node in ast.walk(asking.subject if isinstance(asking, ast.Match) else asking.test)
    )


def _is_expected(error: ast.expr, source: Source, block: ast.Try, module: Module, *, surely: bool) -> bool:
    """Whether the handler waits for this error because of what is retried, and not because of something beside it."""
    if is_named(error, source.policy, module):
        return True
    if source.body is not None and lets_out(source.body, error, module):
        return True
    if surely or not source.direct:
        return False
    return _is_alone(source.site, block, module) or (source.body is not None and _uses_library(error, source.body, module))


def _is_alone(site: ast.AST, block: ast.Try, module: Module) -> bool:
    """Whether nothing else in the `try` can raise: it holds this one call, and what is done with its result is no look-up."""
    nodes = [node for statement in block.body for node in ast.walk(statement)]
    inner = set(ast.walk(site)) if not isinstance(site, ast.Call) else {site}
    calls = [node for node in nodes if isinstance(node, ast.Call) and node not in inner and not _is_plain_call(node, module)]
    return not calls and not any(isinstance(node, (ast.Subscript, ast.Raise)) for node in nodes if node not in inner)


def _is_plain_call(call: ast.Call, module: Module) -> bool:
    match call.func:
        case ast.Attribute(attr="debug" | "info" | "warning" | "error" | "exception" | "append"):
            return True
        case _:
            return module.names.dotted(call.func) in {"print", "str", "len", "dict", "list"}


def _uses_library(error: ast.expr, body: ast.AST, module: Module) -> bool:
    """Whether what is retried calls the library whose error this is."""
    package = spelled(error, module).partition(".")[0]
    return (
        bool(package)
        and any(
            module.names.dotted(node.func).partition(".")[0] == package for node in ast.walk(body) if isinstance(node, ast.Call)
        )
        and not hasattr(builtins, package)
    )


def waits_for_retry_error(handler: ast.ExceptHandler, module: Module) -> bool:
    errors = caught(handler)
    return bool(errors) and all(is_retry_error(spelled(error, module)) for error in errors)


def why_dead(handler: ast.ExceptHandler, block: ast.Try, inside: list[Source], module: Module) -> str:
    """Why a handler for RetryError never runs; empty if it may."""
    if inside:
        dead = len(block.handlers) == 1 and all(reraises(source.policy, module) for source in inside)
        return (
            f"`{inside[0].name}` is retried with reraise=True: its last error itself comes out, and this handler never runs"
            if dead
            else ""
        )
    function = module.function(handler)
    policy = retried_by(function, module) if function is not None else None
    if function is None or policy is None or policy.library != "tenacity" or _calls_out(block, module):
        return ""
    return f"RetryError is raised around `{function.name}`, after its last attempt: a handler inside of it never runs"


def within(block: ast.Try) -> set[ast.AST]:
    """What the body of a `try` is made of."""
    return {node for statement in block.body for node in ast.walk(statement)}


def _calls_out(block: ast.Try, module: Module) -> bool:
    """Whether something in a `try` may be retried by itself: a function of another module of this project."""
    for node in within(block):
        if isinstance(node, ast.Call):
            name = module.names.dotted(node.func)
            if name.startswith(".") and run_by(node, module) is None:
                return True
    return False
