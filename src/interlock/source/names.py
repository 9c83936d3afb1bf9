"""What a name means: an import, a parameter, a value that was assigned, a definition.

Bindings are collected once per scope. `reaching` answers the question that value origins ask: which of a name's bindings can
a given use see? It reads the nesting of statements instead of a control-flow graph: an assignment in a block around the use
ends the search, one in a branch beside it is a possibility.
"""

from __future__ import annotations

import ast
import builtins
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from interlock.source.module import FUNCTIONS, LOOPS, SCOPES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from interlock.source.module import Function, Module, Scope

_BUILTINS = frozenset(dir(builtins))


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """One way in which a name gets its meaning."""

    node: ast.AST  # the statement or parameter that binds
    value: ast.expr | None = None  # what is assigned; None where it cannot be told (loop variables, unpacking)
    dotted: str = ""  # the full name, for an import
    annotation: ast.expr | None = None

    @property
    def is_parameter(self) -> bool:
        """Whether the caller gives the value."""
        return isinstance(self.node, ast.arg)


class _Use:
    """Where a name is used. Asked about every binding of the name, so that no answer may climb the tree from its foot again."""

    def __init__(self, at: ast.AST, module: Module) -> None:
        self._module = module
        self._at = at
        self.below: dict[ast.AST, ast.AST] = {}  # for each node around the use, the node below it on the way to the use
        for around in module.ancestors(at):
            self.below[around] = at
            at = around
        self.loops = {around for around in self.below if isinstance(around, LOOPS)}
        self._meetings: dict[ast.AST, tuple[ast.AST, ast.AST]] = {}
        self._arms: dict[ast.AST, str] = {}

    def is_in(self, value: ast.expr | None) -> bool:
        """Whether the use is part of an assignment's own right-hand side."""
        return value is not None and (value is self._at or value in self.below)

    def is_beside(self, binder: ast.AST) -> bool:
        """Whether the binding and the use stand in the two arms of one `if`, so that one run takes only one of them."""
        meeting, below = self._meeting(binder)
        arms = {self.arm(meeting), _field(meeting, below)} if isinstance(meeting, ast.If) else set[str]()
        return arms == {"body", "orelse"}

    def arm(self, block: ast.AST) -> str:
        """The field of a node around the use in which the use stands."""
        if block not in self._arms:
            self._arms[block] = _field(block, self.below[block])
        return self._arms[block]

    def loops_with(self, binder: ast.AST) -> set[ast.AST]:
        """The loops around both the use and a binding."""
        meeting, _ = self._meeting(binder)
        return {loop for loop in self.loops if loop is meeting or loop in self._module.ancestors(meeting)}

    def _meeting(self, node: ast.AST) -> tuple[ast.AST, ast.AST]:
        """The innermost node around both the use and another node, and the node below it on the way to the other."""
        climbed: list[ast.AST] = []
        below = node
        for around in self._module.ancestors(node):
            if around in self.below or below in self._meetings:
                break
            climbed.append(below)
            below = around
        else:
            around = self._module.tree
        found = self._meetings.get(below, (around, below))
        self._meetings.update(dict.fromkeys([*climbed, below], found))
        return found


class Names:
    """The names of one module."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._scopes: dict[Scope, dict[str, list[Binding]]] = {}
        self._looped: dict[int, tuple[list[Binding], list[tuple[Binding, ast.comprehension]]]] = {}
        for node in module.nodes(*_BINDERS):
            for name, binding in _bindings_of(node):
                self._add(self._binding_scope(node, name), name, binding)
        for bindings in self._scopes.values():
            for found in bindings.values():
                found.sort(key=lambda binding: _position(binding.node))

    def _add(self, scope: Scope, name: str, binding: Binding) -> None:
        self._scopes.setdefault(scope, {}).setdefault(name, []).append(binding)

    def _binding_scope(self, node: ast.AST, name: str) -> Scope:
        if isinstance(node, ast.arg):
            return next(around for around in self._module.ancestors(node) if isinstance(around, SCOPES))
        scope = self._module.scope(node)
        return self._module.tree if name in self._globals.get(scope, ()) else scope

    @cached_property
    def _globals(self) -> dict[Scope, list[str]]:
        """The names that each scope declares `global`."""
        declared: dict[Scope, list[str]] = {}
        for node in self._module.nodes(ast.Global):
            declared.setdefault(self._module.scope(node), []).extend(node.names)
        return declared

    def own(self, scope: Scope) -> dict[str, list[Binding]]:
        """The bindings made in one scope itself, by name, in source order."""
        return self._scopes.get(scope, {})

    def lookup(self, name: str, at: ast.AST) -> list[Binding]:
        """All bindings of a name in the scope that a use of it sees; empty for builtins and unknown names."""
        scope = self._module.scope(at)
        bindings = self.own(scope)
        while name not in bindings and not isinstance(scope, ast.Module):
            scope = self._module.scope(scope)
            bindings = {} if isinstance(scope, ast.ClassDef) else self.own(scope)
        return bindings.get(name, [])

    def reaching(self, name: str, at: ast.AST) -> list[Binding]:
        """The bindings of a name that a use at this node can see, nearest first."""
        bindings = self.lookup(name, at)
        looped = self._in_comprehensions(bindings)
        if looped:
            inner = self._innermost(looped, at)
            if inner is not None:
                return [inner]
            bindings = [binding for binding in bindings if all(binding is not other for other, _ in looped)]
        if not bindings or not self._same_run(bindings[0], at):
            return list(reversed(bindings))
        use = _Use(at, self._module)
        here = _position(at)
        seen: list[Binding] = []
        above = bisect_left(bindings, here, key=lambda binding: _position(binding.node))
        for binding in (bindings[index] for index in range(above - 1, -1, -1)):
            if use.is_in(binding.value):
                continue
            if not use.is_beside(binding.node):
                seen.append(binding)
            if binding.is_parameter or self._dominates(binding.node, use):
                return seen + self._turned_round(bindings, seen, use, use.loops - use.loops_with(binding.node))
        return seen + self._turned_round(bindings, seen, use, use.loops)

    def _turned_round(
        self, bindings: list[Binding], seen: list[Binding], use: _Use, loops: AbstractSet[ast.AST]
    ) -> list[Binding]:
        """The bindings further down that reach a use on the next turn of one of these loops."""
        if not loops:
            return []
        known = set(seen)
        return [found for found in bindings if found not in known and not loops.isdisjoint(use.loops_with(found.node))]

    def _innermost(self, looped: list[tuple[Binding, ast.comprehension]], at: ast.AST) -> Binding | None:
        """The variable of the innermost comprehension around a use that binds the name, unless the use is what it runs over."""
        around = list(self._module.ancestors(at))
        for inner in around:
            for binding, comprehension in looped:
                is_here = self._module.parent(comprehension) is inner
                if is_here and comprehension.iter is not at and comprehension.iter not in around:
                    return binding
        return None

    def _in_comprehensions(self, bindings: list[Binding]) -> list[tuple[Binding, ast.comprehension]]:
        """Likewise, worked out once for each name of a scope, whose list of bindings stays the same."""
        key = id(bindings)
        if key not in self._looped:
            self._looped[key] = (bindings, self._comprehended(bindings))
        return self._looped[key][1]

    def _comprehended(self, bindings: list[Binding]) -> list[tuple[Binding, ast.comprehension]]:
        """Those of the bindings that are the variable of a comprehension, which nothing outside it sees."""
        found: list[tuple[Binding, ast.comprehension]] = []
        for binding in bindings:
            around: ast.AST | None = binding.node
            while isinstance(around, (ast.Name, ast.Tuple, ast.List, ast.Starred)):
                around = self._module.parent(around)
            if isinstance(around, ast.comprehension) and isinstance(binding.node, ast.expr):
                found.append((binding, around))
        return found

    def _same_run(self, binding: Binding, at: ast.AST) -> bool:
        owner = binding.node if isinstance(binding.node, ast.arg) else None
        scope = self._binding_scope(owner, "") if owner else self._module.scope(binding.node)
        return scope is self._module.scope(at)

    def _within(self, at: ast.AST, binding: Binding) -> bool:
        """Whether the use is part of the binding's own right-hand side."""
        return binding.value is not None and (at is binding.value or binding.value in self._module.ancestors(at))

    def _dominates(self, binder: ast.AST, use: _Use) -> bool:
        """Whether every way to the use passes the binding: its block is around the use."""
        statement = self._module.statement(binder)
        if statement is None:
            return False
        block = self._module.parent(statement)
        while block not in use.below and isinstance(block, ast.stmt) and self._always_runs(block, statement):
            statement, block = block, self._module.parent(block)
        return block is not None and block in use.below and self._same_arm(block, statement, use)

    def _always_runs(self, block: ast.stmt, statement: ast.stmt) -> bool:
        """Whether whoever comes out below the block has run the statement in it: `with`, and `try` whose handlers leave."""
        if isinstance(block, ast.Try):
            return statement in block.body and all(leaves(handler.body) for handler in block.handlers)
        return isinstance(block, (ast.With, ast.AsyncWith))

    def _same_arm(self, block: ast.AST, statement: ast.stmt, use: _Use) -> bool:
        """Whether the statement is in the same arm (body, orelse, handler) of the block as the use."""
        if isinstance(block, SCOPES):
            return True
        arm, used = _field(block, statement), use.arm(block)
        return arm == used or (isinstance(block, ast.Try) and arm == "body" and used in {"orelse", "finalbody"})

    def arm(self, block: ast.AST, node: ast.AST) -> str:
        """The field of a compound statement in which a node below it stands, for example `orelse`."""
        below = node
        for around in self._module.ancestors(node):
            if around is block:
                break
            below = around
        return _field(block, below)

    def dotted(self, expr: ast.AST) -> str:
        """The full name of an expression through imports and aliases; empty if it has none.

        `uuid4` after `from uuid import uuid4` is `uuid.uuid4`. What the module defines itself begins with a dot.
        """
        match expr:
            case ast.Name():
                return self._dotted_name(expr)
            case ast.Attribute():
                base = self.dotted(expr.value)
                return f"{base}.{expr.attr}" if base else ""
            case _:
                return ""

    def _dotted_name(self, expr: ast.Name) -> str:
        bindings = self.lookup(expr.id, expr)
        if not bindings:
            return expr.id if expr.id in _BUILTINS else ""
        for binding in bindings:
            if binding.dotted:
                return binding.dotted
        first = bindings[0]
        if isinstance(first.node, (*FUNCTIONS, ast.ClassDef)):
            return "." + self._module.symbol(first.node)
        if len(bindings) == 1 and isinstance(first.value, (ast.Name, ast.Attribute)) and not self._within(expr, first):
            return self.dotted(first.value)
        return ""

    def definition(self, call: ast.Call) -> Function | None:
        """The function of this module that a call runs: a plain name, or `self.method` looked up through local bases."""
        return self.referred(call.func)

    def referred(self, expr: ast.expr) -> Function | None:
        """The function of this module that an expression stands for, called or handed on: `map(self.method, items)`."""
        match expr:
            case ast.Name(id=name):
                found = [binding.node for binding in self.lookup(name, expr)]
                return found[-1] if found and isinstance(found[-1], FUNCTIONS) else None
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name):
                owner = self._module.enclosing(expr, ast.ClassDef)
                return self.method(owner, name) if owner else None
            case ast.Attribute(value=ast.Name(id=owner_name), attr=name):
                owners = [binding.node for binding in self.lookup(owner_name, expr)]
                return self.method(owners[-1], name) if owners and isinstance(owners[-1], ast.ClassDef) else None
            case _:
                return None

    def method(self, owner: ast.ClassDef, name: str) -> Function | None:
        """A method of a class of this module, or of the bases that are in this module too."""
        for cls in self.lineage(owner):
            found = [binding.node for binding in self.own(cls).get(name, [])]
            if found and isinstance(found[-1], FUNCTIONS):
                return found[-1]
        return None

    def attributes(self, owner: ast.ClassDef) -> dict[str, list[ast.expr]]:
        """What the methods of a class and its local bases assign to attributes of `self`, by attribute, in source order."""
        found: dict[str, list[ast.expr]] = {}
        for cls in self.lineage(owner):
            for attr, value in self._attributes.get(cls, ()):
                found.setdefault(attr, []).append(value)
        return found

    @cached_property
    def _attributes(self) -> dict[ast.ClassDef, list[tuple[str, ast.expr]]]:
        found: dict[ast.ClassDef, list[tuple[str, ast.expr]]] = {}
        for node in self._module.nodes(ast.Assign, ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                match target:
                    case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=attr) if node.value is not None:
                        owner = self._module.enclosing(node, ast.ClassDef)
                        if owner is not None:
                            found.setdefault(owner, []).append((attr, node.value))
                    case _:
                        pass
        return found

    def returns(self, function: Function) -> list[ast.Return]:
        """The return statements of a function itself, without those of functions inside it."""
        return self._returns.get(function, [])

    @cached_property
    def _returns(self) -> dict[Scope, list[ast.Return]]:
        found: dict[Scope, list[ast.Return]] = {}
        for node in self._module.nodes(ast.Return):
            found.setdefault(self._module.scope(node), []).append(node)
        return found

    def lineage(self, owner: ast.ClassDef) -> Iterator[ast.ClassDef]:
        """A class and those of its bases that this module defines, nearest first."""
        seen: set[ast.ClassDef] = set()
        waiting = [owner]
        while waiting:
            cls = waiting.pop(0)
            if cls in seen:
                continue
            seen.add(cls)
            yield cls
            for base in cls.bases:
                bindings = self.lookup(base.id, cls) if isinstance(base, ast.Name) else []
                waiting += [binding.node for binding in bindings if isinstance(binding.node, ast.ClassDef)]

    def ancestry(self, owner: ast.ClassDef) -> set[str]:
        """The full names of all bases of a class that can be seen from this module."""
        return {name for cls in self.lineage(owner) for base in cls.bases if (name := self.dotted(_bare(base)))}

    def decorators(self, definition: Function | ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
        """The full name and the expression of each decorator of a definition."""
        for decorator in definition.decorator_list:
            yield self.dotted(decorator.func if isinstance(decorator, ast.Call) else decorator), decorator


def leaves(body: list[ast.stmt]) -> bool:
    """Whether control never comes out below these statements, as far as the last of them tells."""
    match body[-1] if body else None:
        case ast.Return() | ast.Raise() | ast.Continue() | ast.Break():
            return True
        case ast.If(body=then, orelse=otherwise):
            return leaves(then) and leaves(otherwise)
        case ast.With(body=inner) | ast.AsyncWith(body=inner):
            return leaves(inner)
        case _:
            return False


def _bare(base: ast.expr) -> ast.expr:
    """A base class without its type arguments."""
    return base.value if isinstance(base, ast.Subscript) else base


def _field(block: ast.AST, below: ast.AST) -> str:
    """The field of a node in which a child of it stands."""
    for field, value in ast.iter_fields(block):
        if below is value or (isinstance(value, list) and below in value):
            return field
    return ""


def _position(node: ast.AST) -> tuple[int, int]:
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


_BINDERS: tuple[type[ast.AST], ...] = (
    ast.Import,
    ast.ImportFrom,
    ast.arg,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Assign,
    ast.AnnAssign,
    ast.AugAssign,
    ast.NamedExpr,
    ast.For,
    ast.AsyncFor,
    ast.comprehension,
    ast.withitem,
    ast.ExceptHandler,
)


def _bindings_of(node: ast.AST) -> Iterator[tuple[str, Binding]]:
    """The names that one node binds."""
    match node:
        case ast.Import():
            for alias in node.names:
                root = alias.name.partition(".")[0]
                yield alias.asname or root, Binding(node, dotted=alias.name if alias.asname else root)
        case ast.ImportFrom():
            source = "." * node.level + (node.module or "")
            for alias in node.names:
                joined = source + alias.name if source.endswith(".") else f"{source}.{alias.name}"
                yield alias.asname or alias.name, Binding(node, dotted=joined)
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield node.name, Binding(node)
        case ast.arg():
            yield node.arg, Binding(node, annotation=node.annotation)
        case ast.ExceptHandler(name=str(name)):
            yield name, Binding(node)
        case _:
            yield from _assigned_names(node)


def _assigned_names(node: ast.AST) -> Iterator[tuple[str, Binding]]:
    match node:
        case ast.Assign():
            for target in node.targets:
                yield from _unpacked(target, Binding(node, value=node.value))
        case ast.AnnAssign() if node.value is not None:
            yield from _unpacked(node.target, Binding(node, value=node.value, annotation=node.annotation))
        case ast.AnnAssign():
            yield from _unpacked(node.target, Binding(node, annotation=node.annotation))
        case ast.NamedExpr():
            yield node.target.id, Binding(node, value=node.value)
        case ast.AugAssign(target=ast.Name(id=name)):
            yield name, Binding(node)
        case ast.For() | ast.AsyncFor() | ast.comprehension():
            yield from _unpacked(node.target, Binding(node.target))
        case ast.withitem(optional_vars=ast.expr() as target):
            yield from _unpacked(target, Binding(target, value=node.context_expr))
        case _:
            pass


def _unpacked(target: ast.expr, binding: Binding) -> Iterator[tuple[str, Binding]]:
    """The names in an assignment's target. Elements of a tuple on both sides are matched one to one."""
    match target, binding.value:
        case ast.Name(id=name), _:
            yield name, binding
        case ast.Starred(value=inner), _:
            yield from _unpacked(inner, Binding(binding.node))
        case ((ast.Tuple(elts=targets) | ast.List(elts=targets)), (ast.Tuple(elts=values) | ast.List(elts=values))) if len(
            targets
        ) == len(values):
            for inner, value in zip(targets, values, strict=True):
                yield from _unpacked(inner, Binding(binding.node, value=value))
        case ((ast.Tuple(elts=targets) | ast.List(elts=targets)), _):
            for inner in targets:
                yield from _unpacked(inner, Binding(binding.node))
        case _:
            pass
