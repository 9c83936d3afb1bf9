"""Which errors an `except` clause waits for, and which of them mean that a call to something outside failed."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlock.source.module import Module

BROAD = frozenset({"", "Exception", "BaseException"})
_OUTSIDE = frozenset(
    {"OSError", "IOError", "EnvironmentError", "ConnectionError", "ConnectionRefusedError", "ConnectionResetError"}
)
_OUTSIDE_MORE = frozenset({"ConnectionAbortedError", "BrokenPipeError", "TimeoutError"})
_CONNECTION = re.compile(
    r"connect|timeout|timedout|rate_?limit|throttl|toomanyrequests|unavailable|network|transport|http|request|api(status|response)?error"
    r"|operationalerror|databaseerror|interfaceerror|clienterror|servererror|serviceerror|rediserror|rpcerror|brokererror|unauthorized|expired",
    re.IGNORECASE,
)
# Somebody else came first, there is nothing to read yet, or the value is not right: another turn is another attempt.
_NOT_A_FAILURE = re.compile(
    r"watch|conflict|exists|duplicate|integrity|unique|collision|create|empty|full$|blocking|interrupted|stale|notfound|doesnotexist"
    r"|keyboard|cancelled|stop(async)?iteration|eof|keyerror|indexerror|valueerror|typeerror|attributeerror|lookup|decode|parse|import",
    re.IGNORECASE,
)


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
    return last in _OUTSIDE or last in _OUTSIDE_MORE or bool(_CONNECTION.search(spelled(error, module)))
