"""A key that must end never ends: a crash leaves its lock locked for ever, and a key for each request fills the memory.

## What happens
A lock taken without a time to live is released by its holder only. The holder is killed by a deploy, a full disk or the OOM killer,
its `finally` never runs, and nobody gets the lock again until somebody deletes the key by hand. The same if the time to live comes in
a second command: the crash falls between SETNX and EXPIRE. And a cache entry, session, token or rate counter that is written for
each user or request without an end stays for ever: memory grows by the day until Redis evicts at random or refuses to write.

## Why tests miss it
No test kills a process between two lines, and every test starts on an empty database. Each single key is small; it takes weeks of
production's users to fill the memory.

## What to write instead
Give the end with the value, in one command: `SET key token NX EX 30`, `r.lock(name, timeout=30)`, `SET key value EX 3600`. Commands
that cannot (HSET, RPUSH, SADD) go into one MULTI with their EXPIRE.

## Where it comes from
Lock and cache code of task queues and web applications: the fix histories of Celery, Redash, redis-py's own lock and many others
hold the same change, from two commands to one.
"""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from interlock.core.finding import Confidence, Severity
from interlock.core.pattern import pattern
from interlock.hazards.hazard import Hazard, Mutant
from interlock.hazards.redis._accesses import COUNTS, accesses_in
from interlock.hazards.redis._acts import is_dropped
from interlock.hazards.redis._flow import Sense, depends, guards, senses
from interlock.hazards.redis._lifetimes import LIFETIMES, REMOVALS, TAKES_OUT, has_end_elsewhere
from interlock.source.edit import edited, replacing
from interlock.source.origin import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.core.finding import Finding
    from interlock.hazards.redis._accesses import Access
    from interlock.source.module import Function, Module

HAZARD = Hazard(
    __name__,
    severity=Severity.HIGH,
    advice="give the end with the value, in one command: set(key, value, ex=...), set(..., nx=True, ex=...), lock(name, timeout=...)",
    needles=(
        (b"redis", b"Redis", b"REDIS", b"valkey", b"django.core.cache"),
        (b"set(", b"setnx(", b"lock(", b"Lock(", b"add(", b"push(", b"incr", b"decr"),
    ),
    signal="used memory grows without a plateau; a job that takes a lock has not run since a worker was killed",
    scenario="the holder of a lock dies",
    sources=(
        "https://redis.io/docs/latest/commands/set/",
        "https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/",
        "https://redis.io/docs/latest/develop/reference/eviction/",
    ),
)

_LOCK_MAKERS: Final = frozenset({"redis.lock.Lock", "redis.asyncio.lock.Lock", "valkey.lock.Lock", "valkey.asyncio.lock.Lock"})
_WRITES: Final = frozenset("set hset hmset lpush rpush sadd zadd append incr incrby".split())
_COUNTERS: Final = frozenset({"incr", "incrby"})
_WORD: Final = r"(?i)(?<![a-z])({})(?![a-z])"
_LOCKING: Final = pattern(_WORD.format("lock|mutex|lockout"))
_ONCE: Final = pattern(_WORD.format(r"idempoten\w*|dedup\w*|processed|processing|already|seen|once|in_?progress"))
# What keys are called whose contents are good for a while only.
_PASSING: Final = pattern(
    _WORD.format(
        r"sessions?|otp|captcha|nonce|csrf|caches?|cached|rate_?limit\w*|throttl\w*|attempts?|logins?|idempoten\w*|dedup\w*|cooldown"
        r"|verification|tmp|temp|tokens?|access_token|refresh_token|token_blacklist|revoked_tokens?|blacklist"
    )
)


@HAZARD.detects(ast.FunctionDef, ast.AsyncFunctionDef)
def detect(function: Function, module: Module) -> Iterator[Finding]:
    """Every write of a function whose key has no end."""
    accesses = accesses_in(module)
    own = accesses.of(function) if function in accesses.commands else []
    for access in own:
        if access.helper is None and not access.command.has_lifetime and not access.command.is_open:
            yield from _without_end(access, own, module)
            yield from _begins_anew(access, own, module)


@HAZARD.detects(ast.Call)
def detect_lock(call: ast.Call, module: Module) -> Iterator[Finding]:
    """`redis.lock.Lock(client, name)`: without a timeout, a lock of redis-py ends with its release only."""
    is_endless = len(call.args) < 3 and not _has_timeout(call)  # noqa: PLR2004 - client, name, timeout.
    if module.names.dotted(call.func) in _LOCK_MAKERS and is_endless and _is_taken(call, module):
        yield HAZARD.finding(
            module, call, "this lock has no timeout: a holder that is killed locks it for ever, `finally` or not"
        )


def _has_timeout(call: ast.Call) -> bool:
    return any(keyword.arg in {"timeout", None} for keyword in call.keywords) or any(
        isinstance(argument, ast.Starred) for argument in call.args
    )


def _is_taken(call: ast.Call, module: Module) -> bool:
    """Whether the lock is for taking, and not only for asking whether somebody has it."""
    match module.parent(call):
        case ast.Attribute(attr="locked" | "owned" | "release"):
            return False
        case ast.Assign(targets=[ast.Name(id=name)]) as binder:
            uses = [node for node in module.nodes(ast.Name) if node.id == name and _is_bound_by(node, binder, module)]
            asked = [around.attr if isinstance(around := module.parent(use), ast.Attribute) else "" for use in uses]
            return not asked or not {"", "acquire", "__enter__", "__aenter__"}.isdisjoint(asked)
        case _:
            return True


def _is_bound_by(use: ast.Name, binder: ast.stmt, module: Module) -> bool:
    return isinstance(use.ctx, ast.Load) and any(binding.node is binder for binding in module.names.reaching(use.id, use))


def _without_end(access: Access, own: list[Access], module: Module) -> Iterator[Finding]:
    key = _shown(access, module)
    if access.is_cache and not (access.name == "lock" or _is_lock_for_ever(access)):
        return
    if access.name == "lock":
        if not _is_taken(access.command.call, module):
            return
        yield HAZARD.finding(
            module, access.at, f"the lock {key} has no timeout: a holder that is killed locks it for ever, `finally` or not"
        )
        return
    later = next(
        (found for found in own if found.name in LIFETIMES and found.meets(access) and found.place > access.place), None
    )
    if access.name in {"set", "setnx", "getset"} and later is not None and not _share_batch(access, later, module):
        message = (
            f"{key} gets its end in a second command, in line {later.at.lineno}: a crash in between leaves it there for ever"
        )
        yield HAZARD.finding(module, access.at, message)
    elif later is None and not any(
        (found.name in LIFETIMES or found.command.has_lifetime) and found.meets(access) for found in own
    ):
        yield from _never_ending(access, own, key, module)


def _begins_anew(access: Access, own: list[Access], module: Module) -> Iterator[Finding]:
    """A counter that another command has begun, with its end, and that is gone again before it is raised."""
    if access.name not in COUNTS or any(found.name in LIFETIMES and found.meets(access) for found in own):
        return
    for begun in own:
        is_before = begun.place < access.place and begun.meets(access) and not begun.is_cache
        if not is_before or begun.name != "set" or not begun.command.only_if_new or not begun.command.has_lifetime:
            continue
        just_set = Sense.PRESENT in {sense for guard in guards(module, access.at) for sense, _ in senses(module, guard, begun)}
        if not just_set and not begun.in_one_batch_with(access):
            message = f"{_shown(access, module)} can end between the SET NX in line {begun.at.lineno} and this {access.name.upper()}, which makes it anew: it never ends"
            yield HAZARD.finding(module, access.at, message)
            return


def _share_batch(access: Access, later: Access, module: Module) -> bool:
    """Whether both commands reach Redis together, or the second on another way than the first."""
    return access.command.buffered and later.command.buffered and module.function(access.at) is module.function(later.at)


def _never_ending(access: Access, own: list[Access], key: str, module: Module) -> Iterator[Finding]:
    if access.command.only_if_new:
        if _is_lock(access, module) and not _is_taken_over(access, module):
            yield HAZARD.finding(
                module, access.at, f"{key} is taken without an end: whoever is killed before giving it back keeps it for ever"
            )
    elif (
        access.name == "set"
        and _LOCKING.search(_words(access))
        and not has_end_elsewhere(access, module, LIFETIMES)
        and access.command.argument("xx") is None
    ):
        yield HAZARD.finding(
            module, access.at, f"the lock {key} is set without an end: if its holder is killed, it stays locked for ever"
        )
    elif (
        access.name in _WRITES
        and not access.is_cache
        and _passes(access, own, module)
        and not has_end_elsewhere(access, module, LIFETIMES | REMOVALS | TAKES_OUT)
    ):
        message = f"{access.name.upper()} writes a new {key} for each {_what_varies(access, module)}, and none ever ends: memory grows until Redis is full"
        yield HAZARD.finding(module, access.at, message, Confidence.MEDIUM)


def _shown(access: Access, module: Module) -> str:
    text = " ".join(module.segment(access.command.key).split()) if access.command.key is not None else access.key
    return f"`{text}`" if len(text) <= 50 else "key"  # noqa: PLR2004 - the message stays one line.


def _words(access: Access) -> str:
    """What the key is called: its text, and the names in its expression."""
    written = ast.unparse(access.command.key) if access.command.key is not None else ""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", f"{access.key} {written}")


def _is_lock_for_ever(access: Access) -> bool:
    """Whether a lock in Django's cache is told never to end: `cache.add(lock, 1, timeout=None)`. Data that is told so is meant so."""
    call = access.command.call
    given = [keyword.value for keyword in call.keywords if keyword.arg == "timeout"] + call.args[2:3]
    is_endless = any(isinstance(value, ast.Constant) and value.value is None for value in given)
    return is_endless and access.command.only_if_new and _LOCKING.search(_words(access)) is not None


def _is_lock(access: Access, module: Module) -> bool:
    """Whether a key written only if it is new is a lock or a marker, by what is done with the answer and what is written."""
    function = module.function(access.at)
    if is_dropped(module, accesses_in(module).answer(access.command, function)):
        return False
    value = access.command.value
    if _LOCKING.search(_words(access)) or (value is not None and _ONCE.search(_words(access))):
        return True
    parts = module.origins.of(value).parts if value is not None and access.name != "hsetnx" else ()
    return bool(parts) and all(part.kind in {Kind.CONSTANT, Kind.CLOCK, Kind.RANDOM} for part in parts)


def _is_taken_over(access: Access, module: Module) -> bool:
    """Whether a lock holds its own end, and others take it over with GETSET when that has passed."""
    return any(command.name == "getset" for command in module.redis_commands) or (
        access.name == "hsetnx" and has_end_elsewhere(access, module, LIFETIMES)
    )


def _passes(access: Access, own: list[Access], module: Module) -> bool:
    """Whether a key is one of many and good for a while only: by its name, or because it is the miss of a read."""
    if not _variable(access, module) or _is_wrapped(access, module) or access.command.argument("xx") is not None:
        return False
    return (
        bool(_PASSING.search(_words(access)))
        or _fills_cache(access, own, module)
        or (access.name in _COUNTERS and _is_compared(access, module))
    )


def _variable(access: Access, module: Module) -> bool:
    key = access.command.key
    parts = module.origins.of(key).parts if key is not None else ()
    varying = {Kind.CALLER, Kind.REQUEST, Kind.RANDOM, Kind.CLOCK, Kind.UNKNOWN}
    # What is imported by its full name, such as `CacheKeys.BILLING`, is one constant of another file.
    return any(part.kind in varying and not module.names.dotted(part.site) for part in parts)


def _fills_cache(access: Access, own: list[Access], module: Module) -> bool:
    """Whether the write stores what a read of the same key did not find, for the next reader."""
    function = module.function(access.at)
    if access.name != "set" or function is None or _is_plain_parameter(access.command.key, module):
        return False
    returned = [node.value for node in module.names.returns(function) if node.value is not None]
    for read in own:
        if (
            read.name == "get"
            and read.place < access.place
            and read.meets(access)
            and any(depends(module, value, read.result) for value in returned)
        ):
            asked = {sense for guard in guards(module, access.at) for sense, _ in senses(module, guard, read)}
            if Sense.ABSENT in asked:
                return True
    return False


def _is_plain_parameter(key: ast.expr | None, module: Module) -> bool:
    """Whether the caller names the key, and so knows what it is for."""
    return isinstance(key, ast.Name) and any(binding.is_parameter for binding in module.names.reaching(key.id, key))


def _is_compared(access: Access, module: Module) -> bool:
    """Whether a counter's new value is held against a limit."""
    compares = (node for node in module.nodes(ast.Compare) if module.function(node) is module.function(access.at))
    ordered = (node for node in compares if any(isinstance(op, (ast.Lt, ast.LtE, ast.Gt, ast.GtE)) for op in node.ops))
    return any(depends(module, node, access.result) for node in ordered)


def _what_varies(access: Access, module: Module) -> str:
    key = access.command.key
    names = [part.name for part in module.origins.of(key).variable if part.name] if key is not None else []
    return f"`{names[-1]}`" if names and len(names[-1]) < 30 else "request"  # noqa: PLR2004


# What redis-py's clients have, as far as code commonly asks for it. Who is asked for more is a wrapper with habits of its own.
_REDIS_METHODS: Final = frozenset(
    "get set setex setnx psetex mget mset msetnx getset getdel getex append strlen incr incrby incrbyfloat decr decrby exists delete "
    "unlink expire expireat pexpire pexpireat persist ttl pttl keys scan scan_iter type rename hset hget hgetall hmset hmget hdel "
    "hexists hincrby hincrbyfloat hkeys hvals hlen hsetnx hscan hscan_iter lpush rpush lpop rpop llen lrange lindex lset lrem ltrim "
    "linsert lmove blmove blpop brpop rpoplpush brpoplpush lpos rpushx lpushx sadd srem smembers sismember scard spop srandmember sscan "
    "sscan_iter sunion sinter sdiff smove zadd zrem zrange zrevrange zrangebyscore zrevrangebyscore zcard zscore zrank zrevrank zincrby "
    "zcount zremrangebyscore zremrangebyrank zpopmin zpopmax bzpopmin zscan zscan_iter zunionstore zinterstore setbit getbit bitcount "
    "pfadd pfcount publish pubsub pipeline execute multi watch unwatch reset transaction lock eval evalsha register_script script_load "
    "ping info close aclose flushdb flushall dbsize time xadd xread xreadgroup xack xdel xlen xrange xtrim xgroup_create xpending xclaim "
    "xautoclaim geoadd config_get config_set client execute_command from_url json ft wait touch dump restore object memory_usage "
    "zmscore initialize wait_closed disconnect client_list client_setname echo auth select module_list function_load fcall hexpire xinfo_groups "
    "xinfo_stream xinfo_consumers xgroup_destroy".split()
)


def _is_wrapped(access: Access, module: Module) -> bool:
    """Whether the client is an object of the project's own, which may well give every key an end itself."""
    return ast.unparse(access.command.receiver) in _wrappers(module)


@lru_cache(maxsize=1)
def _wrappers(module: Module) -> set[str]:
    odd = (command for command in module.redis_commands if command.name not in _REDIS_METHODS)
    return {ast.unparse(command.receiver) for command in odd}


@HAZARD.injects
def inject(module: Module) -> Iterator[Mutant]:
    """Takes the end out of `set(..., nx=True, ex=...)` whose answer decides, and the timeout out of a lock."""
    for command in module.redis_commands:
        call = command.call
        ends = [keyword for keyword in call.keywords if keyword.arg in {"ex", "px", "timeout"}]
        is_test = isinstance(module.parent(call), (ast.If, ast.UnaryOp))
        if len(ends) != 1 or not (command.name == "lock" or (command.name == "set" and command.only_if_new and is_test)):
            continue
        rest = [*(module.segment(value) for value in call.args)]
        rest += [f"{keyword.arg}={module.segment(keyword.value)}" for keyword in call.keywords if keyword not in ends]
        text = f"{module.segment(call.func)}({', '.join(rest)})"
        yield Mutant(call.lineno, f"{command.name} loses `{ends[0].arg}`", edited(module, [replacing(module, call, text)]))


BAD = (
    """
import time
import uuid
import redis

r = redis.Redis()

def run_exclusive(name, job):
    token = str(uuid.uuid4())
    if not r.set(f"lock:{name}", token, nx=True):  # expect: redis/no-expiry
        return
    try:
        job()
    finally:
        r.delete(f"lock:{name}")

def take(name):
    if r.setnx(name, time.time()):  # expect: redis/no-expiry
        r.expire(name, 30)
        return True
    return False

def first_time(event_id):
    return bool(r.setnx(f"event:{event_id}", 1))  # expect: redis/no-expiry

def put(key, value):
    r.set(key, value)  # expect: redis/no-expiry
    r.expire(key, 3600)

def is_limited(user, calls_max, period):
    r.set(f"bucket:{user}", calls_max, nx=True, ex=period)
    return r.decrby(f"bucket:{user}", 1) < 0  # expect: redis/no-expiry
""",
    """
import frappe
from django.core.cache import cache

# A client of Redis that a framework hands out.
def process_queue():
    if not frappe.cache.setnx("queue-lock", 1):  # expect: redis/no-expiry
        return
    frappe.cache.expire("queue-lock", 300)
    process()

def create_version(user):
    with cache.lock(f"version:{user}"):  # expect: redis/no-expiry
        add_version(user)

def create_once(user):
    if cache.add(f"create-lock:{user}", 1, timeout=None):  # expect: redis/no-expiry
        create(user)
""",
    """
import redis
from redis.lock import Lock

client = redis.Redis()

def fetch(repo):
    with client.lock(f"fetch:{repo}"):  # expect: redis/no-expiry
        clone(repo)

def rebuild():
    lock = Lock(client, "rebuild")  # expect: redis/no-expiry
    if lock.acquire(blocking=False):
        build()

def start(job):
    if not client.exists("start-lock"):
        client.set("start-lock", job)  # expect: redis/no-expiry
""",
    """
import json
from redis.asyncio import Redis

class Sessions:
    PREFIX = "session:"

    def __init__(self, redis: Redis):
        self.redis = redis

    def _key(self, session_id):
        return f"{self.PREFIX}{session_id}"

    async def save(self, session_id, data):
        await self.redis.set(self._key(session_id), json.dumps(data))  # expect: redis/no-expiry

    async def too_many(self, ip):
        count = await self.redis.incr(f"hits:{ip}")  # expect: redis/no-expiry
        return count > 100

    async def remember(self, email, attempt):
        await self.redis.rpush(f"login_attempts:{email}", attempt)  # expect: redis/no-expiry

    async def classify(self, uri):
        key = "class:" + uri
        found = await self.redis.get(key)
        if found is None:
            found = await self.model.classify(uri)
            await self.redis.set(key, json.dumps(found))  # expect: redis/no-expiry
        return found
""",
)

GOOD = (
    """
import uuid
import redis

r = redis.Redis()

def run_exclusive(name, job):
    if not r.set(f"lock:{name}", str(uuid.uuid4()), nx=True, ex=30):
        return
    job()

def fetch(repo):
    with r.lock(f"fetch:{repo}", timeout=60):
        clone(repo)

def take(name):
    with r.pipeline() as pipe:
        pipe.setnx(name, 1)
        pipe.expire(name, 30)
        return pipe.execute()[0]

def save(key, value, **options):
    r.set(f"session:{key}", value, **options)

def is_limited(user, calls_max, period):
    with r.pipeline() as pipe:
        pipe.set(f"bucket:{user}", calls_max, nx=True, ex=period)
        pipe.decrby(f"bucket:{user}", 1)
        return pipe.execute()[1] < 0

def visit(user):
    if r.set(f"visits:{user}", 0, nx=True, ex=60):
        r.incr(f"visits:{user}")
""",
    """
from django.core.cache import cache

def block(session_id):
    cache.set(f"session-lock:{session_id}", True, timeout=None)

def count(pk):
    if not cache.add(f"counter:{pk}", 1, timeout=None):
        cache.incr(f"counter:{pk}")

def give_back(account, owner):
    lock = cache.lock(f"account:{account}", id=owner)
    if lock.get_owner_id() == owner:
        lock.release()
""",
    """
import redis

r = redis.Redis()

def register(name, user_id):
    if not r.setnx(f"username:{name}", user_id):
        raise ValueError(name)
    r.sadd("users", user_id)
    r.hset(f"user:{user_id}", mapping={"name": name})
    r.setnx("users:version", 1)

def visit(page):
    r.incr(f"visits:{page}")
    r.hincrby("visits", page, 1)

def settle(order_id, total):
    r.set(f"order:{order_id}", total)
    r.rpush("orders", order_id)
""",
    """
import redis
from redis.lock import Lock
from shop.keys import CacheKeys

r = redis.Redis()

def note():
    r.set(CacheKeys.UPDATED_AT, "now")

def login(session_id, data):
    r.hset(f"session:{session_id}", mapping=data)

def logout(session_id):
    r.delete(f"session:{session_id}")

def touch(session_id):
    r.expire(f"session:{session_id}", 3600)

def follow(session_id, connection_id):
    r.zadd(f"session_connections:{session_id}", {connection_id: 1})

def unfollow(session_id, connection_id):
    r.zrem(f"session_connections:{session_id}", connection_id)

def is_running(name):
    return Lock(r, name).locked()

def allow(ip):
    key = f"rate_limit:{ip}"
    count = r.incr(key)
    if count == 1:
        r.expire(key, 60)
    return count <= 10

def cache(key, value, ttl):
    r.set(f"cache:{key}", value, ttl)
    r.setex(f"token:{key}", ttl, value)
""",
)
