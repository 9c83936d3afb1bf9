"""Changes to a file's text that leave every other character as it was."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interlock.source.module import Module


@dataclass(frozen=True, slots=True, order=True)
class Edit:
    """One piece of text put in the place of another."""

    start: int  # index of the first character that goes
    end: int  # index after the last one
    text: str


def replacing(module: Module, node: ast.expr | ast.stmt | ast.keyword, text: str) -> Edit:
    """The edit that puts a text in the place of a node."""
    return Edit(module.start(node), module.end(node), text)


def importing(module: Module, name: str) -> Edit:
    """The edit that imports a module, below the docstring and the `__future__` imports; nothing if it is there already."""
    present = {alias.name for node in module.nodes(ast.Import) for alias in node.names if alias.asname is None}
    first = next((statement for statement in module.tree.body if not _stays_first(statement)), None)
    first = next(iter(getattr(first, "decorator_list", [])), first)
    start = module.offset(first.lineno, 0) if first is not None else len(module.text)
    return Edit(start, start, "" if name in present else f"import {name}\n")


def _stays_first(statement: ast.stmt) -> bool:
    is_docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return is_docstring or (isinstance(statement, ast.ImportFrom) and statement.module == "__future__")


def edited(module: Module, edits: Iterable[Edit]) -> str:
    """The file's text after these edits, which must not overlap."""
    text = module.text
    for edit in sorted(edits, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text
