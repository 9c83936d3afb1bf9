"""Which errors an `except` clause waits for, and which of them mean that a call to something outside failed."""

from __future__ import annotations

import ast
import builtins
import re
from typing import TYPE_CHECKING

from interlock.core.pattern import pattern

if TYPE_CHECKING:
    from interlock.source.module import Module

BROAD = frozenset({"", "Exception", "BaseException"})
_OUTSIDE = frozenset(
    """OSError IOError EnvironmentError ConnectionError ConnectionRefusedError ConnectionResetError ConnectionAbortedError BrokenPipeError
    TimeoutError""".split()
)
_CONNECTION = pattern(
    r"connect|timeout|timedout|rate_?limit|throttl|toomanyrequests|unavailable|network|transport|http|request|api(status|response)?error"
    r"|operationalerror|databaseerror|interfaceerror|clienterror|servererror|serviceerror|rediserror|rpcerror|brokererror|unauthorized|expired",
    re.IGNORECASE,
)
# Somebody else came first, there is nothing to read yet, or the value is not right: another turn is another attempt.
_NOT_A_FAILURE = pattern(
    r"watch|conflict|exists|duplicate|integrity|unique|collision|create|empty|full$|blocking|interrupted|stale|notfound|doesnotexist"
    r"|keyboard|cancelled|stop(async)?iteration|eof|keyerror|indexerror|valueerror|typeerror|attributeerror|lookup|decode|parse|import",
    re.IGNORECASE,
)
# Errors that are the base of what their library raises, so that each of its errors is a kind of them.
_ROOTS = frozenset(
    """stripe.StripeError django.DatabaseError django.Error google.GoogleAPICallError google.GoogleAPIError anthropic.APIError
    urllib3.HTTPError botocore.BotoCoreError psycopg2.Error psycopg.Error pymysql.Error requests.RequestException
    httpx.HTTPError httpx.RequestError httpx.TransportError aiohttp.ClientError redis.RedisError sqlalchemy.SQLAlchemyError
    sqlalchemy.DBAPIError openai.OpenAIError openai.APIError anthropic.AnthropicError""".split()
)
# What is known of calls by their name alone: the error that they raise, and its bases.
_BAD_STATUS = frozenset(
    """requests.HTTPError requests.RequestException httpx.HTTPStatusError httpx.HTTPError aiohttp.ClientResponseError
    aiohttp.ClientError""".split()
)
_GIVEN_UP = frozenset({"click.Abort", "typer.Abort"})
_RAISED_BY = {
    "raise_for_status": _BAD_STATUS,
    "click.prompt": _GIVEN_UP,
    "click.confirm": _GIVEN_UP,
    "typer.prompt": _GIVEN_UP,
    "typer.confirm": _GIVEN_UP,
}


def caught(handler: ast.ExceptHandler) -> list[ast.expr]:
    """The errors that a handler names; none for a bare `except`."""
    match handler.type:
        case None:
            return []
        case ast.Tuple(elts=errors):
            return errors
        case error:
            return [error]


def is_broad(handler: ast.ExceptHandler, module: Module) -> bool:
    """Whether a handler catches every error."""
    return not caught(handler) or any(spelled(error, module) in BROAD for error in caught(handler))


def spelled(error: ast.expr, module: Module) -> str:
    """The full name of an error, or the text of what stands there."""
    return module.names.dotted(error) or ast.unparse(error)


def means_failure(handler: ast.ExceptHandler, module: Module) -> bool:
    """Whether a handler waits for a failing call: for every error, or for one of a connection, a service, a database."""
    return is_broad(handler, module) or any(_is_failure(error, module) for error in caught(handler))


def _is_failure(error: ast.expr, module: Module) -> bool:
    last = spelled(error, module).rpartition(".")[2]
    if _NOT_A_FAILURE.search(last):
        return False
    return last in _OUTSIDE or bool(_CONNECTION.search(spelled(error, module)))


def related(one: ast.expr, other: ast.expr, module: Module) -> bool:
    """Whether an error can be of both kinds: the same, or one the base of the other."""
    mine, theirs = plain(one, module), plain(other, module)
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


def plain(error: ast.expr, module: Module) -> str:
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
    return {plain(base, module) for cls in classes for ancestor in module.names.lineage(cls) for base in ancestor.bases}


def is_known_to_raise(call: ast.Call, error: ast.expr, module: Module) -> bool:
    """Whether this error is one that a well-known call raises: `response.raise_for_status()`, `click.prompt("Name?")`."""
    method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    known = _RAISED_BY.get(module.names.dotted(call.func)) or _RAISED_BY.get(method, frozenset())
    return plain(error, module) in known
