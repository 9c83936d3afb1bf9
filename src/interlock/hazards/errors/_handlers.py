"""Which handlers take every error and say nothing, and which blocks only tidy up."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from interlock.core.pattern import pattern
from interlock.hazards.errors._effects import called, words
from interlock.source.module import FUNCTIONS, SCOPES

if TYPE_CHECKING:
    from interlock.source.module import Module

BROAD = frozenset({"Exception", "BaseException"})
# The errors that stand for everything that can go wrong in their library.
_BROAD_OF_LIBRARIES = frozenset(
    """RequestException RedisError SQLAlchemyError HTTPError ClientError SMTPException StripeError BotoCoreError DatabaseError
    OperationalError KafkaException KafkaError AMQPError GoogleAPIError ApiException""".split()
)
_PULSES = frozenset({"ping", "heartbeat", "keepalive", "telemetry", "analytics", "metrics", "track", "warm", "prefetch"})
_IN_MIGRATION = pattern(r"(^|[/_])migrations?(/|\.py$)|(^|/)alembic/")
_TIDYING = frozenset({"rollback", "close", "aclose", "expunge", "expunge_all", "disconnect", "unlink"})
_ENDINGS = frozenset(
    """close aclose shutdown cleanup clean teardown disconnect stop exit aexit del terminate dispose rollback undo revert kill
    atexit prune purge expire cancel abort logout try safe safely quietly maybe""".split()
)


def is_broad(handler: ast.ExceptHandler, module: Module) -> bool:
    """Whether a handler takes every error, or every error of a library."""
    errors = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type] if handler.type else []
    names = [error_name(error, module) for error in errors]
    return not names or any(name in BROAD or name in _BROAD_OF_LIBRARIES for name in names)


def error_name(error: ast.expr, module: Module) -> str:
    """The last part of an error's name."""
    return (module.names.dotted(error) or ast.unparse(error)).rpartition(".")[2]


def is_silent(handler: ast.ExceptHandler) -> bool:
    """Whether nothing in a handler says that something failed: no call but tidying up, no value kept, nothing raised."""
    return all(_says_nothing(statement) for statement in handler.body)


def _says_nothing(statement: ast.stmt) -> bool:
    match statement:
        case ast.Pass() | ast.Continue() | ast.Return() | ast.Expr(value=ast.Constant()):
            return True
        case ast.Expr(value=ast.Call() as call) | ast.Expr(value=ast.Await(value=ast.Call() as call)):
            return called(call) in _TIDYING and not call.args
        case _:
            return False


def is_aside(node: ast.AST, module: Module) -> bool:
    """Whether a block is itself part of dealing with an end or an error: in a handler, a `finally`, a function that tidies up.

    So is a migration of a schema, which runs once and asks by trying whether a step was done before.
    """
    if _IN_MIGRATION.search(module.path):
        return True
    below = node
    for around in module.ancestors(node):
        if isinstance(around, ast.ExceptHandler) or (isinstance(around, ast.Try) and below in around.finalbody):
            return True
        if isinstance(around, SCOPES):
            break
        below = around
    functions = [around for around in module.ancestors(node) if isinstance(around, FUNCTIONS)]
    return any(
        not _ENDINGS.isdisjoint(words(function.name)) or not _PULSES.isdisjoint(words(function.name)) for function in functions
    )
