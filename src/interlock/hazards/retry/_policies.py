"""How code asks a retry library to retry: the settings of a decorator or a `Retrying` object, wherever they were written."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.source.module import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.source.module import Function, Module
    from interlock.source.names import Binding

_MAKERS = {
    "tenacity.retry": "tenacity",
    "tenacity.Retrying": "tenacity",
    "tenacity.AsyncRetrying": "tenacity",
    "tenacity.asyncio.AsyncRetrying": "tenacity",
    "tenacity._asyncio.AsyncRetrying": "tenacity",
    "tenacity.asyncio.retry": "tenacity",
    "backoff.on_exception": "backoff",
    "backoff.on_predicate": "backoff",
    "retrying.retry": "retrying",
    "retrying.Retrying": "retrying",
    "retry.retry": "retry",
    "retry.retry_call": "retry",
    "retry.api.retry": "retry",
    "retry.api.retry_call": "retry",
}
# The settings that end the attempts; each library's documentation says that without them it goes on for ever.
_BOUNDS = {
    "tenacity": ("stop",),
    "backoff": ("max_tries", "max_time"),
    "retrying": ("stop_max_attempt_number", "stop_max_delay", "stop_func", "stop"),
    "retry": ("tries",),
}
_MAX_STEPS = 5  # A policy that is handed on through more names than this is left alone.


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """One way of retrying, as the code asks for it."""

    site: ast.expr  # where it is written
    library: str
    settings: dict[str, ast.expr]
    complete: bool  # whether all of its settings can be seen from here

    def endless(self, module: Module) -> bool:
        """Whether nothing ends the attempts but success."""
        bounds = [self.settings[name] for name in _BOUNDS[self.library] if name in self.settings]
        return self.complete and all(_never(bound, module) for bound in bounds)

    def waits(self, module: Module) -> bool:
        """Whether there is a pause between two attempts."""
        match self.library:
            case "tenacity":
                wait = self.settings.get("wait")
                return wait is not None and not module.names.dotted(wait.func if isinstance(wait, ast.Call) else wait).endswith(
                    "wait_none"
                )
            case "backoff":
                return True
            case "retrying":
                return any(name.startswith("wait") for name in self.settings)
            case _:
                return "delay" in self.settings


def policy_of(expr: ast.expr, module: Module, steps: int = 0) -> Policy | None:
    """The policy that an expression stands for: a decorator, a `Retrying(...)` object, a name or helper that holds one."""
    if steps > _MAX_STEPS:
        return None
    library = _MAKERS.get(module.names.dotted(expr), "")
    if library:
        return Policy(expr, library, {}, complete=True)
    match expr:
        case ast.Call():
            return _called(expr, module, steps)
        case ast.Name(id=name):
            return _bound(module.names.lookup(name, expr), module, steps)
        case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=attr):
            values = _kept(expr, attr, module)
            value = values[0] if len(values) == 1 else None
            return policy_of(value, module, steps + 1) if value is not None else None
        case _:
            return None


def _bound(bindings: list[Binding], module: Module, steps: int) -> Policy | None:
    """The policy that a name holds, if it is one whichever of its assignments was the last."""
    if len(bindings) == 1 and isinstance(bindings[0].node, FUNCTIONS):
        return _given_by(bindings[0].node, module, steps)
    values = [binding.value for binding in bindings if binding.value is not None and not _is_unpacked(binding.node)]
    found = [policy for value in values if (policy := policy_of(value, module, steps + 1)) is not None]
    others = len([binding for binding in bindings if not binding.is_parameter]) - len(found)
    return found[0] if len(found) == 1 and not others else None


def _called(call: ast.Call, module: Module, steps: int) -> Policy | None:
    name = module.names.dotted(call.func)
    library = _MAKERS.get(name, "")
    if library:
        return _written(call, library, module)
    if name == "functools.partial" and call.args:
        base = policy_of(call.args[0], module, steps + 1)
        return _with_more(base, call, module) if base else None
    helper = module.names.definition(call)
    if helper is not None:
        return _given_by(helper, module, steps)
    # A partial that is called: `api_retry = partial(retry, stop=...)`, then `@api_retry(wait=...)`.
    base = policy_of(call.func, module, steps + 1) if isinstance(call.func, ast.Name) and not name else None
    return _with_more(base, call, module) if base else None


def _with_more(base: Policy, call: ast.Call, module: Module) -> Policy:
    settings, complete = _keywords(call, module)
    return Policy(base.site, base.library, {**base.settings, **settings}, complete=base.complete and complete)


def _written(call: ast.Call, library: str, module: Module) -> Policy:
    settings, complete = _keywords(call, module)
    match library, call.args:
        case "tenacity" | "retrying", [_, *_]:
            complete = False  # `retry(function)`, or settings by position.
        case "retry", [_, tries, *_] if not module.names.dotted(call.func).endswith("_call"):
            settings = {"tries": tries, **settings}
        case "retry", [_, _, _, _, tries, *_]:
            settings = {"tries": tries, **settings}
        case _:
            pass
    return Policy(call, library, settings, complete=complete)


def _keywords(call: ast.Call, module: Module) -> tuple[dict[str, ast.expr], bool]:
    """The keyword arguments of a call, those of `**settings` included where they can be read; and whether that is all."""
    found: dict[str, ast.expr] = {}
    complete = not any(isinstance(argument, ast.Starred) for argument in call.args)
    for keyword in call.keywords:
        if keyword.arg is not None:
            found[keyword.arg] = keyword.value
            continue
        entries = _entries(keyword.value, module)
        complete = complete and entries is not None
        found |= entries or {}
    return found, complete


def _entries(expr: ast.expr, module: Module, steps: int = 0) -> dict[str, ast.expr] | None:
    """What a dict of settings holds; None if that cannot be told. Of two alternatives it is the one that is written here."""
    if steps > _MAX_STEPS:
        return None
    match expr:
        case ast.Dict(keys=keys, values=values) if all(isinstance(key, ast.Constant) for key in keys):
            return {str(key.value): value for key, value in zip(keys, values, strict=True) if isinstance(key, ast.Constant)}
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords) if all(keyword.arg for keyword in keywords):
            return {keyword.arg: keyword.value for keyword in keywords if keyword.arg}
        case ast.IfExp(body=one, orelse=other) | ast.BoolOp(values=[one, other]):
            found = [entries for part in (one, other) if (entries := _entries(part, module, steps + 1)) is not None]
            return found[0] if len(found) == 1 else None
        case ast.Name(id=name):
            bindings = module.names.lookup(name, expr)
            value = bindings[0].value if len(bindings) == 1 else None
            return _entries(value, module, steps + 1) if value is not None else None
        case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=attr):
            kept = _kept(expr, attr, module)
            value = kept[0] if len(kept) == 1 else None
            return _entries(value, module, steps + 1) if value is not None else None
        case _:
            return None


def _kept(expr: ast.expr, attr: str, module: Module) -> list[ast.expr | None]:
    """What an attribute of `self` is set to, by methods or in the body of its class."""
    owner = module.enclosing(expr, ast.ClassDef)
    if owner is None:
        return []
    on_class = [binding.value for cls in module.names.lineage(owner) for binding in module.names.own(cls).get(attr, [])]
    return [*module.names.attributes(owner).get(attr, []), *on_class]


def _given_by(helper: Function, module: Module, steps: int) -> Policy | None:
    """What a helper of this module gives: `return retry(...)`, or a decorator whose wrapper is itself retried."""
    returns = [node.value for node in module.names.returns(helper) if node.value is not None]
    if len(returns) != 1 or steps > _MAX_STEPS:
        return None
    match returns[0]:
        case ast.Name(id=name):
            inner = module.names.own(helper).get(name, [])
            if len(inner) == 1 and isinstance(inner[0].node, FUNCTIONS):
                return retried_by(inner[0].node, module, steps + 1) or _given_by(inner[0].node, module, steps + 1)
            return policy_of(returns[0], module, steps + 1)
        case ast.Call():
            policy = policy_of(returns[0], module, steps + 1)
            # `return retry(...)(function)` gives the same as `return retry(...)`.
            return policy or policy_of(returns[0].func, module, steps + 1)
        case _:
            return None


def retried_by(function: Function, module: Module, steps: int = 0) -> Policy | None:
    """The policy of the outermost decorator of a function that retries it."""
    if steps > _MAX_STEPS:
        return None
    policies = (policy_of(decorator, module, steps + 1) for decorator in function.decorator_list)
    return next((policy for policy in policies if policy is not None), None)


def policies(module: Module) -> Iterator[Policy]:
    """Every policy at the place where it is written."""
    for call in module.nodes(ast.Call):
        library = _MAKERS.get(module.names.dotted(call.func), "")
        if library:
            yield _written(call, library, module)
    for function in module.nodes(*FUNCTIONS):
        for decorator in function.decorator_list:
            library = "" if isinstance(decorator, ast.Call) else _MAKERS.get(module.names.dotted(decorator), "")
            if library:
                yield Policy(decorator, library, {}, complete=True)


def _never(bound: ast.expr, module: Module) -> bool:
    """Whether a bound is none: `stop=stop_never`, `max_tries=None`, `tries=-1`."""
    match bound:
        case ast.Constant(value=None) | ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=1)):
            return True
        case ast.Call(func=func):
            return module.names.dotted(func).endswith(".stop_never")
        case _:
            return module.names.dotted(bound).endswith(".stop_never")


def _is_unpacked(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and any(isinstance(target, (ast.Tuple, ast.List)) for target in node.targets)
