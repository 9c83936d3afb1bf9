"""Code that passes itself off as test code, in which nobody would look for hazards.

A file is taken for test code by its name, its folder, or because it imports pytest. Each of these a change can arrange. So it
is code all the same where it was before the change, where the base says that it is a feature, and where code imports it.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from interlock.core.globs import matches
from interlock.gate.features import module_names, parsed
from interlock.source.module import is_test_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from interlock.gate.change import Change


def passed_off(change: Change) -> set[str]:
    """The changed files that are code, whatever they look like."""
    before, after = change.sources
    by_name = {path for path in after if is_test_path(path)}
    declared = {path for path in after.keys() - by_name if any(matches(path, glob) for glob in _paths(change))}
    were = {path for path in before.keys() & after.keys() - by_name if not _imports_pytest(before[path])}
    return declared | were | _imported(after, by_name)


def _paths(change: Change) -> Iterator[str]:
    yield from (glob for feature in change.features for glob in feature.paths)


def _imports_pytest(content: bytes) -> bool:
    """Whether it does so at its top, as test code does."""
    return "pytest" in _imported_names("", parsed(content).body)


def _imported(after: dict[str, bytes], tests: set[str]) -> set[str]:
    """Those of some files that code of the change imports. What only they import counts as well: it runs where they do."""
    found: set[str] = set()
    code = set(after) - tests
    while code:
        names = {name for path in code for name in _imported_names(path, ast.walk(parsed(after[path])))}
        code = {path for path in tests - found if module_names(path) & names}
        found |= code
    return found


def _imported_names(path: str, nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The dotted names that a file imports, from the top of the project; `from a import b` may mean `a.b`."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            around = path.split("/")[: -node.level] if node.level else []
            module = ".".join([*around, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
