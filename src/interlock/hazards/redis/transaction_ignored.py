"""A Redis transaction is opened, and its answer is thrown away: it conflicts or does nothing, and the code goes on.

## What happens
WATCH makes EXEC fail when somebody else was faster; it raises WatchError, and where nobody catches it, the loser of every race gets an
error instead of a second try. EXEC also says what each command did. With SET NX or ZREM inside, that answer is the decision: who throws
it away goes on although another client has the key. And a WATCH on a key that was made up a line before guards nothing at all: no other
client knows the key, so the transaction never conflicts, and every repeat goes through.

## Why tests miss it
One client never conflicts with itself. Every branch is green, and the code has the shape of the manual: watch, multi, execute.

## What to write instead
Watch what others can change, the key that is the same for every repeat; catch WatchError around the whole read and write, and start
again a limited number of times. Read the list that `execute()` returns, or let one command outside of the transaction decide.

## Where it comes from
The published fix of the payment retry queue: an idempotency key made of nanoseconds and a random part, then watched. In 19,200
concurrent calls not one WatchError came, the key prevented no double charge, and of 1000 "successes" one item was stored.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from interlock.core.finding import Severity
from interlock.core.pattern import pattern
from interlock.hazards.hazard import Hazard, Mutant
from interlock.hazards.redis._accesses import NEUTRAL, READS, accesses_in, calls_in, parameters, root, uses_in
from interlock.hazards.redis._acts import is_act, is_dropped, is_end
from interlock.hazards.redis._flow import depends, shares_way
from interlock.source.edit import edited, replacing
from interlock.source.origin import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.core.finding import Finding
    from interlock.source.module import Function, Module
    from interlock.source.origin import Part
    from interlock.source.redis import Command

HAZARD = Hazard(
    __name__,
    severity=Severity.HIGH,
    advice="watch a key that every repeat shares, retry on WatchError a limited number of times, and read what execute() returns",
    needles=(
        (b"pipeline", b"multi_exec", b"redis", b"Redis"),
        (b"watch(", b"execute(", b"transaction("),
        (b"watch(", b"transaction(", b"nx=", b"setnx(", b"rem(", b"raise_on_error"),
    ),
    signal="WatchError in the log, or none at all under load; more successes reported than items stored",
    scenario="two transfers of which only one is covered",
    sources=(
        "https://redis.io/docs/latest/develop/using-commands/transactions/",
        "https://redis.readthedocs.io/en/stable/advanced_features.html#pipelines",
    ),
)

_HANDLES: Final = pattern(
    r"\b(\w*WatchError|RedisError|ResponseError|Exception|BaseException|\w*(Conflict|Retry|Concurren)\w*)\b"
)
_RETRIES: Final = pattern(r"(?i)retr(y|ies)|backoff|tenacity|stamina|atomic|transaction|optimistic|watch")
_FINE_CLOCK_S: Final = 1e-3
_CALLERS_DEEPEST: Final = 3
_SETTLES: Final = frozenset({"set", "setnx", "hsetnx", "zadd", "msetnx"})
_READS_BEFORE_MULTI: Final = frozenset(
    "get hget hgetall hmget mget exists hexists sismember smembers zscore zrange zrangebyscore zrank zcard scard llen lrange lindex ttl "
    "pttl type keys scan hkeys hvals hlen zcount strlen watch unwatch multi execute reset close aclose pipeline immediate_execute_command".split()
)


@HAZARD.detects(ast.FunctionDef, ast.AsyncFunctionDef)
def detect(function: Function, module: Module) -> Iterator[Finding]:
    """What is wrong with the transactions of a function."""
    commands = accesses_in(module).commands.get(function, [])
    watches = [command for command in commands if command.name == "watch"]
    for watch in watches[:1]:
        yield from _watched_in_vain(watch, commands, function, module)
    for command in commands:
        if command.name == "execute" and not any(found.call is command.receiver for found in watches):
            yield from _dropped(command, commands, function, module)


@HAZARD.detects(ast.Call)
def detect_transaction(call: ast.Call, module: Module) -> Iterator[Finding]:
    """`client.transaction(callback, key)`: the callback reads first, and what it writes waits for EXEC only after `multi()`."""
    callback = module.names.referred(call.args[0]) if len(call.args) > 1 else None
    is_sent = isinstance(call.func, ast.Attribute) and call.func.attr == "transaction"
    if not is_sent or callback is None or not any(command.call is call for command in module.redis_commands):
        return
    pipe = next((parameter.arg for parameter in parameters(callback)), "")
    if any(
        isinstance(argument, ast.Name) and argument.id == pipe
        for inner in calls_in(module).get(callback, [])
        for argument in [*inner.args, *(keyword.value for keyword in inner.keywords)]
    ):
        return
    sent = [
        (inner.func.attr, inner)
        for inner in calls_in(module).get(callback, [])
        if isinstance(inner.func, ast.Attribute) and root(inner.func.value) == pipe
    ]
    names = [name for name, _ in sent]
    written = next((found for found in sent if found[0] not in _READS_BEFORE_MULTI), None)
    if written is not None and "multi" not in names and any(name in READS for name in names[: names.index(written[0])]):
        message = f"`{callback.name}` has no MULTI, so its {written[0].upper()} runs at once, whoever changed the key since it was read"
        yield HAZARD.finding(module, written[1], message)


def _watched_in_vain(watch: Command, commands: list[Command], function: Function, module: Module) -> Iterator[Finding]:
    fresh = [part for key in watch.keys for part in _fresh(key, module)]
    if watch.keys and len(fresh) >= len(watch.keys):
        key = module.segment(watch.keys[0])
        message = f"`{key}` is made with {fresh[0].name} in this very call: no other client can touch it, so this WATCH never conflicts and guards nothing"
        yield HAZARD.finding(module, watch.call, message)
        return
    written = _written_at_once(watch, commands, module)
    if written is not None:
        message = f"there is no MULTI after this WATCH, so the {written.name.upper()} in line {written.call.lineno} runs at once, whoever was faster"
        yield HAZARD.finding(module, watch.call, message)
    elif not _is_handled(watch.call, function, module, 0):
        message = "nobody in this file handles the WatchError that this WATCH asks for: whoever loses the race gets an error, not a second try"
        yield HAZARD.finding(module, watch.call, message)


def _fresh(key: ast.expr, module: Module) -> list[Part]:
    """The randomness or fine clock of a key that was made in this call."""
    made = module.origins.of(key).always(Kind.RANDOM, Kind.CLOCK)
    return [
        part
        for part in made
        if (part.kind is Kind.RANDOM or part.resolution_s <= _FINE_CLOCK_S) and not module.at_import(part.site)
    ][:1]


def _written_at_once(watch: Command, commands: list[Command], module: Module) -> Command | None:
    """A write on the watched pipeline that is not in a MULTI, because there is none."""
    pipe = root(watch.receiver)
    same = [command for command in commands if root(command.receiver) == pipe]
    if not watch.buffered or any(command.name == "multi" for command in same) or _is_handed_on(watch, module):
        return None
    return next(
        (command for command in same if command.name not in _READS_BEFORE_MULTI and command.call.lineno > watch.call.lineno),
        None,
    )


def _is_handed_on(watch: Command, module: Module) -> bool:
    """Whether the pipeline is given to another function, which may well begin the MULTI."""
    pipe = root(watch.receiver)
    calls = calls_in(module).get(module.function(watch.call), [])
    return any(
        ast.unparse(argument) == pipe
        for call in calls
        for argument in [*call.args, *(keyword.value for keyword in call.keywords)]
    )


def _is_handled(node: ast.AST, function: Function, module: Module, depth: int) -> bool:
    """Whether WatchError is caught here, by a decorator, by a caller in this file, or by somebody who was given the function or the pipeline."""
    if _is_caught(node, module) or any(_RETRIES.search(ast.unparse(decorator)) for decorator in function.decorator_list):
        return True
    if isinstance(node, ast.Call) and _is_parameter_of(node, function, module):
        return True
    uses = uses_in(module).get(function.name, [])
    calls = [
        use for use in uses if isinstance(module.parent(use), ast.Call) and getattr(module.parent(use), "func", None) is use
    ]
    if len(calls) < len(uses):
        return True  # Handed on as a value: to `client.transaction`, to a retry helper.
    around = [(call, module.function(call)) for call in calls]
    return depth < _CALLERS_DEEPEST and any(
        _is_handled(call, outer, module, depth + 1) for call, outer in around if outer is not None and outer is not function
    )


def _is_caught(node: ast.AST, module: Module) -> bool:
    below = node
    for around in module.ancestors(node):
        if isinstance(around, ast.Try) and below in around.body:
            caught = [handler.type for handler in around.handlers]
            if any(kind is None or _HANDLES.search(ast.unparse(kind)) for kind in caught):
                return True
        if isinstance(around, (ast.With, ast.AsyncWith)) and any(
            _RETRIES.search(ast.unparse(item.context_expr)) for item in around.items
        ):
            return True
        below = around
    return False


def _is_parameter_of(watch: ast.Call, function: Function, module: Module) -> bool:
    """Whether the pipeline was handed in, so that whoever owns it runs EXEC and sees the error."""
    receiver = watch.func.value if isinstance(watch.func, ast.Attribute) else None
    if not isinstance(receiver, ast.Name):
        return False
    parts = module.origins.of(receiver).parts
    return function is module.function(watch) and any(part.kind in {Kind.CALLER, Kind.REQUEST} for part in parts)


def _dropped(execute: Command, commands: list[Command], function: Function, module: Module) -> Iterator[Finding]:
    """An `execute()` whose answer nobody reads, though it decides."""
    if not execute.buffered or not is_dropped(module, execute.call):
        return
    quiet = execute.argument("raise_on_error")
    if isinstance(quiet, ast.Constant) and quiet.value is False:
        yield HAZARD.finding(
            module,
            execute.call,
            "errors come back in the list that execute() returns here, and nobody reads it: a command that failed is taken for done",
        )
        return
    batch = [
        command
        for command in commands
        if accesses_in(module).answer(command, function) is execute.call and command is not execute
    ]
    for command in batch:
        told = _decision(command, batch, commands, function, module)
        if told:
            yield HAZARD.finding(module, execute.call, told)
            return


def _decision(command: Command, batch: list[Command], commands: list[Command], function: Function, module: Module) -> str:
    """What the dropped answer of a command would have decided; empty if nothing."""
    line = command.call.lineno
    if command.only_if_new and command.name in _SETTLES and _goes_on(command, batch, function, module):
        return f"the answer of the {command.name.upper()} NX in line {line} is dropped with this EXEC: the code goes on as if it had won, also when another client did"
    if command.name in {"zrem", "lrem", "srem", "hdel"} and _was_read(command, batch, commands, module):
        return f"this EXEC drops whether the {command.name.upper()} in line {line} took the item off: two workers that read it both go on with it"
    return ""


def _goes_on(command: Command, batch: list[Command], function: Function, module: Module) -> bool:
    """Whether the code goes on as the one who was first: it says so to its caller, or does something else in the same MULTI."""
    key = command.key
    if key is None or any(
        other is not command and other.key is not None and _same(other.key, key, module)
        for other in batch
        if other.name not in NEUTRAL | READS
    ):
        return False
    says = any(_is_yes(node.value) and node.lineno > command.call.lineno for node in module.names.returns(function))
    others = [
        other
        for other in batch
        if other is not command
        and other.name in {"zadd", "lpush", "rpush", "xadd", "publish", "incrby", "decrby"}
        and not other.only_if_new
    ]
    return says or (command.name in {"set", "setnx"} and bool(others))


def _is_yes(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and value.value is True


def _same(first: ast.expr, second: ast.expr, module: Module) -> bool:
    return module.segment(first) == module.segment(second)


def _was_read(command: Command, batch: list[Command], commands: list[Command], module: Module) -> bool:
    """Whether what is taken off was read from the same key before, outside of the transaction, and goes somewhere."""
    reads = {"zrangebyscore", "zrange", "lrange", "smembers", "hgetall", "hkeys"}
    watched = any(other.name == "watch" for other in commands)
    sources = [
        other.call
        for other in commands
        if other.name in reads and other.key is not None and command.key is not None and _same(other.key, command.key, module)
    ]
    sources = [source for source in sources if any(depends(module, argument, source) for argument in command.call.args[1:])]
    onward = [
        other.call for other in batch if other.name in {"lpush", "rpush", "zadd", "sadd", "xadd", "hset", "set", "publish"}
    ]
    onward += [
        call
        for call in calls_in(module).get(module.function(command.call), [])
        if is_act(module, call) and not is_end(module, call)
    ]
    return not watched and any(
        depends(module, argument, source) and shares_way(module, call, command.call, source)
        for source in sources
        for call in onward
        for argument in call.args
    )


@HAZARD.injects
def inject(module: Module) -> Iterator[Mutant]:
    """Lets the WatchError of a transaction go unhandled: the handler waits for something else."""
    for handler in module.nodes(ast.ExceptHandler):
        around = module.parent(handler)
        function = module.function(handler)
        watches = [command for command in accesses_in(module).commands.get(function, []) if command.name == "watch"]
        is_only = isinstance(around, ast.Try) and len(around.handlers) == 1
        if handler.type is not None and is_only and watches and "WatchError" in ast.unparse(handler.type) and calls_in(module):
            yield Mutant(
                handler.lineno, "WatchError is no longer caught", edited(module, [replacing(module, handler.type, "KeyError")])
            )


BAD = (
    """
import json
import time
import uuid
import redis

class PaymentRetryQueue:
    def __init__(self, url):
        self.redis = redis.Redis.from_url(url)
        self.queue_key = "payment:retry"

    def _idempotency_key(self, payment):
        return f"payment:{payment['user_id']}:{time.time_ns()}:{uuid.uuid4().hex[:8]}"

    def enqueue(self, payment):
        key = self._idempotency_key(payment)
        try:
            with self.redis.pipeline() as pipe:
                pipe.watch(key)  # expect: redis/transaction-ignored
                if pipe.exists(key):
                    return False
                pipe.multi()
                pipe.set(key, "1", ex=86400, nx=True)
                pipe.zadd(self.queue_key, {json.dumps(payment): time.time() + 60})
                pipe.execute()  # expect: redis/transaction-ignored
                return True
        except redis.WatchError:
            return self.enqueue(payment)
""",
    """
import json
import redis

r = redis.Redis()

def create_user(name, data):
    with r.pipeline() as pipe:
        pipe.watch(f"user:{name}")  # expect: redis/transaction-ignored
        if pipe.exists(f"user:{name}"):
            raise ValueError(name)
        pipe.multi()
        pipe.set(f"user:{name}", json.dumps(data))
        pipe.execute()

def move(job_id, due):
    with r.pipeline() as pipe:
        while True:
            try:
                pipe.watch("jobs")  # expect: redis/transaction-ignored
                if pipe.zscore("jobs", job_id) is None:
                    raise KeyError(job_id)
                pipe.zadd("jobs", {job_id: due})
                pipe.execute()
                break
            except redis.WatchError:
                continue

def sign_up(store, name, user):
    with store.pipeline() as pipe:
        pipe.watch(name)  # expect: redis/transaction-ignored
        pipe.multi()
        user.save(pipe)
        pipe.execute()
""",
    """
import redis

r = redis.Redis()

def take(name, owner):
    pipe = r.pipeline(transaction=True)
    pipe.set(name, owner, ex=60, nx=True)
    pipe.execute()  # expect: redis/transaction-ignored
    return True

def store(rows):
    pipe = r.pipeline()
    for row in rows:
        pipe.hset("rows", row.id, row.value)
    pipe.execute(raise_on_error=False)  # expect: redis/transaction-ignored

def release(name, token):
    def release_own(pipe):
        if pipe.get(name) != token:
            raise LookupError(name)
        pipe.delete(name)  # expect: redis/transaction-ignored

    r.transaction(release_own, name)

def promote(now):
    for job in r.zrangebyscore("due", 0, now):
        pipe = r.pipeline()
        pipe.zrem("due", job)
        pipe.lpush("ready", job)
        pipe.execute()  # expect: redis/transaction-ignored
""",
)

GOOD = (
    """
import redis

r = redis.Redis()

def transfer(source, target, amount):
    with r.pipeline() as pipe:
        for _ in range(5):
            try:
                pipe.watch(source, target)
                if int(pipe.get(source)) < amount:
                    return False
                pipe.multi()
                pipe.decrby(source, amount)
                pipe.incrby(target, amount)
                pipe.execute()
                return True
            except redis.WatchError:
                continue
    raise RuntimeError("too busy")

def purge(task):
    matching = [raw for raw in r.lrange("celery", 0, -1) if task in raw]
    pipe = r.pipeline()
    for raw in matching:
        pipe.lrem("celery", 1, raw)
    pipe.execute()

def _swap(pipe, key):
    pipe.watch(key)
    value = pipe.get(key)
    pipe.multi()
    pipe.set(key, value[::-1])

def swap(key):
    r.transaction(lambda pipe: _swap(pipe, key), key)

def _release(pipe):
    if pipe.get("lock") != b"mine":
        raise LookupError
    pipe.multi()
    pipe.delete("lock")

def release():
    r.transaction(_release, "lock")
""",
    """
import redis

r = redis.Redis()

def take(name, owner):
    pipe = r.pipeline()
    pipe.set(name, owner, ex=60, nx=True)
    pipe.get(name)
    won, holder = pipe.execute()
    return bool(won) and holder == owner

def count(key):
    pipe = r.pipeline()
    pipe.set(key, 0, ex=60, nx=True)
    pipe.incr(key)
    pipe.execute()
    return True

def schedule(job_id, due):
    pipe = r.pipeline()
    pipe.zadd("jobs", {job_id: due}, nx=True)
    pipe.hset(f"job:{job_id}", "due", due)
    pipe.execute()

def forget(job_id):
    pipe = r.pipeline()
    pipe.zrem("jobs", job_id)
    pipe.delete(f"job:{job_id}")
    pipe.execute()
""",
    """
import redis
import tenacity

r = redis.Redis()

@tenacity.retry(retry=tenacity.retry_if_exception_type(redis.WatchError))
def rename(old, new):
    with r.pipeline() as pipe:
        pipe.watch(old)
        value = pipe.get(old)
        pipe.multi()
        pipe.set(new, value)
        pipe.delete(old)
        pipe.execute()

def _update(key):
    with r.pipeline() as pipe:
        pipe.watch(key)
        value = pipe.get(key)
        pipe.multi()
        pipe.set(key, value + b"!")
        pipe.execute()

def update(key):
    try:
        _update(key)
    except redis.WatchError:
        return False
    return True
""",
)
