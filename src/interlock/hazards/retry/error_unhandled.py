"""After the last attempt a retry raises another error than the one that its callers wait for.

## What happens
When tenacity gives up it raises its own `RetryError`, which is no kind of the error that failed. An `except requests.Timeout` around
the call has stopped working in the moment `@retry` was put on the function: the fallback, the message to the customer, the release of
the reservation never run, and the request ends as a 500. An `HTTPException` that is raised inside the retry becomes one as well. The
other way round it is the same: with `reraise=True` a handler for `RetryError` waits for an error that never comes.

## Why tests miss it
The test of the handler replaces the retried function by a mock that raises the original error, and the test of the retry succeeds on
the second attempt. No test lets all attempts fail.

## What to write instead
`@retry(stop=..., reraise=True)`: the last error itself comes out, and all handlers go on working. Or catch `tenacity.RetryError` where
the fallback is, outside of the function that is retried.

## Where it comes from
tenacity's documentation, "Error handling", and its issues 24 and 44, in which callers are surprised by it.
"""

from __future__ import annotations

import ast
import builtins
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.core.finding import Confidence, Severity
from interlock.hazards.hazard import Hazard, Mutant
from interlock.hazards.retry._calls import run_by
from interlock.hazards.retry._errors import BROAD, caught, spelled
from interlock.hazards.retry._policies import policies, policy_of, retried_by
from interlock.source.edit import edited, replacing
from interlock.source.module import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.core.finding import Finding
    from interlock.hazards.retry._policies import Policy
    from interlock.source.module import Function, Module

HAZARD = Hazard(
    __name__,
    severity=Severity.HIGH,
    advice="retry with reraise=True, so that the last error itself comes out; or catch tenacity.RetryError outside of what is retried",
    needles=((b"tenacity",), (b"retry", b"Retrying")),
    signal="RetryError in the error tracker; 500s where a fallback or a 4xx was meant, each time a dependency is down for longer",
    scenario="the dependency fails on every attempt: the caller's own handler for its error runs",
    sources=(
        "https://tenacity.readthedocs.io/en/latest/#error-handling",
        "https://github.com/jd/tenacity/issues/24",
        "https://github.com/jd/tenacity/issues/44",
    ),
)

# What a web framework or command line turns into an answer; wrapped in another error it is a crash.
_ANSWERS = re.compile(
    r"^(fastapi|starlette|werkzeug|django|flask|rest_framework|aiohttp\.web|litestar|click|typer)\..*"
    r"(HTTPException|Http404|PermissionDenied|NotFound|BadRequest|Forbidden|Unauthorized|ValidationError|ClickException|HTTP\w+|Exit|Abort)$"
)
_NOT_RETRIED = frozenset({"KeyboardInterrupt", "SystemExit", "GeneratorExit", "asyncio.CancelledError", "tenacity.TryAgain"})
# Errors that are the base of what their library raises, so that each of its errors is a kind of them.
_ROOTS = frozenset(
    {
        "requests.RequestException",
        "httpx.HTTPError",
        "httpx.RequestError",
        "httpx.TransportError",
        "aiohttp.ClientError",
        "redis.RedisError",
    }
    | {
        "sqlalchemy.SQLAlchemyError",
        "sqlalchemy.DBAPIError",
        "openai.OpenAIError",
        "openai.APIError",
        "anthropic.AnthropicError",
    }
    | {"anthropic.APIError", "urllib3.HTTPError", "botocore.BotoCoreError", "psycopg2.Error", "psycopg.Error", "pymysql.Error"}
    | {"stripe.StripeError", "django.DatabaseError", "django.Error", "google.GoogleAPICallError", "google.GoogleAPIError"}
)


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A place from which RetryError comes."""

    site: ast.Call | ast.For | ast.AsyncFor
    policy: Policy
    body: ast.AST | None  # what is retried, if it can be seen
    direct: bool  # whether the site itself is what is retried, and not a helper that calls it
    name: str


@HAZARD.detects(ast.Module)
def detect_lost_error(tree: ast.Module, module: Module) -> Iterator[Finding]:
    """`except requests.Timeout:` around a call that raises RetryError, and a task that nothing protects from it.

    The finding stands at the handler, not at the policy: it is the handler that is dead, and the same policy can be right for a caller
    who waits for RetryError.
    """
    told: set[ast.ExceptHandler] = set()
    for source in _sources(module) if tree is module.tree else ():
        if not _loses_errors(source.policy):
            continue
        for handler, error in _passed_by(source, module):
            if handler in told:
                continue
            told.add(handler)
            message = f"`except {error}` misses the failures of `{source.name}` that were tried again: after the last attempt they are RetryError"
            yield HAZARD.finding(module, handler, message)
        task = module.function(source.site)
        if task is not None and _ends_a_task(task, source, module):
            message = f"after the last attempt of {source.name} RetryError ends the task `{task.name}`: nothing catches it, and the job is dropped"
            yield HAZARD.finding(module, source.site, message, Confidence.MEDIUM)


def _ends_a_task(function: Function, source: Source, module: Module) -> bool:
    """Whether a background job ends with RetryError and is not run again: nobody above it waits for an error."""
    if _is_caught(source.site, module) or (isinstance(source.site, ast.Call) and not _is_run(source, module)):
        return False
    for decorator in function.decorator_list:
        call = decorator if isinstance(decorator, ast.Call) else None
        name = call.func if call else decorator
        last = name.attr if isinstance(name, ast.Attribute) else name.id if isinstance(name, ast.Name) else ""
        given = {keyword.arg for keyword in call.keywords} if call else set[str | None]()
        if last in {"task", "shared_task"} and "celery" in module.text and given.isdisjoint({"autoretry_for", "base", None}):
            return not any(isinstance(node, ast.Attribute) and node.attr == "retry" for node in ast.walk(function))
    return False


@HAZARD.detects(ast.FunctionDef, ast.AsyncFunctionDef)
def detect_broken_promise(function: Function, module: Module) -> Iterator[Finding]:
    """`raise HTTPException(404)` inside of a retry, and a docstring that says `Raises: requests.HTTPError`."""
    policy = retried_by(function, module)
    if policy is None or not _loses_errors(policy):
        return
    for error in _raised_in(function, module):
        if _ANSWERS.match(spelled(error, module)) and _is_wrapped(error, policy, module):
            message = f"`{ast.unparse(error)}` is raised inside the retry of `{function.name}`: the framework is given RetryError, and answers 500"
            yield HAZARD.finding(module, error, message)
            return
    for promised in _promised(function):
        if any(
            ast.unparse(error).endswith(promised) and _is_wrapped(error, policy, module)
            for error in _known_errors(function, policy, module)
        ):
            message = (
                f"`{function.name}` says that it raises {promised}, but after the last attempt it raises tenacity.RetryError"
            )
            yield HAZARD.finding(module, policy.site, message, Confidence.MEDIUM)
            return


@HAZARD.detects(ast.Module)
def detect_dead_retry_error(tree: ast.Module, module: Module) -> Iterator[Finding]:
    """`except RetryError` around what is retried with `reraise=True`, and inside of the function that is retried."""
    handlers = [handler for handler in module.nodes(ast.ExceptHandler) if _waits_for_retry_error(handler, module)]
    sources = _sources(module) if handlers and tree is module.tree else []
    for handler in handlers:
        block = module.parent(handler)
        if not isinstance(block, ast.Try):
            continue
        body = _within(block)
        message = _why_dead(handler, block, [source for source in sources if source.site in body], module)
        if message:
            yield HAZARD.finding(module, handler, message)


def _waits_for_retry_error(handler: ast.ExceptHandler, module: Module) -> bool:
    errors = caught(handler)
    return bool(errors) and all(_is_retry_error(spelled(error, module)) for error in errors)


def _why_dead(handler: ast.ExceptHandler, block: ast.Try, inside: list[Source], module: Module) -> str:
    """Why a handler for RetryError never runs; empty if it may."""
    if inside:
        dead = len(block.handlers) == 1 and all(_reraises(source.policy, module) for source in inside)
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


def _loses_errors(policy: Policy) -> bool:
    """Whether tenacity ends these attempts with an error of its own."""
    if policy.library != "tenacity" or not policy.complete or "stop" not in policy.settings:
        return False
    match policy.settings.get("reraise"):
        case None | ast.Constant(value=False):
            return policy.settings.keys().isdisjoint({"retry_error_callback", "retry_error_cls"})
        case _:
            return False


def _reraises(policy: Policy, module: Module) -> bool:
    """Whether the last error itself comes out; after a result that was not good enough it is a RetryError all the same."""
    match policy.settings.get("reraise"):
        case ast.Constant(value=True):
            condition = policy.settings.get("retry")
            return condition is None or ("result" not in ast.unparse(condition) and "TryAgain" not in module.text)
        case _:
            return False


def _is_retry_error(name: str) -> bool:
    return name in {"tenacity.RetryError", "tenacity.retry.RetryError"}


def _sources(module: Module) -> list[Source]:
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
        return Source(call, policy, _function_named(target, module), direct=True, name=ast.unparse(call.func)[:40])
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
    return Source(call, policy, _function_named(call.args[0], module), direct=True, name=ast.unparse(call.args[0])[:40])


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


def _function_named(expr: ast.expr, module: Module) -> Function | None:
    match expr:
        case ast.Name(id=name):
            found = [binding.node for binding in module.names.lookup(name, expr)]
            return found[-1] if found and isinstance(found[-1], FUNCTIONS) else None
        case ast.Call(func=func, args=[target, *_]) if module.names.dotted(func) == "functools.partial":
            return _function_named(target, module)
        case ast.Attribute(value=ast.Name(id="self"), attr=attr):
            owner = module.enclosing(expr, ast.ClassDef)
            return module.names.method(owner, attr) if owner else None
        case _:
            return None


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
        if helper is None or helper in lets_through or helper not in calls or _is_caught(source.site, module):
            continue
        lets_through[helper] = source
        for call in calls[helper]:
            further = Source(call, source.policy, source.body, direct=False, name=helper.name)
            waiting.append(further)
            yield further


def _is_caught(site: ast.AST, module: Module) -> bool:
    """Whether RetryError is caught in the function in which it comes up."""
    return any(_catches_all(handler, module) for block in _blocks_around(site, module) for handler in block.handlers)


def _blocks_around(site: ast.AST, module: Module) -> Iterator[ast.Try]:
    """The `try` statements whose body a site stands in, innermost first, within its function."""
    scope = module.scope(site)
    for around in module.ancestors(site):
        if around is scope:
            return
        if isinstance(around, ast.Try) and module.names.arm(around, site) == "body":
            yield around


def _catches_all(handler: ast.ExceptHandler, module: Module) -> bool:
    names = [spelled(error, module) for error in caught(handler)]
    return not names or any(name in BROAD or _is_retry_error(name) or name.startswith("tenacity.") for name in names)


def _passed_by(source: Source, module: Module) -> Iterator[tuple[ast.ExceptHandler, str]]:
    """The handlers that wait for an error that comes out as RetryError, as far out as nobody catches that."""
    if isinstance(source.site, ast.Call) and not _is_run(source, module):
        return
    for block in _blocks_around(source.site, module):
        caught_here = any(_catches_all(handler, module) for handler in block.handlers)
        if any("RetryError" in ast.unparse(error) for handler in block.handlers for error in caught(handler)):
            return
        for handler in block.handlers:
            for error in caught(handler):
                if not _is_wrapped(error, source.policy, module) or _picks(handler, error, source.policy, module):
                    continue
                if _is_expected(error, source, block, module, surely=caught_here):
                    yield handler, ast.unparse(error)
                    break
        if caught_here:
            return


def _picks(handler: ast.ExceptHandler, error: ast.expr, policy: Policy, module: Module) -> bool:
    """Whether a handler asks which failure it is, where some of these errors are not tried again and reach it as they are."""
    condition = policy.settings.get("retry")
    if condition is None or any(_plain(error, module) == _plain(other, module) for other in _errors_of(condition, module)):
        return False
    return any(
        isinstance(node, ast.Name) and node.id == handler.name
        for asking in ast.walk(handler)
        if isinstance(asking, (ast.If, ast.Match, ast.IfExp))
        for node in ast.walk(asking.subject if isinstance(asking, ast.Match) else asking.test)
    )


def _is_run(source: Source, module: Module) -> bool:
    """Whether the call runs here: that of an `async` function only where it is awaited."""
    if not isinstance(source.body, ast.AsyncFunctionDef) or not source.direct:
        return True
    statement = module.statement(source.site)
    return any(isinstance(around, ast.Await) for around in module.ancestors(source.site) if around is not statement)


def _is_wrapped(error: ast.expr, policy: Policy, module: Module) -> bool:
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
                return not types or any(_related(error, other, module) for other in types)
            if kind == "retry_if_not_exception_type":
                return not any(_related(error, other, module) for other in types)
            return kind == "retry_if_exception" and _accepts(condition, error, module)
        case _:
            return False


def _accepts(condition: ast.Call, error: ast.expr, module: Module) -> bool:
    """Whether the function of `retry_if_exception(function)` asks for this error."""
    predicate = condition.args[0] if condition.args else None
    helper = _function_named(predicate, module) if predicate is not None else None
    body: ast.AST | None = predicate if isinstance(predicate, ast.Lambda) else helper
    return body is not None and any(
        _related(error, node, module)
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


def _related(one: ast.expr, other: ast.expr, module: Module) -> bool:
    """Whether an error can be of both kinds: the same, or one the base of the other."""
    mine, theirs = _plain(one, module), _plain(other, module)
    if mine == theirs or theirs in {"Exception", "BaseException"}:
        return True
    if mine in _ROOTS or theirs in _ROOTS:
        return mine.partition(".")[0] == theirs.partition(".")[0]
    known = [getattr(builtins, name, None) for name in (mine, theirs)]
    match known:
        case [type() as first, type() as second]:
            return issubclass(first, second) or issubclass(second, first)
        case _:
            return mine in _bases(other, module) or theirs in _bases(one, module)


def _plain(error: ast.expr, module: Module) -> str:
    """A library's error by its package and its name: `requests.exceptions.Timeout` and `requests.Timeout` are the same."""
    name = spelled(error, module)
    package, dot, _ = name.partition(".")
    alias = {
        "IOError": "OSError",
        "EnvironmentError": "OSError",
        "asyncio.TimeoutError": "TimeoutError",
        "socket.timeout": "TimeoutError",
    }
    return alias.get(name) or (f"{package}.{name.rpartition('.')[2]}" if dot and package else name)


def _bases(error: ast.expr, module: Module) -> set[str]:
    """The names of the bases of an error of this module."""
    bindings = module.names.lookup(error.id, error) if isinstance(error, ast.Name) else []
    classes = [binding.node for binding in bindings if isinstance(binding.node, ast.ClassDef)]
    return {_plain(base, module) for cls in classes for ancestor in module.names.lineage(cls) for base in ancestor.bases}


def _is_expected(error: ast.expr, source: Source, block: ast.Try, module: Module, *, surely: bool) -> bool:
    """Whether the handler waits for this error because of what is retried, and not because of something beside it."""
    if _is_named(error, source.policy, module):
        return True
    if source.body is not None and any(_related(raised, error, module) for raised in _raised_in(source.body, module)):
        return True
    if surely or not source.direct:
        return False
    return _is_alone(source.site, block, module) or (source.body is not None and _uses_library(error, source.body, module))


def _is_named(error: ast.expr, policy: Policy, module: Module) -> bool:
    """Whether the retry is for this very error."""
    condition = policy.settings.get("retry")
    if condition is None:
        return False
    return any(_related(error, other, module) for other in _errors_of(condition, module))


def _errors_of(condition: ast.expr, module: Module) -> Iterator[ast.expr]:
    """The errors that a condition of a retry names, without those that stand for all."""
    for node in ast.walk(condition):
        if isinstance(node, (ast.Name, ast.Attribute)):
            name = spelled(node, module)
            if name.rpartition(".")[2][:1].isupper() and name not in BROAD and not name.startswith("tenacity."):
                yield node


def _raised_in(body: ast.AST, module: Module) -> Iterator[ast.expr]:
    """The errors that a body raises by name, and that leave it."""
    for node in ast.walk(body):
        if isinstance(node, ast.Raise) and node.exc is not None:
            error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            name = spelled(error, module)
            if (
                isinstance(error, (ast.Name, ast.Attribute))
                and name.rpartition(".")[2][:1].isupper()
                and not _is_caught(node, module)
            ):
                yield error


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


def _promised(function: Function) -> Iterator[str]:
    """The errors that a docstring says are raised."""
    text = ast.get_docstring(function) or ""
    if "RetryError" in text:
        return
    yield from re.findall(r":raises? ([\w.]+):", text)
    section = re.search(r"^Raises:?\n(?:-+\n)?((?:.*\n?)*)", text, re.MULTILINE)
    if section:
        yield from re.findall(r"^\s*([A-Z]\w*|\w+(?:\.\w+)+)\s*(?::|$)", section[1], re.MULTILINE)


def _known_errors(function: Function, policy: Policy, module: Module) -> Iterator[ast.expr]:
    """The errors that a retried function raises by name, and those that the retry is for."""
    yield from _raised_in(function, module)
    condition = policy.settings.get("retry")
    yield from _errors_of(condition, module) if condition is not None else ()


def _within(block: ast.Try) -> set[ast.AST]:
    return {node for statement in block.body for node in ast.walk(statement)}


def _calls_out(block: ast.Try, module: Module) -> bool:
    """Whether something in a `try` may be retried by itself: a function of another module of this project."""
    for node in _within(block):
        if isinstance(node, ast.Call):
            name = module.names.dotted(node.func)
            if name.startswith(".") and run_by(node, module) is None:
                return True
    return False


@HAZARD.injects
def inject(module: Module) -> Iterator[Mutant]:
    """Takes the original error away: `reraise=True` becomes `reraise=False`."""
    for policy in policies(module):
        value = policy.settings.get("reraise")
        if isinstance(value, ast.Constant) and value.value is True and policy.library == "tenacity":
            yield Mutant(value.lineno, "reraise=False", edited(module, [replacing(module, value, "False")]))


BAD = (
    """
import requests
from tenacity import retry, stop_after_attempt, wait_fixed

@retry(stop=stop_after_attempt(3), wait=wait_fixed(1))
def charge(payment):
    response = requests.post("https://bank.example/charges", json=payment, timeout=5)
    response.raise_for_status()
    return response.json()

def checkout(order):
    try:
        receipt = charge(order.payment)
        order.complete(receipt)
    except requests.RequestException:  # expect: retry/error-unhandled
        order.release_stock()
""",
    """
import redis.asyncio as redis
import tenacity

again = tenacity.retry(
    stop=tenacity.stop_after_delay(10),
    retry=tenacity.retry_if_exception_type((redis.ConnectionError, redis.TimeoutError)),
)

class Stock:
    @again
    async def _reserve(self, item):
        return await self.redis.decr(item)

    async def _checked(self, item):
        left = await self._reserve(item)
        return left >= 0

    async def reserve(self, item):
        try:
            return await self._checked(item)
        except redis.RedisError:  # expect: retry/error-unhandled
            return await self.reserve_later(item)
""",
    """
import httpx
from tenacity import AsyncRetrying, RetryError, Retrying, stop_after_attempt

class Bank:
    def __init__(self):
        self.retrying = Retrying(stop=stop_after_attempt(3))

    def refund(self, payment):
        try:
            return self.retrying(self._refund, payment)
        except httpx.HTTPStatusError as error:  # expect: retry/error-unhandled
            return error.response.status_code

    async def charge(self, payment):
        try:
            async for attempt in AsyncRetrying(stop=stop_after_attempt(3)):
                with attempt:
                    return httpx.post("https://bank.example/charges", json=payment)
        except httpx.HTTPError:  # expect: retry/error-unhandled
            return None

    async def balance(self, account):
        try:
            async for attempt in AsyncRetrying(stop=stop_after_attempt(3), reraise=True):
                with attempt:
                    return await self.client.get(account)
        except RetryError:  # expect: retry/error-unhandled
            return None
""",
    '''
from fastapi import HTTPException
from tenacity import RetryError, retry, retry_if_exception_type, stop_after_attempt

class BankDown(Exception):
    pass

@retry(stop=stop_after_attempt(3))
async def account(client, number):
    found = await client.get(number)
    if found is None:
        raise HTTPException(404, "no such account")  # expect: retry/error-unhandled
    return found

@retry(stop=stop_after_attempt(3), retry=retry_if_exception_type(BankDown))  # expect: retry/error-unhandled
def charge(client, payment):
    """Charges a payment.

    Raises:
        BankDown: if the bank does not answer.
    """
    return client.charge(payment)

@retry(stop=stop_after_attempt(3))
def refund(client, payment):
    try:
        return client.refund(payment)
    except RetryError:  # expect: retry/error-unhandled
        return None
''',
    """
from functools import partial
from celery import shared_task
from git import GitError, Repo
from tenacity import Retrying, retry, stop_after_attempt

class Cloner:
    PATIENCE = {"stop": stop_after_attempt(2)}

    def __init__(self, patience=None):
        self.patience = patience if patience is not None else self.PATIENCE

    def clone(self, url):
        clone = retry(**self.patience)(partial(Repo.clone_from, url=url))
        try:
            return clone()
        except GitError as error:  # expect: retry/error-unhandled
            raise CloneFailed(url) from error

@shared_task
def reboot(host):
    for attempt in Retrying(stop=stop_after_attempt(5)):  # expect: retry/error-unhandled
        with attempt:
            host.reboot()
""",
    """
import requests
from shop.http import get_with_retry

def rates():
    try:
        return get_with_retry("https://bank.example/rates")
    except requests.Timeout:  # expect-later: retry/error-unhandled
        return {}
""",
)

GOOD = (
    """
from celery import shared_task
from tenacity import RetryError, Retrying, stop_after_attempt

@shared_task(autoretry_for=(Exception,), max_retries=5)
def reboot(host):
    for attempt in Retrying(stop=stop_after_attempt(5)):
        with attempt:
            host.reboot()

@shared_task
def shut_down(host):
    try:
        for attempt in Retrying(stop=stop_after_attempt(5)):
            with attempt:
                host.shut_down()
    except RetryError:
        host.mark_unreachable()
""",
    """
import requests
from tenacity import retry, stop_after_attempt, wait_fixed

@retry(stop=stop_after_attempt(3), wait=wait_fixed(1), reraise=True)
def charge(payment):
    response = requests.post("https://bank.example/charges", json=payment, timeout=5)
    response.raise_for_status()
    return response.json()

def checkout(order):
    try:
        receipt = charge(order.payment)
        order.complete(receipt)
    except requests.RequestException:
        order.release_stock()
""",
    """
import requests
import tenacity
from tenacity import RetryError, retry, stop_after_attempt

@retry(stop=stop_after_attempt(3))
def charge(payment):
    return requests.post("https://bank.example/charges", json=payment, timeout=5)

def checkout(order):
    try:
        return charge(order.payment)
    except (RetryError, requests.RequestException):
        order.release_stock()

def later(order):
    try:
        return charge(order.payment)
    except tenacity.RetryError as error:
        raise error.last_attempt.exception()

def best_effort(order):
    try:
        return charge(order.payment)
    except Exception:
        order.release_stock()
""",
    """
import requests
from tenacity import retry, retry_if_exception_type, retry_if_result, stop_after_attempt

@retry(stop=stop_after_attempt(3), retry=retry_if_exception_type(requests.ConnectionError))
def charge(payment):
    return requests.post("https://bank.example/charges", json=payment, timeout=5)

def checkout(order):
    try:
        receipt = charge(order.payment)
        return order.totals["paid"], int(receipt.text)
    except (KeyError, ValueError):
        return None

@retry(stop=stop_after_attempt(3), retry=retry_if_result(lambda status: status == "pending"))
def status(payment):
    return requests.get(payment, timeout=5).json()["status"]

@retry(stop=stop_after_attempt(3))
def account(bank, number):
    return bank.account(number)

def holder(bank, number, directory):
    try:
        return directory[account(bank, number).holder]
    except KeyError:
        return None

def is_paid(payment):
    try:
        return status(payment) == "paid"
    except requests.RequestException:
        return False
""",
    """
import requests
from tenacity import retry, retry_if_exception, retry_if_not_exception_type, stop_after_attempt

class Declined(Exception):
    pass

def nothing(state):
    return None

@retry(stop=stop_after_attempt(3), retry=retry_if_not_exception_type(Declined))
def charge(payment):
    answer = bank.charge(payment)
    if answer.declined:
        raise Declined(answer)
    return answer

def is_busy(error):
    return isinstance(error, requests.HTTPError) and error.response.status_code == 503

@retry(stop=stop_after_attempt(3), retry=retry_if_exception(is_busy))
def account(number):
    response = requests.get(f"https://bank.example/{number}", timeout=5)
    response.raise_for_status()
    return response

def exists(number):
    try:
        account(number)
    except requests.HTTPError as error:
        if error.response.status_code != 404:
            raise
        return False
    return True

@retry(stop=stop_after_attempt(3), retry_error_callback=nothing)
def rates():
    return requests.get("https://bank.example/rates", timeout=5)

def checkout(order):
    try:
        return charge(order.payment), rates()
    except Declined:
        order.release_stock()

def prices():
    try:
        return rates()
    except requests.Timeout:
        return None
""",
    '''
from fastapi import HTTPException
from tenacity import RetryError, retry, stop_after_attempt

@retry(stop=stop_after_attempt(3), reraise=True)
async def account(client, number):
    found = await client.get(number)
    if found is None:
        raise HTTPException(404, "no such account")
    return found

@retry(stop=stop_after_attempt(3))
def charge(client, payment):
    """Charges a payment.

    Raises:
        RetryError: if the bank does not answer.
    """
    return client.charge(payment)

def checkout(client, order):
    try:
        return charge(client, order.payment)
    except RetryError:
        return None
''',
)
