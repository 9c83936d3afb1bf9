"""One parsed file: places, scopes, what runs at import."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.source.module import Module, is_test_path


def module(text: str) -> Module:
    """A file of this text."""
    return Module("shop/example.py", text)


def marked(found: Module, name: str = "HERE") -> ast.Name:
    """The place that an example marks with a name."""
    (place,) = (node for node in found.nodes(ast.Name) if node.id == name)
    return place


ODD_LINES = [
    pytest.param("x = 'zażółć 🚀'; HERE\n", id="characters of several bytes"),
    pytest.param("x = 1\r\nif x:\r\n\tHERE\r\n", id="CRLF"),
    pytest.param("x = 1\rHERE\r", id="CR"),
    pytest.param("x = 1\n\fHERE\n", id="form feed"),
    pytest.param("x = '''\f\v\x1c\x85\u2028'''; HERE\n", id="what str.splitlines would split at"),
    pytest.param("if 1:\n\tHERE\n", id="tab"),
    pytest.param("x = '''\n🚀\n'''; HERE", id="no last newline"),
    pytest.param("x = 'e\u0301\\\n🚀'; HERE\n", id="continued line"),
    pytest.param("f'🚀{HERE}'\n", id="in an f-string"),
]


@pytest.mark.parametrize("text", ODD_LINES)
def test_a_place_is_where_the_editor_shows_it(text: str) -> None:
    found = module(text)
    place = marked(found)
    assert found.segment(place) == "HERE"
    assert found.text[found.start(place) : found.end(place)] == "HERE"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=30), st.booleans())
def test_places_hold_behind_any_text(text: str, windows: bool) -> None:  # noqa: FBT001 - hypothesis decides.
    comment = text.partition("\n")[0]
    source = f"x = {text!r}\n# {comment}\ny = {text!r}; HERE\n"
    found = module(source.replace("\n", "\r\n") if windows else source)
    assert found.segment(marked(found)) == "HERE"


def test_lines_are_counted_as_the_parser_counts_them() -> None:
    found = module("x = 1\f\ny = 2\u2028\\\n\n".replace("\u2028\\", "") + "HERE\n")
    assert found.lines[marked(found).lineno - 1] == "HERE"


@pytest.mark.parametrize(
    ("text", "scope", "at_import"),
    [
        ("HERE\n", "Module", True),
        ("if x:\n    HERE\n", "Module", True),
        ("def f():\n    HERE\n", "f", False),
        ("async def f():\n    HERE\n", "f", False),
        ("def f(a=HERE): pass\n", "Module", True),
        ("def f(*, a=HERE): pass\n", "Module", True),
        ("def f(a: HERE): pass\n", "Module", True),
        ("def f() -> HERE: pass\n", "Module", True),
        ("@HERE\ndef f(): pass\n", "Module", True),
        ("class A:\n    HERE\n", "A", True),
        ("class A(HERE): pass\n", "Module", True),
        ("class A(metaclass=HERE): pass\n", "Module", True),
        ("@HERE\nclass A: pass\n", "Module", True),
        ("class A:\n    def f(self, a=HERE): pass\n", "A", True),
        ("class A:\n    def f(self):\n        HERE\n", "f", False),
        ("class A:\n    class B:\n        HERE\n", "B", True),
        ("def f():\n    class A:\n        HERE\n", "A", False),
        ("def f():\n    def g(a=HERE): pass\n", "f", False),
        ("f = lambda: HERE\n", "Lambda", False),
        ("f = lambda a=HERE: a\n", "Module", True),
        ("x = [HERE for a in b]\n", "Module", True),
        ("if __name__ == '__main__':\n    HERE\n", "Module", True),
    ],
)
def test_the_scope_is_the_one_that_evaluates(text: str, scope: str, at_import: bool) -> None:  # noqa: FBT001 - a table.
    found = module(text)
    around = found.scope(marked(found))
    assert getattr(around, "name", type(around).__name__) == scope
    assert found.at_import(marked(found)) is at_import


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("HERE\n", ""),
        ("def f():\n    HERE\n", "f"),
        ("class A:\n    async def f(self):\n        HERE\n", "A.f"),
        ("class A:\n    class B:\n        x = HERE\n", "A.B"),
        ("def f():\n    def g():\n        return lambda: HERE\n", "f.g"),
        ("class A:\n    def f(self, a=HERE): pass\n", "A.f"),
    ],
)
def test_a_symbol_is_the_dotted_name_around(text: str, symbol: str) -> None:
    found = module(text)
    assert found.symbol(marked(found)) == symbol


def test_a_definition_is_its_own_symbol() -> None:
    found = module("class A:\n    def f(self): pass\n")
    assert [found.symbol(node) for node in found.nodes(ast.ClassDef, ast.FunctionDef)] == ["A", "A.f"]


def test_a_function_is_the_one_whose_body_runs() -> None:
    for text, name in (
        ("def f():\n    x = lambda: HERE\n", "f"),
        ("def f(a=HERE): pass\n", None),
        ("x = lambda: HERE\n", None),
    ):
        found = module(text)
        assert getattr(found.function(marked(found)), "name", None) == name


def test_nodes_of_one_type_come_in_source_order_and_each_once() -> None:
    found = module("a = b\nif c:\n    d = [e for f in g]\nelse:\n    h(i, j=k)\n")
    assert [node.id for node in found.nodes(ast.Name)] == ["a", "b", "c", "d", "e", "f", "g", "h", "i", "k"]


def test_ancestors_lead_to_the_module() -> None:
    found = module("def f():\n    if x:\n        return g(HERE)\n")
    kinds = [type(node).__name__ for node in found.ancestors(marked(found))]
    assert kinds == ["Call", "Return", "If", "FunctionDef", "Module"]
    assert isinstance(found.statement(marked(found)), ast.Return)
    assert found.parent(found.tree) is None


@pytest.mark.parametrize(
    ("path", "is_test"),
    [
        ("tests/shop.py", True),
        ("shop/test/a.py", True),
        ("shop/test_a.py", True),
        ("shop/a_test.py", True),
        ("shop/conftest.py", True),
        ("shop/contest.py", False),
        ("shop/latest.py", False),
        ("shop/testament/a.py", False),
        ("tests.py", True),
        ("/home/tests/shop/a.py", False),
        ("/home/shop/test_a.py", True),
        ("Tests/a.py", False),
    ],
)
def test_test_code_is_known_by_its_place(path: str, is_test: bool) -> None:  # noqa: FBT001 - a table.
    assert is_test_path(path) is is_test
