"""What the package shows to others, and how it is built."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import statistics
import subprocess
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import retryqueue

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(inspect.getfile(retryqueue)).parent
MODULES = sorted(ROOT.rglob("*.py"))
LONGEST_FUNCTION = 70
LONGEST_MEDIAN = 10
Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            yield node


def lines(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def test_all_public_names_are_listed_in_order() -> None:
    assert retryqueue.__all__ == sorted(retryqueue.__all__)
    assert len(set(retryqueue.__all__)) == len(retryqueue.__all__)
    found = {
        name for name, value in vars(retryqueue).items() if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert found == set(retryqueue.__all__)


def test_every_public_error_is_one_of_the_library() -> None:
    errors = [
        value
        for name in retryqueue.__all__
        if inspect.isclass(value := getattr(retryqueue, name)) and issubclass(value, Exception)
    ]
    assert len(errors) >= 8
    assert all(issubclass(error, retryqueue.RetryQueueError) for error in errors)


def public_things() -> Iterator[tuple[str, Any]]:
    for name in retryqueue.__all__:
        value = getattr(retryqueue, name)
        if not inspect.isclass(value):
            continue
        yield name, value
        for part, member in vars(value).items():
            if not part.startswith("_") and isinstance(member, (types.FunctionType, property, classmethod, staticmethod)):
                yield f"{name}.{part}", member


@pytest.mark.parametrize(("name", "thing"), list(public_things()), ids=lambda value: value if isinstance(value, str) else "")
def test_every_public_name_says_what_it_is(name: str, thing: Any) -> None:
    text = inspect.getdoc(thing)
    assert text, name
    assert not text.startswith(f"{name}("), "Made by the dataclass, and not written."


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_and_every_public_definition_in_it_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    for node in tree.body:
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_function_is_long(path: Path) -> None:
    too_long = {function.name: lines(function) for function in functions(path) if lines(function) > LONGEST_FUNCTION}
    assert not too_long


def test_most_functions_are_short() -> None:
    lengths = [lines(function) for path in MODULES for function in functions(path)]
    assert statistics.median(lengths) < LONGEST_MEDIAN


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_nothing_of_the_gate_beside_it(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported = [node.module or ""]
        else:
            continue
        assert not any(name.split(".")[0] == "interlock" for name in imported)


def test_the_library_itself_needs_redis_py_alone() -> None:
    code = "import sys; sys.modules.update(prometheus_client=None, hiredis=None); import retryqueue; print(retryqueue.Worker)"
    path = os.pathsep.join([str(ROOT.parent), *sys.path])
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, env={"PYTHONPATH": path})
    assert done.returncode == 0, done.stderr


def test_the_version_is_one() -> None:
    assert importlib.import_module("retryqueue").__version__.count(".") == 2
