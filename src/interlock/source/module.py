"""One parsed Python file, walked once.

The walk notes every node by its type, and every node's parent. All that detectors ask afterwards is a look-up, so that
sixty detectors cost little more than one.
"""

from __future__ import annotations

import ast
from functools import cached_property
from itertools import accumulate
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.source.names import Names
    from interlock.source.origins import Origins
    from interlock.source.redis import Command
    from interlock.source.sinks import Sink

Node = TypeVar("Node", bound=ast.AST)
Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Scope: TypeAlias = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

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
    def _index(self) -> tuple[dict[type[ast.AST], list[ast.AST]], dict[ast.AST, ast.AST]]:
        """Nodes by type in source order, and each node's parent. Written by hand: `ast.walk` costs three times as much."""
        by_type: dict[type[ast.AST], list[ast.AST]] = {}
        parents: dict[ast.AST, ast.AST] = {}
        stack: list[ast.AST] = [self.tree]
        while stack:
            node = stack.pop()
            by_type.setdefault(type(node), []).append(node)
            children = [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr_context)]
            for child in children:
                parents[child] = node
            stack.extend(reversed(children))
        return by_type, parents

    def nodes(self, *types: type[Node]) -> Iterator[Node]:
        """Every node of these types; those of one type come in source order."""
        for kind in types:
            yield from self._index[0].get(kind, ())  # type: ignore[misc]  # the index is keyed by the type itself.

    def parent(self, node: ast.AST) -> ast.AST | None:
        """The node around this one; None for the module."""
        return self._index[1].get(node)

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes around this one, innermost first."""
        parents = self._index[1]
        while (found := parents.get(node)) is not None:
            yield found
            node = found

    def enclosing(self, node: ast.AST, *types: type[Node]) -> Node | None:
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
        below = node
        for around in self.ancestors(node):
            if isinstance(around, SCOPES) and not _evaluated_outside(around, below):
                return around
            below = around
        return self.tree

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

    @cached_property
    def is_test(self) -> bool:
        """Whether this file is test code, by the places where test runners look. Test code does not reach production."""
        path = PurePosixPath(self.path)
        folders = () if path.is_absolute() else path.parts[:-1]
        named = path.name.startswith("test_") or path.name.endswith("_test.py") or path.name in {"conftest.py", "tests.py"}
        return named or not {"tests", "test", "testing"}.isdisjoint(folders)

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


def _evaluated_outside(scope: Scope, child: ast.AST) -> bool:
    """Whether a direct child of a scope is evaluated by the scope around it: defaults, decorators, bases, annotations."""
    match scope:
        case ast.Module():
            return False
        case ast.Lambda():
            return child is not scope.body
        case _:
            return not isinstance(child, ast.stmt)
