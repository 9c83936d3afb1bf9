"""Items that are read, worked on and taken off, by several workers at once, in a function or in the helper that gets the item.

`sum(self._process(item) for item in due)`, `map(process, due)` and `pool.submit(process, item)` hand an item on: there, the
parameter stands for it.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from interlock.hazards.redis._accesses import READS_MANY, accesses_in, calls_in, frame_of, given_to, parameters
from interlock.hazards.redis._acts import ends_only, is_act, is_dropped, is_end
from interlock.hazards.redis._flow import depends, shares_way
from interlock.hazards.redis._locks import is_guarded
from interlock.hazards.redis._markers import is_verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.hazards.redis._accesses import Access
    from interlock.source.module import Function, Module

_HANDED_ON_MOST: Final = (
    2  # From the worker's loop to the helper that works, and from there to the one that takes the item off.
)
_TAKES_OFF_ALL: Final = frozenset("ltrim zremrangebyscore zremrangebyrank delete unlink lpop rpop zpopmin".split())
_TAKES_OFF: Final = _TAKES_OFF_ALL | {"zrem", "lrem", "srem", "hdel"}


@dataclass(frozen=True, slots=True)
class _Place:
    """A function that works on items."""

    function: Function
    items: ast.AST  # what stands for them there: the answer of the read, or a parameter
    frame: dict[str, str]  # how its parameters are spelled by the call that handed the items on
    call: ast.Call | None = None  # that call
    outer: _Place | None = None  # and where it is made


def unclaimed(read: Access, function: Function, module: Module) -> Access | None:
    """The command that takes off what was read and worked on, without a look at who took it; None if all is well."""
    return next(_claims(read, function, module), None) if read.name in READS_MANY else None


def _claims(read: Access, function: Function, module: Module) -> Iterator[Access]:
    for place in _places(_Place(function, read.result, {}), module, {function}):
        takes = [
            access
            for access in accesses_in(module).of(place.function, place.frame)
            if access.name in (_TAKES_OFF if access.helper is None else _TAKES_OFF_ALL)
            and access.meets(read)
            and (access.helper is None or place.outer is None)
            and _is_below(access, read, place)
        ]
        if place.call is not None and is_guarded(module, place.call):
            continue
        if not any(_decides(take, place, module) for take in takes):
            yield from (take for take in takes if _is_claim(take, place, module) and not is_guarded(module, take.at))


def _places(place: _Place, module: Module, seen: set[Function], depth: int = 0) -> Iterator[_Place]:
    """A function and the helpers to which it hands the items, or one of them."""
    yield place
    for call in calls_in(module).get(place.function, []) if depth < _HANDED_ON_MOST else ():
        for helper, parameter, frame in _handed_on(call, place, module):
            if helper not in seen:
                inner = _Place(helper, parameter, frame, call, place)
                yield from _places(inner, module, seen | {helper}, depth + 1)


def _handed_on(call: ast.Call, place: _Place, module: Module) -> Iterator[tuple[Function, ast.arg, dict[str, str]]]:
    """The function that gets the items by a call, as its own argument or by way of `map` and the like, and its parameter."""
    helpers = [(call.func, call.args)] + [(argument, call.args[index + 1 :]) for index, argument in enumerate(call.args[:2])]
    for func, given in helpers:
        helper = module.names.referred(func)
        if helper is None or not given:
            continue
        for parameter, value in zip(parameters(helper), given, strict=False):
            if depends(module, value, place.items):
                yield helper, parameter, frame_of(module, given_to(helper, list(given), call.keywords), place.frame)
                break


def _is_below(access: Access, read: Access, place: _Place) -> bool:
    return place.outer is not None or (read.place < access.place and not read.in_one_batch_with(access))


def _is_claim(take: Access, place: _Place, module: Module) -> bool:
    if take.command.buffered or not _is_unread(take.at, place, module):
        return False
    all_at_once = take.name in _TAKES_OFF_ALL and place.outer is None
    if not all_at_once and not any(depends(module, argument, place.items) for argument in take.command.call.args[1:]):
        return False
    if all_at_once and any(
        node.value is not None and _hands_back(node.value, place.items, module) for node in module.names.returns(place.function)
    ):
        return True
    return _is_worked_on(take.at, place, module)


def _is_worked_on(node: ast.Call, place: _Place, module: Module) -> bool:
    """Whether something is done with the items on the way to a call, or further out, where they come from."""
    around = {node, *module.ancestors(node)}
    acts = (
        call
        for call in calls_in(module).get(place.function, [])
        if call not in around
        and call is not place.items
        and not ends_only(place.function.name)
        and is_act(module, call)
        and not is_end(module, call)
        and any(depends(module, argument, place.items) for argument in call.args)
    )
    if any(shares_way(module, call, node, place.items) for call in acts):
        return True
    return place.outer is not None and place.call is not None and _is_worked_on(place.call, place.outer, module)


def _decides(take: Access, place: _Place, module: Module) -> bool:
    """Whether somebody looks who took one item off: then that is the claim, and other removals only clean up."""
    names_item = any(depends(module, argument, place.items) for argument in take.command.call.args[1:])
    return names_item and not take.command.buffered and not _is_unread(take.at, place, module)


def _is_unread(call: ast.Call, place: _Place, module: Module) -> bool:
    """Whether nobody looks at the answer of a call, here or where this function returns it."""
    if is_dropped(module, call):
        return True
    is_returned = isinstance(module.parent(call), ast.Return)
    return is_returned and place.outer is not None and place.call is not None and _is_unread(place.call, place.outer, module)


def _hands_back(value: ast.expr, items: ast.AST, module: Module) -> bool:
    """Whether a function returns what it read, and not only how much that was."""
    counts = isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in {"len", "sum", "bool", "int"}
    return not counts and not is_verdict(value) and depends(module, value, items)
