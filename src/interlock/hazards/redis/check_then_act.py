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
from interlock.hazards.redis._flow import Sense, depends, guards, is_act, is_dropped, is_guarded, senses
from interlock.source.edit import edited, replacing
from interlock.source.origin import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.core.finding import Finding
    from interlock.hazards.redis._accesses import Access
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
_TAKES_OFF: Final = frozenset("zrem lrem srem hdel ltrim zremrangebyscore zremrangebyrank delete unlink lpop rpop zpopmin".split())
_TAKES_OFF_ALL: Final = frozenset("ltrim zremrangebyscore zremrangebyrank delete unlink lpop rpop zpopmin".split())
_OF_MEMBERS: Final = frozenset("sadd zadd sismember zscore zrank hexists hget hset hincrby hdel".split())
# Keys whose authors say that what they guard is to happen once.
_GUARDING: Final = re.compile(
    r"(?i)(?<![a-z])(lock|mutex|locked|idempoten\w*|idem|dedup\w*|processed|processing|already|in_?progress|claim(ed)?|once|handled|seen)(?![a-z])"
)


@HAZARD.detects(ast.FunctionDef, ast.AsyncFunctionDef)
def detect(function: Function, module: Module) -> Iterator[Finding]:
    """One finding for each key that a function first reads and then acts on."""
    told = set()
    accesses = accesses_in(module).of(function) if function_has_commands(module, function) else []
    for write in accesses:
        for read in accesses:
            if write.key in told or not _can_be_overtaken(read, write):
                continue
            finding = _pair(read, write, accesses, module)
            if finding is not None and not is_guarded(module, write.at) and not _is_fresh(read, module):
                told.add(write.key)
                yield finding


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
        return HAZARD.finding(module, read.at, f"two clients can both find {key} missing here before either writes it in line {line}: both go on")
    if read.is_cache or write.is_cache:
        return None
    if Sense.ORDERED in found and write.name in _COUNTS | _PUTS and _is_limit(read, write, module):
        message = f"clients that read {key} here at once all pass the test before the {write.name.upper()} in line {line} counts them: the limit leaks"
        return HAZARD.finding(module, read.at, message)
    if _loses_update(read, write, module):
        message = f"{key} is read here and written back in line {line}: of two clients that do so at once, one's change is lost"
        return HAZARD.finding(module, read.at, message)
    owners = [other for sense, other, _ in asked if sense is Sense.EQUAL and other is not None]
    if owners and write.name in _ENDS and read.name in {"get", "hget"} and not isinstance(owners[0], ast.Constant):
        message = f"between this {read.name.upper()} and the {write.name.upper()} in line {line} {key} can expire and be taken by another client, who loses it"
        return HAZARD.finding(module, read.at, message)
    if write.name in _TAKES_OFF and read.name in READS_MANY and _is_claim(read, write, module):
        message = f"two workers read the same items of {key} in line {read.at.lineno} and both act on them: nobody looks whether this {write.name.upper()} took them off"
        return HAZARD.finding(module, write.at, message)
    return None


def _shown(access: Access, module: Module) -> str:
    """The key as the code writes it, short enough for a message."""
    text = " ".join(module.segment(access.command.key).split()) if access.command.key is not None and access.helper is None else access.key
    return f"`{text}`" if len(text) <= 40 else "the key"  # noqa: PLR2004 - the message stays one line.


def _marks(read: Access, write: Access, accesses: list[Access], module: Module) -> bool:
    """Whether the write is a lock or a marker, and no data that is kept for the next reader (cache-aside)."""
    if read.name not in READS_ONE or not _same_member(read, write, module):
        return False
    exits = [guard.exit for guard in guards(module, write.at) if Sense.ABSENT in {sense for sense, _ in senses(module, guard, read)}]
    guarding = _GUARDING.search(f"{write.key} {write.helper.name if write.helper else ''}") is not None
    if _serves_readers(read, accesses, module) and not re.search(r"(?i)idempoten|dedup", write.key):
        return False
    marker = write.name in {"sadd", "zadd", "setbit"} or _is_marker(write, module)
    refuses = any(_refuses(statement) for arm in exits for statement in arm)
    return (guarding or marker or refuses) and (_acts_if_absent(read, write, module) or refuses)


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
    reads = [access for access in accesses if access.meets(read) and access.name in READS_ONE and access.name not in {"exists", "hexists", "sismember"}]
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


def _acts_if_absent(read: Access, write: Access, module: Module) -> bool:
    """Whether something is done, or promised to the caller, because nothing was there."""
    function = module.function(read.at)
    nodes: list[ast.AST] = [call for call in calls_in(module).get(function, []) if call is not write.at and call is not read.at and is_act(module, call)]
    promises = module.names.returns(function) if function is not None else []
    nodes += [node for node in promises if isinstance(node.value, ast.Constant) and node.value.value is not None]
    return any(
        Sense.ABSENT in {sense for guard in guards(module, node) for sense, _ in senses(module, guard, read)}
        for node in nodes
        if getattr(node, "lineno", 0) >= read.place[0]
    )


def _is_limit(read: Access, write: Access, module: Module) -> bool:
    """Whether a count is tested before it is raised, and nobody tests what it was raised to."""
    if write.name in _PUTS and read.name not in READS_COUNT:
        return False
    return _same_member(read, write, module) and not _decides(write, module)


def _decides(write: Access, module: Module) -> bool:
    """Whether the answer of a command is tested below."""
    tests = (node.test for node in module.nodes(ast.If, ast.While, ast.IfExp) if module.function(node) is module.function(write.at))
    return any(depends(module, test, write.result) for test in tests)


def _loses_update(read: Access, write: Access, module: Module) -> bool:
    """Whether what is written is what was read, changed: `r.set(k, int(r.get(k)) + 1)`."""
    value = write.command.value
    if value is None or write.helper is not None or read.name not in {"get", "hget", "hgetall"} or not _same_member(read, write, module):
        return False
    return depends(module, value, read.result) and _is_changed(module, _bare(value), read, 0)


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
            values = [binding.value for binding in bindings if binding.value is not None and depends(module, binding.value, read.result)]
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
        if changes and read.place < (node.lineno, node.col_offset) < (name.lineno, name.col_offset) and module.function(node) is function:
            return True
    return False


def _is_claim(read: Access, write: Access, module: Module) -> bool:
    """Whether items are read, acted on and taken off, and nobody looks who took them."""
    if write.command.buffered or not is_dropped(module, write.at):
        return False
    arguments = write.command.call.args[1:]
    if write.name not in _TAKES_OFF_ALL and not any(depends(module, argument, read.result) for argument in arguments):
        return False
    decided = set(_item_tests(write, read, module))
    return any(
        is_act(module, call) and any(depends(module, argument, read.result) for argument in call.args)
        for call in calls_in(module).get(module.function(write.at), [])
        if call is not write.at and call is not read.at and _is_on_the_way(call, write, decided, module)
    )


def _item_tests(write: Access, read: Access, module: Module) -> Iterator[ast.expr]:
    """The tests on an item that decide whether it is taken off."""
    yield from (guard.test for guard in guards(module, write.at) if depends(module, guard.test, read.result))


def _is_on_the_way(call: ast.Call, write: Access, tests: set[ast.expr], module: Module) -> bool:
    """Whether whoever takes the item off has made this call: the call is in the test itself, or passed the same tests."""
    if not tests:
        return True
    passed = {guard.test for guard in guards(module, call)}
    return tests <= passed or any(call in set(ast.walk(test)) or depends(module, test, call) for test in tests) or False


@HAZARD.injects
def inject(module: Module) -> Iterator[Mutant]:
    """Splits `if r.set(key, value, nx=True, ...):` into the question and the write."""
    for node in module.nodes(ast.If):
        match node:
            case ast.If(test=ast.UnaryOp(op=ast.Not(), operand=ast.Call() as call), body=[ast.Return() | ast.Raise() as leaving]):
                yield from _split(module, node, call, leaving)
            case _:
                pass


def _split(module: Module, node: ast.If, call: ast.Call, leaving: ast.stmt) -> Iterator[Mutant]:
    command = next((found for found in module.redis_commands if found.call is call and found.only_if_new and found.key is not None), None)
    if command is None or command.key is None or command.name != "set":
        return
    indent = " " * node.col_offset
    client = module.segment(command.receiver)
    options = ", ".join(module.segment(argument) for argument in call.args)
    options += "".join(f", {keyword.arg}={module.segment(keyword.value)}" for keyword in call.keywords if keyword.arg not in {"nx", None})
    text = f"if {client}.exists({module.segment(command.key)}):\n{indent}    {module.segment(leaving)}\n{indent}{client}.set({options})"
    yield Mutant(node.lineno, "SET NX becomes EXISTS, then SET", edited(module, [replacing(module, node, text)]))


BAD = ()

GOOD = ()
