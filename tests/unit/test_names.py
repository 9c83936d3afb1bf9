"""What a name means, and which of its values a use can see."""

from __future__ import annotations

import ast

import pytest

from interlock.source.module import Module


def module(text: str) -> Module:
    """A file of this text."""
    return Module("shop/example.py", text)


def used(found: Module) -> ast.Name:
    """The name that an example uses as the argument of `use`."""
    (call,) = (node for node in found.nodes(ast.Call) if isinstance(node.func, ast.Name) and node.func.id == "use")
    (argument,) = call.args
    assert isinstance(argument, ast.Name)
    return argument


def reaching(text: str) -> list[str]:
    """The values that the use of `x` can see, nearest first; `?` for one that cannot be told, `arg` for a parameter."""
    found = module(text)
    bindings = found.names.reaching("x", used(found))
    return ["arg" if binding.is_parameter else ast.unparse(binding.value) if binding.value else "?" for binding in bindings]


@pytest.mark.parametrize(
    ("lines", "values"),
    [
        pytest.param("x = 1\nuse(x)", ["1"], id="the one before"),
        pytest.param("x = 1\nx = 2\nuse(x)", ["2"], id="the last one before"),
        pytest.param("x = 1\nuse(x)\nx = 2", ["1"], id="not the one after"),
        pytest.param("if a:\n    x = 1\nuse(x)", ["1"], id="one branch"),
        pytest.param("x = 0\nif a:\n    x = 1\nuse(x)", ["1", "0"], id="a branch, or what was before"),
        pytest.param("if a:\n    x = 1\nelse:\n    x = 2\nuse(x)", ["2", "1"], id="both branches"),
        pytest.param("x = 0\nif a:\n    x = 1\n    use(x)", ["1"], id="the same branch"),
        pytest.param("x = 0\nif a:\n    x = 1\nelse:\n    use(x)", ["0"], id="not the other branch"),
        pytest.param("x = 0\nif a:\n    pass\nelif b:\n    x = 1\nelse:\n    use(x)", ["0"], id="not another elif"),
        pytest.param("x = 0\ntry:\n    x = 1\nexcept E:\n    pass\nuse(x)", ["1", "0"], id="try whose handler goes on"),
        pytest.param("x = 0\ntry:\n    x = 1\nexcept E:\n    raise\nuse(x)", ["1"], id="try whose handler leaves"),
        pytest.param("x = 0\ntry:\n    x = 1\nexcept E:\n    use(x)", ["1", "0"], id="in the handler"),
        pytest.param("x = 0\nwith a:\n    x = 1\nuse(x)", ["1"], id="with"),
        pytest.param("x = 0\nwith a:\n    if b:\n        x = 1\nuse(x)", ["1", "0"], id="a branch in with"),
        pytest.param("x = 0\nfor a in b:\n    x = 1\nuse(x)", ["1", "0"], id="a loop that may not run"),
        pytest.param("while a:\n    use(x)\n    x = 1", ["1"], id="the turn before"),
        pytest.param("x = 0\nwhile a:\n    use(x)\n    x = 1", ["0", "1"], id="before the loop, or the turn before"),
        pytest.param("for x in b:\n    use(x)", ["?"], id="a loop's variable"),
        pytest.param("y = (x := f())\nuse(x)", ["f()"], id="walrus"),
        pytest.param("if (x := f()):\n    use(x)", ["f()"], id="walrus in the condition of a branch"),
        pytest.param("x = 0\nif a and (x := f()):\n    pass\nuse(x)", ["f()"], id="walrus in a condition"),
        pytest.param("x, y = 1, 2\nuse(x)", ["1"], id="unpacked one to one"),
        pytest.param("x, y = f()\nuse(x)", ["?"], id="unpacked from a call"),
        pytest.param("(y, (z, x)) = 1, (2, 3)\nuse(x)", ["3"], id="unpacked twice"),
        pytest.param("y = x = 4\nuse(x)", ["4"], id="a chain"),
        pytest.param("x: int = 5\nuse(x)", ["5"], id="annotated"),
        pytest.param("with f() as x:\n    use(x)", ["f()"], id="with as"),
        pytest.param("x = 0\nx += 1\nuse(x)", ["?"], id="augmented"),
        pytest.param("x = 0\ny = [use(x) for x in b]", ["?"], id="a comprehension's own variable"),
        pytest.param("x = 0\ny = [x for x in b]\nuse(x)", ["0"], id="a comprehension's variable does not leak"),
        pytest.param("x = 0\ny = [a for a in use(x)]", ["0"], id="what a comprehension goes over"),
    ],
)
@pytest.mark.parametrize("where", ["in the module", "in a function"])
def test_a_use_sees_what_can_have_happened_before(lines: str, values: list[str], where: str) -> None:
    indented = "\n".join(f"    {line}" for line in lines.splitlines())
    assert reaching(f"{lines}\n" if where == "in the module" else f"def f():\n{indented}\n") == values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        pytest.param("def f(x):\n    use(x)\n", ["arg"], id="a parameter"),
        pytest.param("def f(x):\n    x = 1\n    use(x)\n", ["1"], id="a parameter that was set"),
        pytest.param("def f(x):\n    if a:\n        x = 1\n    use(x)\n", ["1", "arg"], id="a parameter that may be set"),
        pytest.param("def f(x):\n    x = x or 1\n    use(x)\n", ["x or 1"], id="a parameter with its default"),
        pytest.param("x = 1\ndef f():\n    use(x)\n", ["1"], id="from the module"),
        pytest.param("def f():\n    use(x)\nx = 1\n", ["1"], id="from the module, set later"),
        pytest.param("x = 1\nclass A:\n    x = 2\n    def f(self):\n        use(x)\n", ["1"], id="not from the class around"),
        pytest.param("x = 1\nclass A:\n    x = 2\n    use(x)\n", ["2"], id="in the class itself"),
        pytest.param("def f():\n    x = 1\n    def g():\n        use(x)\n", ["1"], id="from the function around"),
        pytest.param("x = 1\ndef f():\n    global x\n    x = 2\ndef g():\n    use(x)\n", ["2", "1"], id="global"),
        pytest.param("x = 1\nf = lambda x: use(x)\n", ["arg"], id="a lambda's parameter"),
        pytest.param("def f(*x):\n    use(x)\n", ["arg"], id="starred"),
        pytest.param("def f(x=1):\n    pass\nuse(x)\n", [], id="not another function's parameter"),
        pytest.param("try:\n    pass\nexcept E as x:\n    use(x)\n", ["?"], id="an exception"),
    ],
)
def test_a_use_sees_its_own_scopes(text: str, values: list[str]) -> None:
    assert reaching(text) == values


@pytest.mark.parametrize(
    ("text", "dotted"),
    [
        ("import uuid\nHERE = uuid.uuid4\n", "uuid.uuid4"),
        ("import uuid as u\nHERE = u.uuid4\n", "uuid.uuid4"),
        ("from uuid import uuid4\nHERE = uuid4\n", "uuid.uuid4"),
        ("from uuid import uuid4 as make\nHERE = make\n", "uuid.uuid4"),
        ("import os.path\nHERE = os.path.join\n", "os.path.join"),
        ("import os.path as p\nHERE = p.join\n", "os.path.join"),
        ("from datetime import datetime\nHERE = datetime.now\n", "datetime.datetime.now"),
        ("from . import ids\nHERE = ids.make\n", ".ids.make"),
        ("from .ids import make\nHERE = make\n", ".ids.make"),
        ("from .. import ids\nHERE = ids\n", "..ids"),
        ("from ..shop.ids import make\nHERE = make\n", "..shop.ids.make"),
        ("import time\nclock = time.time\nHERE = clock\n", "time.time"),
        ("try:\n    import ujson as json\nexcept ImportError:\n    import json\nHERE = json.dumps\n", "ujson.dumps"),
        ("def make(): pass\nHERE = make\n", ".make"),
        ("class A:\n    def f(self): pass\nHERE = A.f\n", ".A.f"),
        ("HERE = print\n", "print"),
        ("HERE = unknown.thing\n", ""),
        ("HERE = f().thing\n", ""),
        ("def f(uuid):\n    HERE = uuid.uuid4\n", ""),
        ("import uuid\ndef f(uuid):\n    HERE = uuid.uuid4\n", ""),
        ("x = x\nHERE = x.y\n", ""),
    ],
)
def test_dotted_names_see_through_imports_and_aliases(text: str, dotted: str) -> None:
    found = module(text)
    (value,) = [
        node.value for node in found.nodes(ast.Assign) if isinstance(node.targets[0], ast.Name) and node.targets[0].id == "HERE"
    ]
    assert found.names.dotted(value) == dotted


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("def make(): pass\nuse(make())\n", 1, id="a function"),
        pytest.param("def make(): pass\ndef make(): pass\nuse(make())\n", 2, id="the last one of a name"),
        pytest.param("class A:\n    def make(self): pass\n    def f(self): use(self.make())\n", 2, id="a method"),
        pytest.param(
            "class B:\n    def make(self): pass\nclass A(B):\n    def f(self): use(self.make())\n",
            2,
            id="a local base's method",
        ),
        pytest.param(
            "class C:\n    def make(self): pass\nclass B(C): pass\nclass A(B):\n    def f(self): use(self.make())\n",
            2,
            id="a base's base's method",
        ),
        pytest.param(
            "class B:\n    def make(self): pass\nclass A(B):\n    def make(self): pass\n    def f(self): use(self.make())\n",
            4,
            id="overridden",
        ),
        pytest.param("class A:\n    @classmethod\n    def make(cls): pass\nuse(A.make())\n", 3, id="by the class's name"),
        pytest.param("from ids import make\nuse(make())\n", None, id="imported"),
        pytest.param("class A(Base):\n    def f(self): use(self.make())\n", None, id="a base from elsewhere"),
        pytest.param("class A(A):\n    def f(self): use(self.make())\n", None, id="its own base"),
        pytest.param("use(make()())\n", None, id="what a call gives"),
    ],
)
def test_the_definition_behind_a_call(text: str, line: int | None) -> None:
    found = module(text)
    (call,) = [node for node in found.nodes(ast.Call) if isinstance(node.func, ast.Name) and node.func.id == "use"]
    (inner,) = call.args
    assert isinstance(inner, ast.Call)
    definition = found.names.definition(inner)
    assert (definition.lineno if definition else None) == line
