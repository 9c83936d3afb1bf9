"""Which code is which: the features that a team declares, and whether a change touches one.

[[feature]]
name = "payments"
tier = 1
paths = ["shop/payments/**"]
symbols = ["shop.checkout.complete_order"]
routes = ["/checkout"]
metrics = ["shop_orders_completed_total"]
tests = ["tests/payments/**"]
on_call = "the payments team, #payments-oncall"
pagers = ["pagerduty-payments"]

[feature.readiness]             # see readiness.py
rollback = "..."
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from interlock.check.inspect import decoded
from interlock.core.globs import matches
from interlock.core.settings import Document, strict, tables
from interlock.gate.readiness import NOTHING_SAID, Readiness
from interlock.source.module import is_test_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.gate.change import Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """Something that users rely on, and the code that it is."""

    name: str
    tier: int  # 1 is what must never fail
    paths: tuple[str, ...] = ()  # globs: `*` stays in a folder, `**` does not
    symbols: tuple[str, ...] = ()  # dotted names of functions, classes and modules
    routes: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()  # globs of the test code that guards it
    contracts: tuple[str, ...] = ()  # files for `interlock prove`, or FILE::CONTRACT
    on_call: str = ""  # who is woken, or asked, when it breaks: for people
    pagers: tuple[str, ...] = ()  # the receivers of Alertmanager that wake them; `*` stands for anything
    readiness: Readiness = NOTHING_SAID

    @classmethod
    def all_of(cls, document: Document) -> tuple[Feature, ...]:
        """The features of a project. Raises UsageError if one is not declared right."""
        features = tuple(cls._of(document, table) for table in tables(document, "feature"))
        for feature in features:
            if feature.tier not in {1, 2, 3}:
                raise document.fail("tier", f"tier of feature {feature.name!r} is {feature.tier}; expected 1, 2 or 3")
            if not (feature.paths or feature.symbols or feature.routes or feature.metrics):
                raise document.fail("feature", f"feature {feature.name!r} names no paths, symbols, routes or metrics")
            if sum(other.name == feature.name for other in features) > 1:
                raise document.fail("name", f"feature {feature.name!r} is declared more than once")
        return features

    @classmethod
    def _of(cls, document: Document, table: object) -> Feature:
        """One feature, with its table of readiness."""
        if not isinstance(table, dict):
            return strict(document, cls, table, "feature")
        values = cast("dict[str, object]", table)
        readiness = strict(document, Readiness, values.get("readiness", {}), "readiness")
        plain = {key: value for key, value in values.items() if key != "readiness"}
        return replace(strict(document, cls, plain, "feature"), readiness=readiness)

    def astray(self, files: list[str]) -> Iterator[str]:
        """What the declaration names that is not among the files of the base: a slip, most likely, and so it guards nothing."""
        for what, globs in (("paths", self.paths), ("tests", self.tests)):
            lost = [glob for glob in globs if not any(matches(path, glob) for path in files)]
            yield from (f"{self.name}: no file of the base is in its {what} ({glob})" for glob in lost)
        modules = {module for path in files if path.endswith(".py") for module in module_names(path)}
        for symbol in self.symbols:
            if not any(symbol == module or symbol.startswith(module + ".") for module in modules):
                yield f"{self.name}: no module of the base holds its symbol {symbol}"

    def touched_by(self, change: Change) -> Iterator[str]:
        """Why the change touches this feature, a reason each; nothing if it does not."""
        for path in change.paths:
            yield from (f"{path} is in its paths ({glob})" for glob in self.paths if matches(path, glob))
            yield from (f"{path} is one of its tests ({glob})" for glob in self.tests if matches(path, glob))
            held = [must for must in change.must_tests if must.path == path and must.feature == self.name]
            yield from (f"{path} holds {must.id.partition('::')[2]}, which must exist for it" for must in held)
        for block in change.blocks:
            yield from self.reasons_in(block)

    def reasons_in(self, block: Block) -> Iterator[str]:
        """Why a changed piece of a file belongs to the feature."""
        for symbol in self.symbols:
            if is_symbol(symbol, block):
                yield f"{block.place} changes {symbol}"
        for route in self.routes:
            if route.strip("/") in block.routes:
                yield f"{block.place} serves {route}"
        for metric in self.metrics:
            mentioned = metric in block.texts or not block.metrics(metric).isdisjoint(block.names)
            if mentioned and not is_test_path(block.path):
                yield f"{block.place} counts {metric}"


@dataclass(frozen=True)
class Block:
    """A changed function, class or statement at the top of a file, or a changed method."""

    path: str
    line: int
    symbol: str  # dotted, within the file; empty for a plain statement
    texts: frozenset[str]  # the text constants in it
    routes: frozenset[str]  # the routes that it serves, without slashes around them
    names: frozenset[str]  # the names it reads
    definers: dict[str, frozenset[str]]  # metric -> names that stand for it in the project

    @property
    def place(self) -> str:
        """`path:line`."""
        return f"{self.path}:{self.line}"

    def metrics(self, metric: str) -> frozenset[str]:
        """The names that stand for a metric."""
        return self.definers.get(metric, frozenset())


_REGISTER = frozenset(
    {"path", "re_path", "url", "add_url_rule", "add_route", "add_api_route", "Route", "Mount", "add_get", "add_post"}
)


def module_names(path: str) -> set[str]:
    """The dotted names under which a file may be imported: from the top, or from `src`."""
    module = re.sub(r"(/__init__)?\.pyw?$", "", path).replace("/", ".")
    return {module, module.removeprefix("src.")}


def is_symbol(symbol: str, block: Block) -> bool:
    """Whether a declared dotted name is this block, is around it, or is in it."""
    full = {f"{name}.{block.symbol}".rstrip(".") for name in module_names(block.path)}
    return any(
        name == symbol or name.startswith(symbol + ".") or (symbol.startswith(name + ".") and block.symbol) for name in full
    )


def change_blocks(change: Change) -> list[Block]:
    """The pieces of Python files that the change adds to, alters or removes."""
    definers = _definers(change)
    before, after = change.sources
    found: list[Block] = []
    for path, (gone, fresh) in change.lines.items():
        found += _blocks(path, after.get(path, b""), fresh, definers)
        found += _blocks(path, before.get(path, b""), gone, definers)
    return found


def _blocks(path: str, content: bytes, lines: set[int], definers: dict[str, frozenset[str]]) -> Iterator[Block]:
    for symbol, node, last in _pieces(parsed(content).body, ""):
        first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
        if not lines.isdisjoint(range(first, last + 1)):
            texts = frozenset(_texts(node))
            names = frozenset(item.id for item in ast.walk(node) if isinstance(item, ast.Name))
            attributes = frozenset(item.attr for item in ast.walk(node) if isinstance(item, ast.Attribute))
            yield Block(path, node.lineno, symbol, texts, frozenset(_routes(node)), names | attributes, definers)


def _texts(node: ast.AST) -> Iterator[str]:
    """The text constants below a node."""
    yield from (item.value for item in ast.walk(node) if isinstance(item, ast.Constant) and isinstance(item.value, str))


def _routes(node: ast.stmt) -> Iterator[str]:
    """The routes that a statement serves: those in its decorators, and those that it registers."""
    registering = [item for item in ast.walk(node) if isinstance(item, ast.Call) and _called(item) in _REGISTER]
    for place in (*getattr(node, "decorator_list", []), *registering):
        yield from (text.strip("/^$") for text in _texts(place))


def _called(call: ast.Call) -> str:
    """The last part of the name of what is called."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""


def parsed(content: bytes) -> ast.Module:
    """A file's tree; an empty one if it cannot be parsed, which the question about hazards reports."""
    try:
        return ast.parse(decoded(content))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module(body=[], type_ignores=[])


def _pieces(body: list[ast.stmt], around: str) -> Iterator[tuple[str, ast.stmt, int]]:
    """The functions, the headers of classes, the methods and the plain statements of a file: name, statement, last line.

    What stands under an `if`, a `try` or a `with` at the top of a file is no less at its top.
    """
    for node in body:
        end = node.end_lineno or node.lineno
        nested = [inner for field in ("body", "orelse", "finalbody") for inner in getattr(node, field, [])]
        nested += [inner for handler in getattr(node, "handlers", []) for inner in handler.body]
        if isinstance(node, ast.ClassDef):
            yield f"{around}{node.name}", node, node.body[0].lineno - 1
            yield from _pieces(node.body, f"{around}{node.name}.")
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield f"{around}{node.name}", node, end
        elif nested:
            yield around.rstrip("."), node, max(node.lineno, nested[0].lineno - 1)
            yield from _pieces(nested, around)
        else:
            for name in _bound(node) or [""]:
                yield f"{around}{name}".rstrip("."), node, end


def _bound(node: ast.stmt) -> list[str]:
    """The names that a plain statement gives a meaning: `charge = other`, `from x import charge`."""
    match node:
        case ast.Assign(targets=targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.AugAssign(target=ast.Name(id=name)):
            return [name]
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return [alias.asname or alias.name for alias in names]
        case _:
            return []


def _definers(change: Change) -> dict[str, frozenset[str]]:
    """For each declared metric, the names to which the project assigns it, wherever it does so."""
    metrics = {metric for feature in change.features for metric in feature.metrics}
    paths = [path for path in change.repository.mentioning(change.head, sorted(metrics)) if path.endswith(".py")]
    found: dict[str, set[str]] = {metric: set() for metric in metrics}
    for content in change.repository.contents(change.head, paths).values():
        for node in ast.walk(parsed(content)):
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
                for metric in metrics.intersection(_texts(node.value)):
                    found[metric] |= set(_targets(node))
    return {metric: frozenset(names) for metric, names in found.items()}


def _targets(node: ast.Assign | ast.AnnAssign) -> Iterator[str]:
    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
        if isinstance(target, (ast.Name, ast.Attribute)):
            yield target.id if isinstance(target, ast.Name) else target.attr
