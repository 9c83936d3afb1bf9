"""Locks and markers: keys that are written to keep others away, and not for what they hold."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Final

from interlock.core.pattern import pattern
from interlock.hazards.redis._accesses import COUNTS, READS_ONE, calls_in
from interlock.hazards.redis._acts import is_act
from interlock.hazards.redis._flow import Sense, depends, guards, senses
from interlock.hazards.redis._locks import takes_lock
from interlock.hazards.redis._values import same_member
from interlock.source.origin import Kind

if TYPE_CHECKING:
    from interlock.hazards.redis._accesses import Access
    from interlock.source.module import Module

_GUARDING: Final = pattern(
    r"(?i)(?<![a-z])(lock|mutex|locked|idempoten\w*|idem|dedup\w*|processed|processing|already|in_?progress|claim(ed)?|once|handled|seen)(?![a-z])"
)


def marks(read: Access, write: Access, accesses: list[Access], module: Module) -> bool:
    """Whether the write is a lock or a marker, and no data that is kept for the next reader (cache-aside)."""
    if read.name not in READS_ONE or not same_member(read, write, module):
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
    counts = any(access.name in COUNTS and access.meets(write) for access in accesses)
    return (guarding or marker or refuses) and (refuses or counts or acts_if(Sense.ABSENT, read, write, module))


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
    return any(depends(module, value, access.result) and not is_verdict(value) for value in values for access in reads)


def is_verdict(value: ast.expr) -> bool:
    """Whether an expression only says yes or no."""
    match value:
        case ast.Compare() | ast.UnaryOp(op=ast.Not()) | ast.Constant():
            return True
        case ast.Call(func=ast.Name(id="bool")):
            return True
        case ast.BoolOp(values=values):
            return all(is_verdict(inner) for inner in values)
        case ast.IfExp(body=body, orelse=orelse):
            return is_verdict(body) and is_verdict(orelse)
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


def acts_if(sense: Sense, read: Access, write: Access, module: Module) -> bool:
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
