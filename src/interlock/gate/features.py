"""Which code is which: the features that a team declares, and whether a change touches one.

[[feature]]
name = "payments"
tier = 1
paths = ["shop/payments/**"]
symbols = ["shop.checkout.complete_order"]
routes = ["/checkout"]
metrics = ["shop_orders_completed_total"]
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.check.inspect import decoded
from interlock.core.globs import matches
from interlock.core.settings import Document, strict, tables
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

    @classmethod
    def all_of(cls, document: Document) -> tuple[Feature, ...]:
        """The features of a project. Raises UsageError if one is not declared right."""
        features = tuple(strict(document, cls, table, "feature") for table in tables(document, "feature"))
        for feature in features:
            if feature.tier not in {1, 2, 3}:
                raise document.fail("tier", f"tier of feature {feature.name!r} is {feature.tier}; expected 1, 2 or 3")
        return features

    def touched_by(self, change: Change) -> Iterator[str]:
        """Why the change touches this feature, a reason each; nothing if it does not."""
        for path in change.paths:
            yield from (f"{path} is in its paths ({glob})" for glob in self.paths if matches(path, glob))
        for block in change_blocks(change):
            yield from self._named_in(block)

    def _named_in(self, block: Block) -> Iterator[str]:
        """Why a changed piece of a file belongs to the feature."""
        for symbol in self.symbols:
            if is_symbol(symbol, block):
                yield f"{block.place} changes {symbol}"
        for route in self.routes:
            if route.strip("/") in block.routes:
                yield f"{block.place} serves {route}"
        for metric in self.metrics:
            if metric in block.texts or not block.metrics(metric).isdisjoint(block.names):
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


def is_symbol(symbol: str, block: Block) -> bool:
    """Whether a declared dotted name is this block, is around it, or is in it."""
    module = re.sub(r"(/__init__)?\.pyw?$", "", block.path).replace("/", ".")
    modules = {module, module.removeprefix("src.")}
    full = {f"{name}.{block.symbol}".rstrip(".") for name in modules}
    return any(
        name == symbol or name.startswith(symbol + ".") or (symbol.startswith(name + ".") and block.symbol) for name in full
    )


def change_blocks(change: Change) -> list[Block]:
    """The pieces of Python files that the change adds to, alters or removes."""
    metrics = sorted({metric for feature in change.features for metric in feature.metrics})
    definers = {metric: _definers(change, metric) for metric in metrics}
    found: list[Block] = []
    for contents, lines in ((change.after, change.lines_added), (change.before, change.lines_removed)):
        for path, content in contents.items():
            if path.endswith((".py", ".pyw")) and not is_test_path(path):
                found += _blocks(path, content, lines[path], definers)
    return found


def _blocks(path: str, content: bytes, lines: set[int], definers: dict[str, frozenset[str]]) -> Iterator[Block]:
    for symbol, node in _pieces(_parsed(content)):
        first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
        if not lines.isdisjoint(range(first, (node.end_lineno or node.lineno) + 1)):
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


def _parsed(content: bytes) -> ast.Module:
    """A file's tree; an empty one if it cannot be parsed, which the question about hazards reports."""
    try:
        return ast.parse(decoded(content))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module(body=[], type_ignores=[])


def _pieces(tree: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    """The statements at the top of a file, and the methods of its classes."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                name = getattr(inner, "name", "")
                yield f"{node.name}.{name}".rstrip("."), inner
        else:
            yield getattr(node, "name", ""), node


def _definers(change: Change, metric: str) -> frozenset[str]:
    """The names to which the project assigns a metric, wherever it declares it."""
    paths = [path for path in change.repository.mentioning(change.head, metric) if path.endswith(".py")]
    names: set[str] = set()
    for content in change.repository.contents(change.head, paths).values():
        for node in ast.walk(_parsed(content)):
            if isinstance(node, ast.Assign) and any(
                isinstance(item, ast.Constant) and item.value == metric for item in ast.walk(node.value)
            ):
                names |= {target.id if isinstance(target, ast.Name) else getattr(target, "attr", "") for target in node.targets}
    return frozenset(names - {""})
