"""Which calls are Redis commands.

`r.set(...)` is one only if `r` is a Redis client: made by a constructor of a known client library, annotated as one, or called
`redis` by its author. A dict named `redis_settings` is not.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.source.module import Module
    from interlock.source.names import Binding

_LIBRARIES: Final = ("redis.", "aioredis.", "valkey.", "fakeredis.", "rediscluster.", "django_redis.", "flask_redis.", "walrus.")
_NOT_CLIENTS: Final = ("redis.exceptions", "redis.lock", "redis.backoff", "redis.retry", "redis.ConnectionPool", "redis.utils")
_CLIENT_NAME: Final = re.compile(
    r"^_*(\w+_)?(redis|valkey|aioredis)(_?(client|conn|connection|cli|db|instance|server|pipe|pipeline|r|c))?$", re.IGNORECASE
)
_SHORT_NAMES: Final = frozenset({"r", "rdb", "rc", "rds", "pipe", "pipeline", "conn", "client"})
_KEYLESS: Final = frozenset({"pipeline", "execute", "multi", "unwatch", "ping", "info", "close", "aclose", "eval", "evalsha", "script"})


@dataclass(frozen=True, slots=True, eq=False)
class Command:
    """One call that is a Redis command."""

    call: ast.Call
    name: str  # lower case, as the method is called
    receiver: ast.expr
    buffered: bool  # on a pipeline: sent with EXEC or in one batch

    @property
    def key(self) -> ast.expr | None:
        """The (first) key of the command; None if it has none."""
        if self.name in _KEYLESS:
            return None
        named = self.argument("name", "key")
        return named if named is not None else next(iter(self.call.args), None)

    def argument(self, *names: str) -> ast.expr | None:
        """The value of the first of these keyword arguments."""
        return next((keyword.value for keyword in self.call.keywords if keyword.arg in names), None)

    @property
    def only_if_new(self) -> bool:
        """Whether the command writes only what is not there yet."""
        nx = self.argument("nx")
        return self.name in {"setnx", "hsetnx"} or (isinstance(nx, ast.Constant) and nx.value is True)


def find_commands(module: Module) -> Iterator[Command]:
    """Every call of a method on a Redis client or pipeline. Methods that redis-py does not have are not filtered here."""
    clients = Clients(module)
    for call in module.nodes(ast.Call):
        if isinstance(call.func, ast.Attribute):
            kind = clients.kind(call.func.value)
            if kind:
                yield Command(call, call.func.attr.lower(), call.func.value, kind == "pipeline")


class Clients:
    """Which expressions of a module are Redis clients (`client`) or pipelines (`pipeline`)."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._open: set[ast.expr] = set()
        self._imports_redis = any(
            binding.dotted.split(".")[0] in {"redis", "aioredis", "valkey"}
            for bindings in module.names.own(module.tree).values()
            for binding in bindings
        )

    def kind(self, expr: ast.expr) -> str:
        """`client`, `pipeline`, or nothing."""
        if expr in self._open or len(self._open) > 20:  # noqa: PLR2004 - deeper chains are not clients.
            return ""
        self._open.add(expr)
        try:
            return self._kind(expr)
        finally:
            self._open.discard(expr)

    def _kind(self, expr: ast.expr) -> str:
        match expr:
            case ast.Await(value=value) | ast.NamedExpr(value=value):
                return self.kind(value)
            case ast.Call():
                return self._made(expr)
            case ast.Name(id=name):
                return self._bound(self._module.names.reaching(name, expr), name)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=attr):
                return self._own(expr, attr)
            case ast.Attribute(attr=attr):
                return "client" if _CLIENT_NAME.match(attr) and not self._is_library(expr) else ""
            case _:
                return ""

    def _made(self, call: ast.Call) -> str:
        """What a call gives: a constructor, `client.pipeline()`, a helper called `get_redis`."""
        if isinstance(call.func, ast.Attribute) and call.func.attr == "pipeline":
            return "pipeline" if self.kind(call.func.value) else ""
        name = self._module.names.dotted(call.func)
        if name.startswith(_LIBRARIES) and not name.startswith(_NOT_CLIENTS):
            return "client" if _constructs(name) else ""
        last = call.func.attr if isinstance(call.func, ast.Attribute) else name.rpartition(".")[2] or _name(call.func)
        return "client" if _CLIENT_NAME.match(re.sub(r"^_*(get|make|create|new|build)_(a?sync_)?", "", last)) else ""

    def _is_library(self, expr: ast.Attribute) -> bool:
        return self._module.names.dotted(expr).startswith(_LIBRARIES)

    def _bound(self, bindings: list[Binding], name: str) -> str:
        if any(binding.dotted for binding in bindings):
            is_module = any((binding.dotted + ".").startswith(_LIBRARIES) for binding in bindings)
            return "client" if _CLIENT_NAME.match(name) and not is_module else ""
        for binding in bindings:
            kind = self._annotated(binding.annotation) or (self.kind(binding.value) if binding.value is not None else "")
            if kind:
                return kind
        return self._by_name(name, bindings)

    def _by_name(self, name: str, bindings: list[Binding]) -> str:
        if not all(binding.value is None and binding.annotation is None for binding in bindings):
            return "client" if _CLIENT_NAME.match(name) and not any(_is_plain(binding.value) for binding in bindings) else ""
        short = self._imports_redis and bool(bindings) and name in _SHORT_NAMES
        if _CLIENT_NAME.match(name) or short:
            return "pipeline" if "pipe" in name else "client"
        return ""

    def _own(self, expr: ast.Attribute, attr: str) -> str:
        owner = self._module.enclosing(expr, ast.ClassDef)
        values = self._module.names.attributes(owner).get(attr, []) if owner else []
        kinds = [kind for value in values if (kind := self.kind(value))]
        if kinds:
            return kinds[0]
        return "client" if _CLIENT_NAME.match(attr) and not any(_is_plain(value) for value in values) else ""

    def _annotated(self, annotation: ast.expr | None) -> str:
        """What an annotation says: `Redis`, `"redis.asyncio.Redis | None"`, `Pipeline`."""
        text = ast.unparse(annotation) if annotation is not None else ""
        if re.search(r"\bPipeline\b", text) and self._imports_redis:
            return "pipeline"
        return "client" if re.search(r"\b(Strict)?(Redis|Valkey)(Cluster)?\b", text) else ""


def _constructs(name: str) -> bool:
    """Whether a library's function gives a client: `redis.Redis`, `redis.Redis.from_url`, `get_redis_connection`."""
    last = name.rpartition(".")[2]
    return last in {"from_url", "from_pool", "create_redis", "create_redis_pool", "get_redis_connection"} or bool(
        re.search(r"(Redis|Valkey|RedisCluster|Database)$", last)
    )


def _is_plain(value: ast.expr | None) -> bool:
    """Whether a value is plain data and so no client, whatever it is called."""
    return isinstance(value, (ast.Constant, ast.Dict, ast.List, ast.Tuple, ast.JoinedStr, ast.Set))


def _name(expr: ast.expr) -> str:
    return expr.id if isinstance(expr, ast.Name) else ""
