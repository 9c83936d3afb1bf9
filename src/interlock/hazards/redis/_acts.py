"""Which calls do something that must not be done twice, and which answers nobody looks at."""

from __future__ import annotations

import ast
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from interlock.core.pattern import pattern
from interlock.hazards.redis._accesses import NEUTRAL, READS, accesses_in

if TYPE_CHECKING:
    from interlock.source.module import Module

# Calls that only look: what they do twice harms nobody.
_LOOKS: Final = pattern(
    r"^_*(is|has|get|fetch|load|find|exists|read|parse|lookup|decode|encode|loads|dumps|should|can|format|build|make_key|key|debug|info"
    r"|warning|warn|error|exception|critical|log|print|len|int|str|float|bool|bytes|list|dict|set|tuple|sorted|round|min|max|sum|abs"
    r"|isinstance|hasattr|getattr|range|zip|enumerate|map|filter|any|all|join|split|strip|lower|upper|replace|append|extend|add|update"
    r"|items|values|keys|copy|time|now|utcnow|timestamp|isoformat|total_seconds|uuid4|sleep|startswith|endswith|hexdigest|sha256|md5"
    r"|as|to|\w+_(to|from)_\w+|select|where|filter_by|first|scalar|one|monotonic|pop|hex|next|iter|repr|type|super|raise_for_status|model_validate|from)(_\w+)?$"
    r"|_(key|keys|id|ids|name|names|path|url|hash|value|values|prefix)$"
)
_ENDS: Final = frozenset("delete unlink srem zrem lrem hdel zremrangebyscore zremrangebyrank".split())
_PUTS_AWAY: Final = pattern(
    r"^_*(a|async_)?(delete|remove|(un|de)register|unlink|purge|clear|clean|cleanup|forget|discard|evict)(_\w+)?$"
)


def is_dropped(module: Module, expr: ast.expr) -> bool:
    """Whether nobody looks at the answer of a call: a statement of its own, or a variable that is never read."""
    below: ast.AST = expr
    around = module.parent(expr)
    while isinstance(around, ast.Await):
        below, around = around, module.parent(around)
    match around:
        case ast.Expr():
            return True
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)) if around.value is below:
            return not _is_read(module, name, around)
        case _:
            return False


def _is_read(module: Module, name: str, binder: ast.AST) -> bool:
    scope = module.scope(binder)
    uses = (
        node for node in ast.walk(scope) if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)
    )
    return any(found.node is binder for use in uses for found in module.names.reaching(name, use))


def is_act(module: Module, call: ast.Call) -> bool:
    """Whether a call does something that must not be done twice, as far as its name and what is known of it tell."""
    name = _called(call)
    command = _commands_by_call(module).get(call)
    if command is not None:
        return command not in READS and command not in NEUTRAL
    return bool(name) and not _LOOKS.search(name) and not name[:1].isupper()


def is_end(module: Module, call: ast.Call) -> bool:
    """Whether a call only ends something, which can be done twice: ZREM, `remove(item)`."""
    command = _commands_by_call(module).get(call)
    return command in _ENDS if command is not None else ends_only(_called(call))


def ends_only(name: str) -> bool:
    """Whether a function by its name does no more than to put something out of the way."""
    return bool(_PUTS_AWAY.match(name))


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


@lru_cache(maxsize=1)
def _commands_by_call(module: Module) -> dict[ast.Call, str]:
    return {command.call: command.name for commands in accesses_in(module).commands.values() for command in commands}
