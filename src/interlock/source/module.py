"""One parsed Python file, walked once.

The walk notes every node by its type, and every node's parent. All that detectors ask afterwards is a look-up, so that
sixty detectors cost little more than one.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, TypeAlias, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.source.names import Names
    from interlock.source.origins import Origins
    from interlock.source.redis import Command
    from interlock.source.sinks import Sink

Node = TypeVar("Node", bound=ast.AST)
Other = TypeVar("Other", bound=ast.AST)
Third = TypeVar("Third", bound=ast.AST)
Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Scope: TypeAlias = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

ENDINGS = (".py", ".pyw")  # Of the names of Python files.
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SCOPES = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
LOOPS = (ast.While, ast.For, ast.AsyncFor)


class Module:
    """A file's tree with the questions that detectors ask of it.

    Raises SyntaxError, ValueError, RecursionError or MemoryError, as `ast.parse` does, if the text is not Python.
    """

    def __init__(self, path: str, text: str) -> None:
        self.path = path  # relative to where the run started, or absolute if it is not below
        self.text = text.replace("\r\n", "\n").replace("\r", "\n")
        self.tree = ast.parse(text)

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the file, as the parser counts them; a form feed does not end one."""
        return self.text.split("\n")

    @cached_property
    def names(self) -> Names:
        """What the file's names mean."""
        from interlock.source.names import Names  # noqa: PLC0415 - the two modules need each other.

        return Names(self)

    @cached_property
    def origins(self) -> Origins:
        """Where the file's values come from."""
        from interlock.source.origins import Origins  # noqa: PLC0415 - the two modules need each other.

        return Origins(self)

    @cached_property
    def sinks(self) -> list[Sink]:
        """The places where identity matters."""
        from interlock.source.sinks import find_sinks  # noqa: PLC0415 - the two modules need each other.

        return list(find_sinks(self))

    @cached_property
    def redis_commands(self) -> list[Command]:
        """The calls that are Redis commands, in source order."""
        from interlock.source.redis import find_commands  # noqa: PLC0415 - the two modules need each other.

        return list(find_commands(self))

    @cached_property
    def _index(self) -> _Index:
        """The one walk. Written by hand over the nodes' own dicts: `ast.walk` costs three times as much."""
        index = _Index({}, {}, {})
        stack: list[tuple[ast.AST, Scope]] = [(self.tree, self.tree)]
        while stack:
            node, scope = stack.pop()
            index.by_type.setdefault(type(node), []).append(node)
            index.scopes[node] = scope
            children = list(_children(node))
            index.parents.update(dict.fromkeys(children, node))
            if isinstance(node, SCOPES):
                stack.extend((child, scope if _evaluated_outside(node, child) else node) for child in reversed(children))
            else:
                stack.extend((child, scope) for child in reversed(children))
        return index

    @overload
    def nodes(self, one: type[Node], /) -> Iterator[Node]: ...
    @overload
    def nodes(self, one: type[Node], two: type[Other], /) -> Iterator[Node | Other]: ...
    @overload
    def nodes(self, one: type[Node], two: type[Other], three: type[Third], /) -> Iterator[Node | Other | Third]: ...
    @overload
    def nodes(self, /, *types: type[ast.AST]) -> Iterator[ast.AST]: ...
    def nodes(self, /, *types: type[ast.AST]) -> Iterator[ast.AST]:
        """Every node of these types; those of one type come in source order."""
        for kind in types:
            yield from self._index.by_type.get(kind, ())

    def parent(self, node: ast.AST) -> ast.AST | None:
        """The node around this one; None for the module."""
        return self._index.parents.get(node)

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes around this one, innermost first."""
        parents = self._index.parents
        while (found := parents.get(node)) is not None:
            yield found
            node = found

    @overload
    def enclosing(self, node: ast.AST, one: type[Node], /) -> Node | None: ...
    @overload
    def enclosing(self, node: ast.AST, one: type[Node], two: type[Other], /) -> Node | Other | None: ...
    @overload
    def enclosing(
        self, node: ast.AST, one: type[Node], two: type[Other], three: type[Third], /
    ) -> Node | Other | Third | None: ...
    @overload
    def enclosing(self, node: ast.AST, /, *types: type[ast.AST]) -> ast.AST | None: ...
    def enclosing(self, node: ast.AST, /, *types: type[ast.AST]) -> ast.AST | None:
        """The innermost node of these types around this one."""
        return next((around for around in self.ancestors(node) if isinstance(around, types)), None)

    def function(self, node: ast.AST) -> Function | None:
        """The function in whose body this node runs; None at import time or in a lambda."""
        scope = self.scope(node)
        while isinstance(scope, ast.Lambda):
            scope = self.scope(scope)
        return scope if isinstance(scope, FUNCTIONS) else None

    def scope(self, node: ast.AST) -> Scope:
        """The scope that evaluates this node. Defaults and decorators belong to the scope around their function."""
        return self._index.scopes.get(node, self.tree)

    def at_import(self, node: ast.AST) -> bool:
        """Whether this node is evaluated once, when the module is imported (or, in a script's main block, run)."""
        scope = self.scope(node)
        while isinstance(scope, ast.ClassDef):
            scope = self.scope(scope)
        return isinstance(scope, ast.Module)

    def statement(self, node: ast.AST) -> ast.stmt | None:
        """The statement that this node is, or is part of."""
        if isinstance(node, ast.stmt):
            return node
        return self.enclosing(node, ast.stmt)

    def symbol(self, node: ast.AST) -> str:
        """The dotted name of the definition around this node, for example `PaymentQueue.enqueue`; empty at module level."""
        around = [node, *self.ancestors(node)]
        names = [part.name for part in around if isinstance(part, (*FUNCTIONS, ast.ClassDef))]
        return ".".join(reversed(names))

    def offset(self, line: int, column: int) -> int:
        """The index in `text` of a place as the parser gives it: lines from 1, columns in UTF-8 bytes from 0."""
        return self._line_starts[line - 1] + len(self.lines[line - 1].encode()[:column].decode(errors="ignore"))

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *accumulate(len(line) + 1 for line in self.lines)]

    def segment(self, node: ast.expr | ast.stmt) -> str:
        """The text of a node, as it was written."""
        return self.text[self.start(node) : self.end(node)]

    def start(self, node: ast.expr | ast.stmt | ast.keyword) -> int:
        """The index in `text` where a node begins."""
        return self.offset(node.lineno, node.col_offset)

    def end(self, node: ast.expr | ast.stmt | ast.keyword) -> int:
        """The index in `text` after a node's last character."""
        return self.offset(node.end_lineno or node.lineno, node.end_col_offset or node.col_offset)


def is_test_path(path: str) -> bool:
    """Whether a file is test code, by its name, or by the folders of a path that is relative to the project."""
    parts = PurePosixPath(path)
    folders = () if parts.is_absolute() else parts.parts[:-1]
    named = parts.name.startswith("test_") or parts.name.endswith("_test.py") or parts.name in {"conftest.py", "tests.py"}
    return named or not {"tests", "test"}.isdisjoint(folders)


@dataclass(frozen=True, slots=True)
class _Index:
    """What one walk notes."""

    by_type: dict[type[ast.AST], list[ast.AST]]  # in source order
    parents: dict[ast.AST, ast.AST]
    scopes: dict[ast.AST, Scope]  # the scope that evaluates the node


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes directly below this one, in source order. `Load` and `Store` are shared by all and stand nowhere."""
    for value in node.__dict__.values():
        if isinstance(value, list):
            yield from (item for item in value if isinstance(item, ast.AST))  # pyright: ignore[reportUnknownVariableType]
        elif isinstance(value, ast.AST) and not isinstance(value, ast.expr_context):
            yield value


def _evaluated_outside(scope: Scope, child: ast.AST) -> bool:
    """Whether a direct child of a scope is evaluated by the scope around it: defaults, decorators, bases, annotations."""
    match scope:
        case ast.Module():
            return False
        case ast.Lambda():
            return child is not scope.body
        case _:
            return not isinstance(child, ast.stmt)
