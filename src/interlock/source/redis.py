"""Which calls are Redis commands.

`r.set(...)` is one only if `r` is a Redis client: made by a constructor of a known client library, annotated as one, called
`redis` by its author, or asked elsewhere in the file for what only Redis has (`zadd`, `hgetall`). A dict named
`redis_settings` is not. A client may hand out others (a pipeline, a connection of its own, the master that a sentinel knows),
and so may a helper, a property or a subclass of this module.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from interlock.core.pattern import pattern
from interlock.source.module import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.source.module import Function, Module
    from interlock.source.names import Binding

_LIBRARIES: Final = (
    "redis.",
    "aioredis.",
    "valkey.",
    "fakeredis.",
    "rediscluster.",
    "django_redis.",
    "flask_redis.",
    "walrus.",
    "coredis.",
    "upstash_redis.",
)
_NOT_CLIENTS: Final = ("redis.exceptions", "redis.lock", "redis.backoff", "redis.retry", "redis.ConnectionPool", "redis.utils")
_CLIENT_NAME: Final = pattern(
    r"^_*(\w+_)?(redis|valkey|aioredis)(_?(a?sync|client|conn|connection|cli|db|instance|server|store|pool|pipe|pipeline|r|c))?$",
    re.IGNORECASE,
)
_SHORT_NAMES: Final = frozenset({"r", "rdb", "rc", "rds", "pipe", "pipeline", "conn", "connection", "client"})
_MAKERS: Final = ("from_url", "from_pool", "create_redis", "create_redis_pool", "get_redis_connection", "StrictRedis")
_PIPELINES: Final = frozenset({"pipeline", "_pipeline", "multi_exec"})  # The last is how aioredis 1 called it.
# Methods that nothing but a Redis client has: who is asked for one is a client, whatever its name.
_ONLY_REDIS: Final = frozenset(
    "zadd zrem zrange zrangebyscore zrevrange zcard zscore zincrby zremrangebyscore hset hget hgetall hmset hsetnx hincrby "
    "hexists sadd srem smembers sismember scard lpush rpush lrange ltrim llen lrem blpop brpop rpoplpush brpoplpush setex "
    "psetex setnx pexpire pttl getset incrby decrby".split()
)
_GIVES_CLIENT: Final = frozenset({"client", "master_for", "slave_for", "replica_for", "from_url", "initialize"})
_KEYLESS: Final = frozenset(
    "pipeline multi_exec execute multi unwatch reset ping info close aclose eval evalsha script register_script flushdb "
    "flushall publish scan scan_iter keys time dbsize config_get config_set client pubsub transaction".split()
)
_MANY_KEYS: Final = frozenset({"watch", "exists", "delete", "unlink", "touch", "mget"})
# Where a command that keeps one value has it, among its positional arguments.
_VALUES: Final = {"set": 1, "setnx": 1, "getset": 1, "append": 1, "setex": 2, "psetex": 2, "hset": 2, "hsetnx": 2, "setbit": 2}
_LIFETIMES: Final = ("ex", "px", "exat", "pxat", "keepttl", "expire", "pexpire", "timeout", "ttl", "exp", "expiry", "expires")


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

    @property
    def keys(self) -> list[ast.expr]:
        """Every key of the command."""
        if self.name in _MANY_KEYS:
            return [argument.value if isinstance(argument, ast.Starred) else argument for argument in self.call.args]
        return [] if self.key is None else [self.key]

    @property
    def value(self) -> ast.expr | None:
        """What a command such as SET, SETEX or HSET keeps; None for other commands, and for several values at once."""
        named = self.argument("value")
        place = _VALUES.get(self.name, -1)
        return named if named is not None else self.call.args[place] if 0 < place < len(self.call.args) else None

    def argument(self, *names: str) -> ast.expr | None:
        """The value of the first of these keyword arguments."""
        return next((keyword.value for keyword in self.call.keywords if keyword.arg in names), None)

    @property
    def is_open(self) -> bool:
        """Whether some arguments cannot be seen: `*args`, `**options`."""
        starred = any(isinstance(argument, ast.Starred) for argument in self.call.args)
        return starred or any(keyword.arg is None for keyword in self.call.keywords)

    @property
    def only_if_new(self) -> bool:
        """Whether the command writes only what is not there yet."""
        nx = self.argument("nx")
        if self.name in {"setnx", "hsetnx", "msetnx"} or (isinstance(nx, ast.Constant) and nx.value is True):
            return True
        exist = self.argument("exist")  # aioredis 1 had a constant instead.
        return exist is not None and "NOT_EXIST" in ast.unparse(exist)

    @property
    def has_lifetime(self) -> bool:
        """Whether the command itself says when its key ends: `ex=60`, SETEX, the third argument of SET."""
        given = self.argument(*_LIFETIMES)
        if self.name in {"setex", "psetex", "getex", "hsetex"} or (given is not None and not _is_nothing(given)):
            return True
        place = {"set": 2, "lock": 1}.get(self.name, 99)
        return len(self.call.args) > place and not _is_nothing(self.call.args[place])


_MENTIONED: Final = pattern(r"redis|valkey|cache|\.multi\(", re.IGNORECASE)


def find_commands(module: Module) -> Iterator[Command]:
    """Every call of a method on a Redis client or pipeline. Methods that redis-py does not have are not filtered here."""
    if not _MENTIONED.search(module.text):
        return
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
        self._open: set[ast.AST] = set()
        self._known: dict[ast.expr, str] = {}
        self._imports_redis = any(
            (name + ".").startswith(_LIBRARIES)
            for node in module.nodes(ast.Import, ast.ImportFrom)
            for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""])
        )
        self._is_near_redis = "redis" in module.text.lower()
        self._asked = {
            known
            for call in module.nodes(ast.Call)
            if isinstance(call.func, ast.Attribute) and self._tells(call.func)
            for known in self._identities(call.func.value)
        }

    def _tells(self, func: ast.Attribute) -> bool:
        """Whether only Redis has such a method: `zadd`, or `multi` on what `pipeline()` gave."""
        if func.attr in _ONLY_REDIS:
            return self._is_near_redis
        if func.attr not in {"multi", "watch"} or not isinstance(func.value, ast.Name):
            return False
        return any(_makes_pipeline(binding.value) for binding in self._module.names.lookup(func.value.id, func.value))

    def _identities(self, expr: ast.expr) -> list[ast.AST | tuple[ast.ClassDef, str] | str]:
        """What stands for a variable or an attribute in all of its uses: its binding; its class and name; its full name."""
        match expr:
            case ast.Name(id=name):
                return [binding.node for binding in self._module.names.lookup(name, expr)[:1]]
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=attr):
                owner = self._module.enclosing(expr, ast.ClassDef)
                return [(cls, attr) for cls in self._module.names.lineage(owner)] if owner else []
            case ast.Attribute():
                return [name] if (name := self._module.names.dotted(expr)) else []
            case ast.Call(func=ast.Name() | ast.Attribute() as func, args=[], keywords=[]):
                return [f"{name}()"] if (name := self._module.names.dotted(func)) else []
            case _:
                return []

    def _is_asked(self, expr: ast.expr) -> bool:
        return any(known in self._asked for known in self._identities(expr))

    def kind(self, expr: ast.expr) -> str:
        """`client`, `pipeline`, or nothing."""
        if expr in self._known:
            return self._known[expr]
        if expr in self._open or len(self._open) > 20:  # noqa: PLR2004 - deeper chains are not clients.
            return ""
        self._open.add(expr)
        try:
            found = self._kind(expr)
        finally:
            self._open.discard(expr)
        self._known[expr] = found
        return found

    def _kind(self, expr: ast.expr) -> str:
        match expr:
            case ast.Await(value=value) | ast.NamedExpr(value=value):
                return self.kind(value)
            case ast.BoolOp(values=values):
                return self._first(values)
            case ast.IfExp(body=body, orelse=orelse):
                return self._first([body, orelse])
            case ast.Call():
                return self._made(expr)
            case ast.Name(id="self" | "cls"):
                return self._inherited(expr)
            case ast.Name(id=name):
                return self._bound(self._module.names.reaching(name, expr), name) or self._asked_for_more(expr)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=attr):
                return self._own(expr, attr)
            case ast.Attribute(attr=attr):
                named = _CLIENT_NAME.match(attr) and not self._is_library(expr)
                return "client" if named or self._is_asked(expr) else ""
            case ast.Subscript(slice=ast.Constant(value=str() as name)):
                return "client" if _CLIENT_NAME.match(name) else ""
            case _:
                return ""

    def _first(self, values: list[ast.expr]) -> str:
        return next((kind for value in values if (kind := self.kind(value))), "")

    def _asked_for_more(self, expr: ast.Name) -> str:
        """What a name is, to judge by what it is asked for: a pipeline if it came out of one's maker."""
        if not self._is_asked(expr):
            return ""
        values = [binding.value for binding in self._module.names.reaching(expr.id, expr)]
        return "pipeline" if any(_makes_pipeline(value) for value in values) else "client"

    def _made(self, call: ast.Call) -> str:
        """What a call gives: a constructor, `client.pipeline()`, a helper of this module, a helper called `get_redis`."""
        given = self._given(call.func) if isinstance(call.func, ast.Attribute) else ""
        if given:
            return given
        name = self._module.names.dotted(call.func)
        if name.startswith(_LIBRARIES) and not name.startswith(_NOT_CLIENTS):
            return "client" if _constructs(name) else ""
        helper = self._module.names.definition(call)
        if helper is not None and (kind := self._returned(helper)):
            return kind
        last = call.func.attr if isinstance(call.func, ast.Attribute) else name.rpartition(".")[2] or _name(call.func)
        named = _CLIENT_NAME.match(re.sub(r"^_*(get|make|create|new|build)_(a?sync_)?", "", last))
        return "client" if named or self._is_asked(call) else ""

    def _given(self, func: ast.Attribute) -> str:
        """What a client or a pipeline hands out: a pipeline, a connection, itself (commands on a pipeline can be chained)."""
        if func.attr in {"master_for", "slave_for", "replica_for"}:
            return "client"
        kind = self.kind(func.value)
        if func.attr in _PIPELINES:
            return "pipeline" if kind else ""
        if kind == "pipeline":
            return kind if func.attr != "execute" else ""
        return "client" if kind and func.attr in _GIVES_CLIENT else ""

    def _returned(self, helper: Function) -> str:
        """What a function of this module returns, by its annotation or its return statements."""
        if helper in self._open:
            return ""
        self._open.add(helper)
        try:
            values = [node.value for node in self._module.names.returns(helper) if node.value is not None]
            return self._annotated(helper.returns) or self._first(values)
        finally:
            self._open.discard(helper)

    def _is_library(self, expr: ast.Attribute) -> bool:
        return self._module.names.dotted(expr).startswith(_LIBRARIES)

    def _inherited(self, expr: ast.Name) -> str:
        """`self` in a class that extends a client."""
        owner = self._module.enclosing(expr, ast.ClassDef)
        bases = self._module.names.ancestry(owner) if owner else set[str]()
        return "client" if any(name.startswith(_LIBRARIES) and _constructs(name) for name in bases) else ""

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
        if not all(_says_no_more(binding, name) and binding.annotation is None for binding in bindings):
            return "client" if _CLIENT_NAME.match(name) and not any(_is_plain(binding.value) for binding in bindings) else ""
        short = self._imports_redis and bool(bindings) and name in _SHORT_NAMES
        if _CLIENT_NAME.match(name) or short:
            return "pipeline" if "pipe" in name else "client"
        return ""

    def _own(self, expr: ast.Attribute, attr: str) -> str:
        owner = self._module.enclosing(expr, ast.ClassDef)
        values = self._module.names.attributes(owner).get(attr, []) if owner else []
        kind = self._first(values) or (self._declared(owner, attr) if owner else "")
        if kind:
            return kind
        named = _CLIENT_NAME.match(attr) and not any(_is_plain(value) for value in values)
        return "client" if named or self._is_asked(expr) else ""

    def _declared(self, owner: ast.ClassDef, attr: str) -> str:
        """What the class body says of an attribute: `client: Redis`, a property that returns a client."""
        names = self._module.names
        for binding in [binding for cls in names.lineage(owner) for binding in names.own(cls).get(attr, [])]:
            kind = self._returned(binding.node) if isinstance(binding.node, FUNCTIONS) else self._annotated(binding.annotation)
            if kind:
                return kind
        return ""

    def _annotated(self, annotation: ast.expr | None) -> str:
        """What an annotation says: `Redis`, `"redis.asyncio.Redis | None"`, `ArqRedis`, `Pipeline`."""
        text = ast.unparse(annotation) if annotation is not None else ""
        if re.search(r"\bPipeline\b", text) and self._imports_redis:
            return "pipeline"
        return "client" if re.search(r"\b\w*(Redis|Valkey)(Cluster)?\b", text) else ""


def _constructs(name: str) -> bool:
    """Whether a library's function gives a client: `redis.Redis`, `redis.Redis.from_url`, `get_redis_connection`."""
    return name.rpartition(".")[2] in _MAKERS or bool(re.search(r"(Redis|Valkey|RedisCluster|Database)$", name))


def _says_no_more(binding: Binding, name: str) -> bool:
    """Whether what is assigned tells no more than the name: nothing, or `client = self.get_client()`."""
    match binding.value:
        case None:
            return True
        case ast.Call(func=ast.Attribute(attr=made) | ast.Name(id=made)):
            return made.lstrip("_") == f"get_{name}"
        case _:
            return False


def _makes_pipeline(value: ast.expr | None) -> bool:
    value = value.value if isinstance(value, ast.Await) else value
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in _PIPELINES


def _is_plain(value: ast.expr | None) -> bool:
    """Whether a value is plain data and so no client, whatever it is called. None is what is there before a client is."""
    return isinstance(value, (ast.Constant, ast.Dict, ast.List, ast.Tuple, ast.JoinedStr, ast.Set)) and not _is_nothing(value)


def _is_nothing(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def _name(expr: ast.expr) -> str:
    return expr.id if isinstance(expr, ast.Name) else ""
