"""An edit changes what it names, and no other character."""

from __future__ import annotations

import ast

from hypothesis import given
from hypothesis import strategies as st

from interlock.hazards.catalogue import catalogue
from interlock.source.edit import Edit, edited, importing, replacing
from interlock.source.module import Module

EXAMPLES = [text for hazard in catalogue() for text in (*hazard.bad, *hazard.good)]
NAMES = st.sampled_from(["HERE", "ż", "🚀", "", "a\nb"])


@st.composite
def some_edits(draw: st.DrawFn) -> tuple[Module, list[Edit]]:
    """A module and edits that do not overlap."""
    text = draw(st.sampled_from(EXAMPLES))
    module = Module("shop/example.py", draw(st.sampled_from(["# zażółć\n", "\f\n", "'🚀'\n", ""])) + text)
    nodes = [node for node in module.nodes(ast.Name, ast.Constant) if isinstance(node, ast.expr) and module.segment(node)]
    inside_f_strings = {inner for node in module.nodes(ast.JoinedStr) for inner in ast.walk(node)}
    chosen = draw(st.lists(st.sampled_from([node for node in nodes if node not in inside_f_strings]), unique=True, max_size=5))
    return module, [replacing(module, node, draw(NAMES)) for node in chosen]


@given(some_edits())
def test_every_other_character_stays(module_and_edits: tuple[Module, list[Edit]]) -> None:
    module, edits = module_and_edits
    expected, end = "", 0
    for edit in sorted(edits):
        expected += module.text[end : edit.start] + edit.text
        end = edit.end
    assert edited(module, edits) == expected + module.text[end:]


@given(some_edits())
def test_to_put_back_what_was_there_changes_nothing(module_and_edits: tuple[Module, list[Edit]]) -> None:
    module, edits = module_and_edits
    back = [Edit(edit.start, edit.end, module.text[edit.start : edit.end]) for edit in edits]
    assert edited(module, back) == module.text
    assert edited(module, []) == module.text


def after_import(text: str, name: str = "time") -> str:
    """The text after a module was imported in it."""
    module = Module("shop/example.py", text)
    return edited(module, [importing(module, name)])


def test_an_import_goes_below_what_must_stay_first() -> None:
    assert after_import("x = 1\n") == "import time\nx = 1\n"
    assert after_import('"""Doc."""\n\nx = 1\n') == '"""Doc."""\n\nimport time\nx = 1\n'
    assert after_import('"""Doc."""\nfrom __future__ import annotations\nx = 1\n') == (
        '"""Doc."""\nfrom __future__ import annotations\nimport time\nx = 1\n'
    )
    assert after_import("# A comment.\n\nx = 1\n") == "# A comment.\n\nimport time\nx = 1\n"
    assert after_import("") == "import time\n"


def test_an_import_goes_above_the_decorators_of_what_it_precedes() -> None:
    assert after_import("@f\ndef g(): pass\n") == "import time\n@f\ndef g(): pass\n"


def test_what_is_imported_is_not_imported_again() -> None:
    assert after_import("import time\n") == "import time\n"
    assert after_import("import time as t\nx = 1\n") == "import time\nimport time as t\nx = 1\n"


def test_every_example_is_python_after_an_import() -> None:
    for text in EXAMPLES:
        ast.parse(after_import(text, "antigravity"))
