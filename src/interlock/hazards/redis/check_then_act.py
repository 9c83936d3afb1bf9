"""Two clients read the same thing in Redis, and both act on it.

## What happens
The code asks Redis and then acts on the answer in a second command: no lock there, so take it; fewer than ten requests, so count one
more; these items are due, so process them and take them off. Between the two commands every other client can do the same, and
under load one does: a card is charged twice, a limit of ten lets thirty through, one of two updates is gone, and a lock that had
expired in between is deleted although somebody else holds it by now.

## Why tests miss it
A test has one client, and for one client two commands are as good as one. The gap is a network round trip wide, a fraction of a
millisecond when the test's Redis is on the same machine, and nothing but a second client can fall into it.

## What to write instead
Let one command decide, and look at its answer: `SET key value NX EX 60` for a lock or a marker, `INCR` first and compare its result for
a limit, `GETDEL` for a code that works once, `if r.zrem(key, item): process(item)` for a claim. What takes more than one command belongs
in a Lua script (releasing a lock: compare and delete) or between WATCH and EXEC with a retry on WatchError.

## Where it comes from
The payment retry queue, in both of its published versions: workers read due payments with ZRANGEBYSCORE, charge, and take them off
with ZREM whose answer nobody reads. With two workers, 1000 of 1000 payments were charged twice.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Final

from interlock.core.finding import Severity
from interlock.hazards.hazard import Hazard, Mutant
from interlock.hazards.redis._accesses import READS_COUNT, READS_MANY, READS_ONE, accesses_in, calls_in
from interlock.hazards.redis._flow import (
    Sense,
    depends,
    guards,
    is_act,
    is_dropped,
    is_end,
    is_guarded,
    senses,
    shares_way,
    takes_lock,
)
from interlock.source.edit import edited, replacing
from interlock.source.origin import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.core.finding import Finding
    from interlock.hazards.redis._accesses import Access
    from interlock.hazards.redis._flow import Guard
    from interlock.source.module import Function, Module

HAZARD = Hazard(
    __name__,
    severity=Severity.CRITICAL,
    advice="let one command decide and look at its answer: SET NX EX, INCR then compare, ZREM before processing, or a Lua script",
    needles=(
        (b"redis", b"Redis", b"REDIS", b"valkey", b"django.core.cache"),
        (
            b"get(", b"exists(", b"has_key(", b"ismember(", b"zscore(", b"range", b"members(", b"card(", b"llen(", b"hlen(", b"getall(",
            b"hkeys(", b"hvals(", b"zcount(", b"lindex(", b"zrank(", b"scan_iter(",
        ),
        (
            b"set(", b"setex(", b"add(", b"push(", b"incr", b"decr", b"delete(", b"unlink(", b"rem(", b"del(", b"trim(", b"remrangeby",
            b"pop(", b"expire(", b"setbit(",
        ),
    ),
    signal="the same thing is done twice within milliseconds: duplicate charges, jobs or messages; counters that lag behind",
    scenario="two clients run the same operation; the second runs whole between the first one's read and its write",
    sources=(
        "https://redis.io/docs/latest/develop/using-commands/transactions/",
        "https://redis.io/docs/latest/commands/set/",
        "https://cwe.mitre.org/data/definitions/367.html",
    ),
)  # fmt: skip

_PUTS: Final = frozenset("set setex psetex hset hmset sadd zadd setbit lpush rpush".split())
_COUNTS: Final = frozenset("incr incrby incrbyfloat decr decrby hincrby hincrbyfloat zincrby".split())
_ENDS: Final = frozenset("delete unlink expire pexpire persist hdel getset".split())
_TAKES_OFF: Final = frozenset(
    "zrem lrem srem hdel ltrim zremrangebyscore zremrangebyrank delete unlink lpop rpop zpopmin".split()
)
_TAKES_OFF_ALL: Final = frozenset("ltrim zremrangebyscore zremrangebyrank delete unlink lpop rpop zpopmin".split())
_OF_MEMBERS: Final = frozenset("sadd zadd sismember zscore zrank hexists hget hset hincrby hdel".split())
# What is held by one client at a time, and keys whose authors say that what they guard is to happen once.
_OWNED: Final = re.compile(r"(?i)lock|release|owner|token|mutex|lease|leader|worker|holder|identifier")
_GUARDING: Final = re.compile(
    r"(?i)(?<![a-z])(lock|mutex|locked|idempoten\w*|idem|dedup\w*|processed|processing|already|in_?progress|claim(ed)?|once|handled|seen)(?![a-z])"
)


@HAZARD.detects(ast.FunctionDef, ast.AsyncFunctionDef)
def detect(function: Function, module: Module) -> Iterator[Finding]:
    """One finding for each key that a function first reads and then acts on."""
    told: list[tuple[Access, Access]] = []
    accesses = accesses_in(module).of(function) if function_has_commands(module, function) else []
    for write in accesses:
        for read in accesses:
            if not _can_be_overtaken(read, write) or any(_is_told(read, write, earlier, module) for earlier in told):
                continue
            finding = _pair(read, write, accesses, module)
            if finding is not None and not is_guarded(module, write.at) and not _is_fresh(read, module):
                told.append((read, write))
                yield finding


def _is_told(read: Access, write: Access, earlier: tuple[Access, Access], module: Module) -> bool:
    """Whether a finding has been told of the same key, or of a test that decides whether one gets to this write at all."""
    if earlier[0].meets(read) or earlier[1].meets(write):
        return True
    return any(sense is Sense.ABSENT for guard in guards(module, write.at) for sense, _ in senses(module, guard, earlier[0]))


def function_has_commands(module: Module, function: Function) -> bool:
    """Whether a function can send commands at all, itself or through a helper."""
    accesses = accesses_in(module)
    return bool(accesses.commands) and bool(calls_in(module).get(function))


def _can_be_overtaken(read: Access, write: Access) -> bool:
    """Whether a read and a write below it on the same key are two steps, between which others can do the same."""
    is_read = read.name in READS_ONE | READS_COUNT | READS_MANY
    apart = read.at is not write.at and not read.in_one_batch_with(write)
    return is_read and apart and read.place < write.place and read.meets(write) and not write.command.only_if_new


def _is_fresh(read: Access, module: Module) -> bool:
    """Whether the key has just been made up, so that no other client knows it."""
    key = read.command.key
    return key is not None and bool(module.origins.of(key).always(Kind.RANDOM))


def _pair(read: Access, write: Access, accesses: list[Access], module: Module) -> Finding | None:
    """What is wrong with a read and a write, if anything."""
    asked = [(sense, other, guard) for guard in guards(module, write.at) for sense, other in senses(module, guard, read)]
    found = {sense for sense, _, _ in asked}
    line = write.at.lineno
    key = _shown(write, module)
    if Sense.ABSENT in found and write.name in _PUTS and _marks(read, write, accesses, module):
        return HAZARD.finding(
            module, read.at, f"two clients can both find {key} missing here before either writes it in line {line}: both go on"
        )
    if read.is_cache or write.is_cache:
        return None
    if _changes_state(read, write, asked, module):
        message = f"two clients can both find {key} in this state before either changes it in line {line}: both go on"
        return HAZARD.finding(module, read.at, message)
    if Sense.ORDERED in found and write.name in _COUNTS | _PUTS and _is_limit(read, write, accesses, module):
        message = f"clients that read {key} here at once all pass the test before the {write.name.upper()} in line {line} counts them: the limit leaks"
        return HAZARD.finding(module, read.at, message)
    raised = [other for sense, other, _ in asked if sense is Sense.ORDERED and other is not None]
    if _loses_update(read, write, module) or _overwrites_larger(read, write, raised, module):
        message = f"{key} is read here and written back in line {line}: of two clients that do so at once, one's change is lost"
        return HAZARD.finding(module, read.at, message)
    owners = [
        other
        for sense, other, guard in asked
        if sense is Sense.EQUAL and other is not None and _is_value_itself(guard.test, read, module)
    ]
    if owners and write.name in _ENDS and read.name in {"get", "hget"} and not isinstance(owners[0], ast.Constant):
        if _OWNED.search(f"{module.symbol(read.at)} {write.key} {ast.unparse(owners[0])}"):
            message = f"between this {read.name.upper()} and the {write.name.upper()} in line {line} {key} can expire and be taken by another client, who then loses it"
        else:
            message = f"two clients that read {key} here at once are both accepted before the {write.name.upper()} in line {line}: it works more than once"
        return HAZARD.finding(module, read.at, message)
    if write.name in _TAKES_OFF and read.name in READS_MANY and _is_claim(read, write, module):
        return HAZARD.finding(module, write.at, _claim_message(read, write, key))
    return None


def _changes_state(read: Access, write: Access, asked: list[tuple[Sense, ast.expr | None, Guard]], module: Module) -> bool:
    """Whether a state is tested, changed, and acted on: `if r.get(k) == b"pending": r.set(k, "running")`."""
    states = [other for sense, other, guard in asked if sense is Sense.EQUAL and _is_value_itself(guard.test, read, module)]
    if not any(isinstance(other, ast.Constant) for other in states) or write.name not in {"set", "setex", "hset"}:
        return False
    to = write.command.value
    return isinstance(to, ast.Constant) and _same_member(read, write, module) and _acts_if(Sense.EQUAL, read, write, module)


def _claim_message(read: Access, write: Access, key: str) -> str:
    taking = f"this {write.name.upper()}"
    if write.name in {"delete", "unlink"}:
        return f"what others add to {key} after it was read in line {read.at.lineno} is deleted unread by {taking}; two workers act on what they both read"
    return f"two workers can read the same items of {key} in line {read.at.lineno} and act on each; nobody looks whether {taking} took one off"


def _is_value_itself(test: ast.expr, read: Access, module: Module) -> bool:
    """Whether one side of a comparison is the answer as it was read, and not something inside of it."""
    compared = [
        side for node in ast.walk(test) if isinstance(node, (ast.Compare, ast.Call)) for side in ast.iter_child_nodes(node)
    ]
    return any(_spells(side, read, module, 0) for side in compared if isinstance(side, ast.expr))


def _spells(expr: ast.expr, read: Access, module: Module, depth: int) -> bool:
    """Whether an expression is an answer, through variables, `decode()`, `strip()`, `or ""` and the like."""
    match expr:
        case _ if expr is read.result:
            return True
        case (
            ast.Await(value=inner)
            | ast.NamedExpr(value=inner)
            | ast.Call(func=ast.Attribute(value=inner, attr="decode" | "strip" | "lower"))
        ):
            return _spells(inner, read, module, depth)
        case (
            ast.Call(func=ast.Name(id="str" | "int" | "force_str"), args=[inner, *_])
            | ast.BoolOp(values=[inner, *_])
            | ast.IfExp(body=inner)
        ):
            return _spells(inner, read, module, depth)
        case ast.Name(id=name) if depth < 4:  # noqa: PLR2004
            values = [binding.value for binding in module.names.reaching(name, expr)]
            return any(value is not None and _spells(value, read, module, depth + 1) for value in values)
        case _:
            return False


def _shown(access: Access, module: Module) -> str:
    """The key as the code writes it, short enough for a message."""
    text = (
        " ".join(module.segment(access.command.key).split())
        if access.command.key is not None and access.helper is None
        else access.key
    )
    return f"`{text}`" if len(text) <= 40 else "the key"  # noqa: PLR2004 - the message stays one line.


def _marks(read: Access, write: Access, accesses: list[Access], module: Module) -> bool:
    """Whether the write is a lock or a marker, and no data that is kept for the next reader (cache-aside)."""
    if read.name not in READS_ONE or not _same_member(read, write, module):
        return False
    function = module.function(read.at)
    if function is not None and takes_lock(module, function, apart_from=write.at):
        return False
    exits = [
        guard.exit for guard in guards(module, write.at) if Sense.ABSENT in {sense for sense, _ in senses(module, guard, read)}
    ]
    if _keeps_a_finding(read, write, bool(any(exits)), module):
        return False
    guarding = _GUARDING.search(f"{write.key} {write.helper.name if write.helper else ''}") is not None
    if _serves_readers(read, accesses, module) and not re.search(r"(?i)idempoten|dedup", write.key):
        return False
    marker = write.name in {"sadd", "zadd", "setbit"} or _is_marker(write, module)
    refuses = any(_refuses(statement) for arm in exits for statement in arm)
    counts = any(access.name in _COUNTS and access.meets(write) for access in accesses)
    return (guarding or marker or refuses) and (refuses or counts or _acts_if(Sense.ABSENT, read, write, module))


def _keeps_a_finding(read: Access, write: Access, refuses: bool, module: Module) -> bool:  # noqa: FBT001 - a fact about the pair.
    """Whether the marker only notes what was found out since the read: too many attempts, a service that is down."""
    for guard in guards(module, write.at):
        if depends(module, guard.test, read.result) or guard.test.lineno <= read.at.lineno:
            continue
        is_threshold = any(
            isinstance(op, (ast.Lt, ast.LtE, ast.Gt, ast.GtE))
            for node in ast.walk(guard.test)
            if isinstance(node, ast.Compare)
            for op in node.ops
        )
        below_read = [
            call
            for call in calls_in(module).get(module.function(read.at), [])
            if call.lineno > read.at.lineno and depends(module, guard.test, call)
        ]
        if is_threshold or (below_read and not refuses):
            return True
    return False


def _same_member(read: Access, write: Access, module: Module) -> bool:
    """Whether both speak of one member of a set or one field of a hash, where both name it."""
    if not {read.name, write.name} <= _OF_MEMBERS or "mapping" in {keyword.arg for keyword in write.command.call.keywords}:
        return True
    first, second = (access.command.call.args[1:2] for access in (read, write))
    if not first or not second or isinstance(second[0], ast.Dict):
        return True
    return read.helper is not write.helper or module.segment(first[0]) == module.segment(second[0])


def _serves_readers(read: Access, accesses: list[Access], module: Module) -> bool:
    """Whether what is stored under the key is used for more than a test: returned, or handed on."""
    function = module.function(read.at)
    if function is None:
        return False
    reads = [
        access
        for access in accesses
        if access.meets(read) and access.name in READS_ONE and access.name not in {"exists", "hexists", "sismember"}
    ]
    values = [node.value for node in module.names.returns(function) if node.value is not None]
    return any(depends(module, value, access.result) and not _is_verdict(value) for value in values for access in reads)


def _is_verdict(value: ast.expr) -> bool:
    """Whether an expression only says yes or no."""
    match value:
        case ast.Compare() | ast.UnaryOp(op=ast.Not()) | ast.Constant():
            return True
        case ast.Call(func=ast.Name(id="bool")):
            return True
        case ast.BoolOp(values=values):
            return all(_is_verdict(inner) for inner in values)
        case ast.IfExp(body=body, orelse=orelse):
            return _is_verdict(body) and _is_verdict(orelse)
        case _:
            return False


def _is_marker(write: Access, module: Module) -> bool:
    """Whether what is written says no more than "I was here": a constant, a time, a random token."""
    value = write.command.value
    if value is None or isinstance(value, ast.IfExp):
        return False
    parts = module.origins.of(value).parts
    return bool(parts) and all(part.kind in {Kind.CONSTANT, Kind.CLOCK, Kind.RANDOM} for part in parts)


def _refuses(statement: ast.stmt) -> bool:
    """Whether an arm turns the caller away: it raises, or returns False."""
    match statement:
        case ast.Raise() | ast.Return(value=ast.Constant(value=False)):
            return True
        case _:
            return False


def _acts_if(sense: Sense, read: Access, write: Access, module: Module) -> bool:
    """Whether something is done, or promised to the caller, because the answer was this."""
    function = module.function(read.at)
    others = (call for call in calls_in(module).get(function, []) if call is not write.at and call is not read.at)
    nodes: list[ast.AST] = [call for call in others if is_act(module, call)]
    promises = module.names.returns(function) if function is not None else []
    nodes += [node for node in promises if node.value is not None and not _is_nothing(node.value)]
    return any(
        sense in {found for guard in guards(module, node) for found, _ in senses(module, guard, read)}
        for node in nodes
        if getattr(node, "lineno", 0) >= read.place[0]
    )


def _is_nothing(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def _is_limit(read: Access, write: Access, accesses: list[Access], module: Module) -> bool:
    """Whether a count is tested before it is raised, and nobody tests what it was raised to."""
    if write.name in _PUTS and read.name not in READS_COUNT:
        return False
    counted = [access for access in accesses if access is write or (access.name in _COUNTS and access.meets(write))]
    return _same_member(read, write, module) and not any(_decides(access, module) for access in counted)


def _decides(write: Access, module: Module) -> bool:
    """Whether the answer of a command is tested below."""
    tests = (
        node.test for node in module.nodes(ast.If, ast.While, ast.IfExp) if module.function(node) is module.function(write.at)
    )
    return any(depends(module, test, write.result) for test in tests)


def _loses_update(read: Access, write: Access, module: Module) -> bool:
    """Whether what is written is what was read, changed: `r.set(k, int(r.get(k)) + 1)`."""
    value = write.command.value
    if (
        value is None
        or write.helper is not None
        or read.name not in {"get", "hget", "hgetall"}
        or not _same_member(read, write, module)
    ):
        return False
    return depends(module, value, read.result) and _is_changed(module, _bare(value), read, 0)


def _overwrites_larger(read: Access, write: Access, compared: list[ast.expr], module: Module) -> bool:
    """Whether a value is written because it is larger or smaller than the one read: `if int(r.get(k)) < n: r.set(k, n)`."""
    value = write.command.value
    if value is None or read.name not in {"get", "hget"} or not _same_member(read, write, module):
        return False
    return not isinstance(value, ast.Constant) and any(ast.unparse(other) == ast.unparse(_bare(value)) for other in compared)


_SERIALIZERS: Final = frozenset("dumps str int float encode bytes json model_dump_json packb dump max min".split())


def _bare(value: ast.expr) -> ast.expr:
    """A value without the calls that only spell it for the wire."""
    while isinstance(value, ast.Call):
        name = value.func.attr if isinstance(value.func, ast.Attribute) else getattr(value.func, "id", "")
        inner = value.args[0] if value.args else value.func.value if isinstance(value.func, ast.Attribute) else None
        if name not in _SERIALIZERS or inner is None:
            break
        value = inner
    return value


def _is_changed(module: Module, value: ast.expr, read: Access, depth: int) -> bool:
    match value:
        case ast.BinOp() | ast.Dict() | ast.List():
            return depends(module, value, read.result)
        case ast.Name(id=name):
            if _is_mutated(module, value, read):
                return True
            bindings = module.names.reaching(name, value)
            if any(isinstance(binding.node, ast.AugAssign) for binding in bindings):
                return True
            values = [
                binding.value
                for binding in bindings
                if binding.value is not None and depends(module, binding.value, read.result)
            ]
            return depth < 4 and any(_is_changed(module, _bare(inner), read, depth + 1) for inner in values)  # noqa: PLR2004
        case _:
            return False


_MUTATORS: Final = frozenset("append extend insert update add remove pop discard clear setdefault sort popitem".split())


def _is_mutated(module: Module, name: ast.Name, read: Access) -> bool:
    """Whether an object is changed between the read and this use of it: `data["x"] = y`, `data.append(z)`."""
    function = module.function(name)
    for node in module.nodes(ast.Subscript, ast.Attribute, ast.Call):
        match node:
            case ast.Subscript(value=ast.Name(id=base), ctx=ast.Store() | ast.Del()):
                changes = base == name.id
            case ast.Attribute(value=ast.Name(id=base), ctx=ast.Store()):
                changes = base == name.id
            case ast.Call(func=ast.Attribute(value=ast.Name(id=base), attr=attr)):
                changes = base == name.id and attr in _MUTATORS
            case _:
                changes = False
        if (
            changes
            and read.place < (node.lineno, node.col_offset) < (name.lineno, name.col_offset)
            and module.function(node) is function
        ):
            return True
    return False


def _is_claim(read: Access, write: Access, module: Module) -> bool:
    """Whether items are read, acted on and taken off, and nobody looks who took them."""
    if write.command.buffered or not is_dropped(module, write.at):
        return False
    arguments = write.command.call.args[1:]
    if write.name not in _TAKES_OFF_ALL and not any(depends(module, argument, read.result) for argument in arguments):
        return False
    function = module.function(write.at)
    returned = [node.value for node in module.names.returns(function) if node.value is not None] if function is not None else []
    if write.name in _TAKES_OFF_ALL and any(_hands_on(value, read, module) for value in returned):
        return True
    return any(
        is_act(module, call)
        and not is_end(module, call)
        and any(depends(module, argument, read.result) for argument in call.args)
        for call in calls_in(module).get(function, [])
        if call is not write.at and call is not read.at and shares_way(module, call, write.at, read.result)
    )


def _hands_on(value: ast.expr, read: Access, module: Module) -> bool:
    """Whether a function returns what it read, and not only how much that was."""
    counts = isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in {"len", "sum", "bool", "int"}
    return not counts and not _is_verdict(value) and depends(module, value, read.result)


@HAZARD.injects
def inject(module: Module) -> Iterator[Mutant]:
    """Splits `if r.set(key, value, nx=True, ...):` into the question and the write."""
    for node in module.nodes(ast.If):
        match node:
            case ast.If(
                test=ast.UnaryOp(op=ast.Not(), operand=ast.Call() as call), body=[ast.Return() | ast.Raise() as leaving]
            ):
                yield from _split(module, node, call, leaving)
            case _:
                pass


def _split(module: Module, node: ast.If, call: ast.Call, leaving: ast.stmt) -> Iterator[Mutant]:
    command = next(
        (found for found in module.redis_commands if found.call is call and found.only_if_new and found.key is not None), None
    )
    if command is None or command.key is None or command.name != "set":
        return
    indent = " " * node.col_offset
    client = module.segment(command.receiver)
    options = ", ".join(module.segment(argument) for argument in call.args)
    options += "".join(
        f", {keyword.arg}={module.segment(keyword.value)}" for keyword in call.keywords if keyword.arg not in {"nx", None}
    )
    text = f"if {client}.exists({module.segment(command.key)}):\n{indent}    {module.segment(leaving)}\n{indent}{client}.set({options})"
    yield Mutant(node.lineno, "SET NX becomes EXISTS, then SET", edited(module, [replacing(module, node, text)]))


BAD = (
    """
import time
import redis

r = redis.Redis()

def run_once(job_id, job):
    if r.exists(f"lock:{job_id}"):  # expect: redis/check-then-act
        return
    r.set(f"lock:{job_id}", time.time(), ex=60)
    job()

async def claim(pool, order_id, charge):
    key = "paid:%s" % order_id
    if not await redis_client.get(key):  # expect: redis/check-then-act
        await charge(order_id)
        await redis_client.setex(key, 86400, "1")

def acquire(name, seconds):
    end = time.time() + seconds
    while time.time() < end:
        if not r.exists(f"lock:{name}"):  # expect: redis/check-then-act
            r.set(f"lock:{name}", time.time(), ex=30)
            return name

def start(job):
    if r.hget("states", job) == b"pending":  # expect: redis/check-then-act
        r.hset("states", job, "running")
        execute(job)

def enter(name):
    while r.get(f"mutex:{name}"):  # expect: redis/check-then-act
        time.sleep(0.1)
    r.setex(f"mutex:{name}", 30, "held")
    work(name)
""",
    """
import json
from redis import Redis

class Webhooks:
    def __init__(self, client: Redis):
        self.client = client

    def _is_processed(self, event_id):
        return bool(self.client.exists(f"event:{event_id}"))

    def _mark(self, event_id):
        self.client.setex(f"event:{event_id}", 3600, "1")

    def handle(self, event):
        if self._is_processed(event["id"]):  # expect: redis/check-then-act
            return "duplicate"
        self.deliver(event)
        self._mark(event["id"])

    def pay(self, idempotency_key, order):
        cached = self.client.get(f"idempotency:{idempotency_key}")  # expect: redis/check-then-act
        if cached:
            return json.loads(cached)
        receipt = self.bank.charge(order)
        self.client.set(f"idempotency:{idempotency_key}", json.dumps(receipt), ex=86400)
        return receipt

    def crawl(self, url):
        if self.client.sismember("visited", url):  # expect: redis/check-then-act
            return
        self.download(url)
        self.client.sadd("visited", url)
""",
    """
import json
import time
import redis

client = redis.Redis()

def allow(user_id, limit=10):
    key = f"rate:{user_id}"
    if int(client.get(key) or 0) >= limit:  # expect: redis/check-then-act
        return False
    client.incr(key)
    client.expire(key, 60)
    return True

def slide(user_id, limit):
    key = f"window:{user_id}"
    pipe = client.pipeline()
    pipe.zremrangebyscore(key, 0, time.time() - 60)
    pipe.zcard(key)  # expect: redis/check-then-act
    _, count = pipe.execute()
    if count >= limit:
        return False
    client.zadd(key, {str(time.time()): time.time()})
    return True

def buy(item):
    stock = int(client.hget("stock", item))  # expect: redis/check-then-act
    if stock > 0:
        client.hincrby("stock", item, -1)
        ship(item)

def tally(service):
    key = f"daily:{service}"
    if client.get(key) is None:  # expect: redis/check-then-act
        client.set(key, 1, ex=86400)
    else:
        client.incr(key)

def raise_to(key, seen):
    if int(client.get(key) or 0) < seen:  # expect: redis/check-then-act
        client.set(key, seen)

def count(page):
    views = int(client.get(f"views:{page}") or 0)  # expect: redis/check-then-act
    client.set(f"views:{page}", views + 1)

def add_to_cart(user_id, item):
    cart = json.loads(client.get(f"cart:{user_id}") or "[]")  # expect: redis/check-then-act
    cart.append(item)
    client.set(f"cart:{user_id}", json.dumps(cart), ex=3600)
""",
    """
import json
import time
import redis

class RetryQueue:
    def __init__(self, url):
        self.redis = redis.Redis.from_url(url)
        self.queue_key = "payments:retry"

    def process_retries(self):
        due = self.redis.zrangebyscore(self.queue_key, 0, time.time())
        for raw in due:
            payment = json.loads(raw)
            try:
                if self.charge(payment):
                    self.redis.zrem(self.queue_key, raw)  # expect: redis/check-then-act
                else:
                    self.reschedule(payment)
            except Exception:
                self.redis.zrem(self.queue_key, raw)

    def pop_all(self):
        rows = self.redis.lrange("buffer", 0, -1)
        self.redis.delete("buffer")  # expect: redis/check-then-act
        return [json.loads(row) for row in rows]

    def flush(self):
        rows = self.redis.lrange("rows", 0, -1)
        self.store(rows)
        self.redis.delete("rows")  # expect: redis/check-then-act
""",
    """
from django.core.cache import cache
from redis.asyncio import Redis

async def release(redis: Redis, name, token):
    if await redis.get(name) == token:  # expect: redis/check-then-act
        await redis.delete(name)

async def confirm(redis: Redis, phone, code):
    sent = await redis.get(f"otp:{phone}")  # expect: redis/check-then-act
    if sent is None or sent.decode() != code:
        raise ValueError("wrong code")
    await redis.delete(f"otp:{phone}")

def send_reminder(user):
    if cache.get(f"reminded:{user.pk}"):  # expect: redis/check-then-act
        return
    cache.set(f"reminded:{user.pk}", True, 3600)
    user.email_user("Reminder", "Please pay.")
""",
    """
class TaskLock:
    def __enter__(self):
        if self.redis_storage.peek(self.key) is not None:  # expect-later: redis/check-then-act
            raise RuntimeError(self.key)
        self.redis_storage.put(self.key, "1")
""",
)

GOOD = (
    """
import json
import redis

r = redis.Redis()

def price(item):
    key = f"price:{item}"
    cached = r.get(key)
    if cached is not None:
        return json.loads(cached)
    value = compute(item)
    r.set(key, json.dumps(value), ex=300)
    return value

def is_member(user, group):
    key = f"member:{user}:{group}"
    known = r.get(key)
    if known:
        return known == b"1"
    allowed = ask(user, group)
    r.set(key, "1" if allowed else "0", ex=60)
    return allowed

def last_seen(user):
    key = f"seen:{user}"
    known = r.get(key)
    if known is not None:
        return known.decode() or None
    found = ask(user)
    if found is None:
        r.set(key, "", ex=60)
        return None
    r.set(key, found, ex=300)
    return found

def forget(item):
    if r.exists(f"price:{item}"):
        r.delete(f"price:{item}")
""",
    """
import time
import redis

r = redis.Redis()

def run_once(job_id, job):
    if not r.set(f"lock:{job_id}", time.time(), nx=True, ex=60):
        return
    job()

def allow(user_id, limit):
    count = r.incr(f"rate:{user_id}")
    if count == 1:
        r.expire(f"rate:{user_id}", 60)
    return count <= limit

def buy(item):
    if int(r.get(f"stock:{item}") or 0) <= 0:
        return False
    if r.decr(f"stock:{item}") < 0:
        r.incr(f"stock:{item}")
        return False
    return True
""",
    """
import time
import redis

r = redis.Redis()

def work(process):
    for item in r.zrangebyscore("due", 0, time.time()):
        if r.zrem("due", item):
            process(item)

def rebuild(user):
    if r.get(f"built:{user}"):
        return
    r.set(f"built:{user}", time.time(), ex=60)
    lock = UserLock(user)
    if lock.acquire(blocking=False):
        build_tree(user)

def drop(group):
    members = r.smembers(group)
    for member in members:
        r.delete(f"member:{member}")
    r.delete(group)
    return len(members)

def sweep():
    for worker in r.smembers("workers"):
        if not r.exists(f"worker:{worker}"):
            r.srem("workers", worker)

def slide(key, limit):
    pipe = r.pipeline()
    pipe.zremrangebyscore(key, 0, time.time() - 60)
    pipe.zadd(key, {str(time.time()): time.time()})
    pipe.zcard(key)
    return pipe.execute()[-1] <= limit
""",
    """
import json
import redis

r = redis.Redis()

def add_to_cart(user_id, item):
    with r.lock(f"cart-lock:{user_id}", timeout=5):
        cart = json.loads(r.get(f"cart:{user_id}") or "[]")
        cart.append(item)
        r.set(f"cart:{user_id}", json.dumps(cart))

def add_to_list(user_id, item):
    with r.pipeline() as pipe:
        while True:
            try:
                pipe.watch(f"list:{user_id}")
                found = json.loads(pipe.get(f"list:{user_id}") or "[]")
                found.append(item)
                pipe.multi()
                pipe.set(f"list:{user_id}", json.dumps(found))
                pipe.execute()
                return
            except redis.WatchError:
                continue

def bump(key):
    with r.pipeline() as pipe:
        try:
            pipe.watch(key)
            value = int(r.get(key) or 0)
            pipe.multi()
            pipe.set(key, value + 1)
            pipe.execute()
        except redis.WatchError:
            bump(key)

def reserve(order_id):
    if not r.set(f"busy:{order_id}", "1", nx=True, ex=30):
        return
    if r.get(f"state:{order_id}") is None:
        r.set(f"state:{order_id}", "started")
        start(order_id)
""",
    """
import redis
from django.core.cache import cache

def plugins():
    failed = cache.get("catalog-failed")
    if not failed:
        found = fetch_catalog()
        if not found:
            cache.set("catalog-failed", True, 300)
        return found

def refresh(session_id):
    settings = {"redis": 1}
    if settings.get("redis"):
        settings.update(redis=2)

def too_many(client: redis.Redis, user):
    if client.get(f"blocked:{user}"):
        return True
    failures = client.incr(f"failures:{user}")
    if failures >= 5:
        client.set(f"blocked:{user}", 1, ex=900)
    return False
""",
)
