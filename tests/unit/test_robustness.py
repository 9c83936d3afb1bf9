"""A file may hold anything. Each gets findings or a clear line, never an exception, and no detector falls over."""

from __future__ import annotations

import ast
import io
import sysconfig
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st

from interlock.check.inspect import Inspection, inspect
from interlock.hazards.catalogue import catalogue
from interlock.source.module import Module

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [
    pytest.mark.filterwarnings("ignore::SyntaxWarning"),  # Of the code that is read, not of ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

HERE = Path(__file__).resolve().parent
SOURCES = sorted((HERE.parent.parent / "src").rglob("*.py"))

# Every needle of the catalogue, so that no hazard's prefilter spares it the file.
NEEDLES = "".join(f"# {needle.decode()}\n" for hazard in catalogue() for group in hazard.needles for needle in group)
MARK = "# interlock: ignore[identity/coarse-clock]: to try how suppressions are read\n"
BAIT = f"{NEEDLES}import time, uuid, redis, requests, sqlite3\n"
BAD_LINE = 'order_id = f"{int(time.time())}"\n'


def seen(content: bytes | str) -> Inspection:
    """What is seen in a file of this content."""
    return inspect("shop/example.py", content if isinstance(content, bytes) else content.encode(), catalogue())


def complaint(content: bytes | str) -> str:
    """The one line that says why a file could not be read."""
    inspection = seen(content)
    assert not inspection.findings
    (problem,) = inspection.problems
    assert not problem.is_ours, problem.message
    assert "\n" not in problem.message
    return str(problem)


def is_checked(content: bytes | str) -> bool:
    """Whether a file is read through, and the hazard in its last line is found."""
    inspection = seen(content)
    assert not inspection.problems, "\n".join(map(str, inspection.problems))
    return [finding.hazard for finding in inspection.findings] == ["identity/coarse-clock"]


def holds_up(content: bytes | str) -> bool:
    """Whether a file gives findings or a clear line, and no fault of ours."""
    return not [problem.message for problem in seen(content).problems if problem.is_ours]


def nested(depth: int, head: str) -> str:
    """Blocks inside blocks, with a hazard in the innermost one."""
    blocks = "".join(f"{' ' * level}{head}\n" for level in range(depth))
    return f"{BAIT}{blocks}{' ' * depth}{BAD_LINE}"


def test_the_bait_concerns_every_hazard() -> None:
    """Otherwise nothing below tries all the detectors."""
    assert all(hazard.concerns(BAIT.encode()) for hazard in catalogue())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"x = 1\0", "a NUL byte at offset 5", id="NUL byte"),
        pytest.param("x = 1\n".encode("utf-16"), "NUL byte", id="UTF-16"),
        pytest.param(b"\x80\n", "is not utf-8 text (byte 0), and declares no other encoding", id="not UTF-8"),
        pytest.param("x = '\ud800'".encode(errors="surrogatepass"), "is not utf-8 text (byte 5)", id="lone surrogate"),
        pytest.param(b"# coding: klingon\nx = 1\n", "unknown encoding: klingon", id="unknown encoding"),
        pytest.param(b"# coding: rot13\nx = 1\n", "'rot13' is not a text encoding", id="codec that is no encoding"),
        pytest.param(b"# coding: undefined\nx = 1\n", "cannot be parsed", id="codec that refuses"),
        pytest.param(b"\xef\xbb\xbf# coding: latin-1\nx = 1\n", "encoding", id="mark and declaration differ"),
        pytest.param(b"# coding: utf-7\nx = '+2AA-'\n", "surrogates not allowed", id="surrogate by way of UTF-7"),
        pytest.param(b"x = 1\x1a\n", "shop/example.py:1: cannot be parsed by this Python", id="control character"),
        pytest.param(b"\n\nx = (\n", "shop/example.py:3: cannot be parsed by this Python", id="not closed"),
        pytest.param(b"def f():\n\tx\n        y\n", "shop/example.py:3: cannot be parsed", id="tabs and blanks"),
        pytest.param(b"(" * 100_000, "too many nested parentheses", id="100,000 brackets"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, "too many nested parentheses", id="100,000 lists"),
        pytest.param("x = " + " + ".join(["a"] * 100_000), "is nested too deeply to be parsed", id="100,000 terms"),
        pytest.param("x = a" + ".b" * 100_000, "is nested too deeply to be parsed", id="100,000 attributes"),
        pytest.param("x = a" + ".b()" * 100_000, "is nested too deeply to be parsed", id="100,000 calls"),
        pytest.param("x = " + "not " * 100_000 + "a", "is nested too deeply to be parsed", id="100,000 negations"),
        pytest.param("if a: x\n" + "elif a: x\n" * 100_000, "is nested too deeply to be parsed", id="100,000 branches"),
        pytest.param("def f():\n" * 101, "cannot be parsed", id="no body"),
        pytest.param(nested(100, "if a:"), "too many levels of indentation", id="100 blocks"),
        pytest.param("x = " + "9" * 5000, "cannot be parsed", id="5,000 digits"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(content: bytes | str, reason: str) -> None:
    assert reason in complaint(content)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(BAIT + BAD_LINE, id="plain"),
        pytest.param(b"\xef\xbb\xbf" + (BAIT + BAD_LINE).encode(), id="byte order mark"),
        pytest.param(b"# -*- coding: latin-1 -*-\n# caf\xe9\n" + (BAIT + BAD_LINE).encode(), id="declared latin-1"),
        pytest.param(("# coding: gbk\n# 中文\n" + BAIT + BAD_LINE).encode("gbk"), id="declared GBK"),
        pytest.param((BAIT + BAD_LINE).replace("\n", "\r\n"), id="CRLF"),
        pytest.param((BAIT + BAD_LINE).replace("\n", "\r"), id="CR"),
        pytest.param(BAIT + "\f\n\f" + BAD_LINE, id="form feeds"),
        pytest.param(BAIT + "x = '" + "a" * 2_000_000 + "'; " + BAD_LINE, id="huge single line"),
        pytest.param(BAIT + "x = [" + "1, " * 100_000 + "]\n" + BAD_LINE, id="100,000 entries"),
        pytest.param(BAIT + "x = '\\ud800' + '\\udfff'; " + BAD_LINE, id="escaped surrogates"),
        pytest.param(BAIT + "# ħ€łłø 🚀\n" + BAD_LINE.rstrip("\n"), id="no last newline"),
        *(pytest.param(nested(99, head), id=head) for head in ("if a:", "for a in b:", "with a:", "class A:", "def f():")),
    ],
)
def test_a_hazard_is_found_all_the_same(content: bytes | str) -> None:
    assert is_checked(content)


@pytest.mark.parametrize("content", [b"", b"\n", b"\f", b"\xef\xbb\xbf", b"# nothing\n" * 10_000, b"'''only a docstring'''"])
def test_a_file_that_says_nothing_is_silent(content: bytes) -> None:
    assert seen(content) == Inspection()


VALUES: dict[str, Callable[[int], str]] = {
    "sum": lambda size: " + ".join(["str(a)"] * size),
    "any of": lambda size: " or ".join(["a"] * size),
    "attributes": lambda size: "a" + ".b" * size,
    "calls": lambda size: "a" + ".b()" * size,
    "subscripts": lambda size: "a" + "[0]" * size,
    "calls in calls": lambda size: "str(" * min(size, 199) + "a" + ")" * min(size, 199),
    "choices": lambda size: "1 if a else " * size + "2",
    "negations": lambda size: "not " * size + "a",
    "lambdas": lambda size: "lambda: " * size + "a",
    "f-strings": lambda size: "f'{a}'" * size,
    "comparisons": lambda size: " < ".join(["a"] * size),
    "walrus": lambda size: "(b := " * min(size, 199) + "a" + ")" * min(size, 199),
}


@pytest.mark.parametrize("size", [10, 100, 900, 2000])
@pytest.mark.parametrize("form", VALUES)
def test_detectors_bear_what_the_parser_bears(form: str, size: int) -> None:
    """A value may be nested more deeply than detectors can follow. That is unknown, and no fault of ours."""
    value = VALUES[form](size)
    text = f"""
def f(a):
    order_id = {value}
    redis.Redis().set(order_id, {value})
    sqlite3.connect("x").execute({value})
    return order_id

def g(a):
    while True:
        try:
            return requests.post({value})
        except {value}:
            pass
"""
    assert holds_up(BAIT + text)


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param("n = n * 2\norder_id = uuid.uuid4().hex[:n]\n", id="a number made of itself"),
        pytest.param("n = m * 2\nm = n * 2\norder_id = uuid.uuid4().hex[:n]\n", id="two numbers made of each other"),
        pytest.param("import random\na = a + 'x'\norder_id = random.choices(a, k=8)\n", id="an alphabet made of itself"),
        pytest.param("a = b = a\norder_id = f'{a}{b}'\n", id="a text made of itself"),
        pytest.param("def f(): return g()\ndef g(): return f()\norder_id = f()\n", id="functions that call each other"),
        pytest.param("class A(A): pass\nclass B(A, B):\n    def f(self): return self.f()\n", id="a class made of itself"),
        pytest.param(
            "class A:\n    @property\n    def id(self): return self.id\n    def f(self): self.order_id = self.id\n",
            id="a property",
        ),
        pytest.param("r = r.pipeline()\nr.set(r, r)\n", id="a pipeline made of itself"),
        pytest.param("q = q + q\nsqlite3.connect('x').execute(q)\n", id="a query made of itself"),
        pytest.param("from time import time as time\ntime = time\norder_id = int(time())\n", id="an alias of itself"),
    ],
)
def test_what_is_made_of_itself_ends(lines: str) -> None:
    assert holds_up(BAIT + lines)


def test_a_detector_that_fails_hides_nothing_and_is_told_as_our_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    broken, *_ = [hazard for hazard in catalogue() if hazard.name == "identity/evaluated-once"]

    def fail(_: ast.Module, __: Module) -> list[object]:
        message = "no such luck"
        raise RuntimeError(message)

    monkeypatch.setattr(broken, "detectors", [((ast.Module,), fail)])
    inspection = seen(BAIT + BAD_LINE)
    (problem,) = inspection.problems
    assert problem.is_ours
    assert "identity/evaluated-once" in problem.message
    assert "no such luck" in problem.message
    assert [finding.hazard for finding in inspection.findings] == ["identity/coarse-clock"]


def test_endless_recursion_in_a_detector_is_our_fault_where_the_code_is_not_deep(monkeypatch: pytest.MonkeyPatch) -> None:
    broken, *_ = catalogue()

    def recurse(node: ast.Module, module: Module) -> list[object]:
        return recurse(node, module)

    monkeypatch.setattr(broken, "detectors", [((ast.Module,), recurse)])
    assert not holds_up(BAIT + BAD_LINE)


def examples() -> list[str]:
    """Code with much in it for detectors: the catalogue's own examples, each in one piece."""
    return [text for hazard in catalogue() for text in (*hazard.bad, *hazard.good)]


EXAMPLES = examples()
PIECES = sorted(
    {
        module.segment(node)
        for module in (Module("shop/example.py", text) for text in EXAMPLES)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.expr) and node.end_lineno == node.lineno
    }
)
SMALL_STATEMENTS = ("pass", "return", "x = 1", "del x", "global x", "yield", "continue", "raise", "x += 1", "return await x")


def grafted(text: str, draw: st.DrawFn) -> str:
    """The text with one expression, or one statement, put in the place of another."""
    module = Module("shop/example.py", text)
    nodes = [node for node in ast.walk(module.tree) if isinstance(node, (ast.expr, ast.stmt))]
    node = draw(st.sampled_from(nodes))
    others = [other for other in nodes if isinstance(other, ast.stmt)]
    pieces = (
        st.sampled_from(PIECES)
        if isinstance(node, ast.expr)
        else st.sampled_from(SMALL_STATEMENTS) | st.sampled_from(others).map(module.segment)
    )
    return text[: module.start(node)] + draw(pieces) + text[module.end(node) :]


@st.composite
def mutated_examples(draw: st.DrawFn) -> str:
    """An example in which pieces were put in the place of others, as long as it is Python."""
    text = draw(st.sampled_from(EXAMPLES))
    for _ in range(draw(st.integers(1, 5))):
        other = grafted(text, draw)
        try:
            tree = ast.parse(other)
        except (SyntaxError, ValueError):
            continue
        text = other if tree.body else text
    return text


@settings(max_examples=250, suppress_health_check=list(HealthCheck))
@given(mutated_examples())
def test_no_detector_falls_over_code_that_nobody_wrote(text: str) -> None:
    note(text)
    assert holds_up(MARK + text)


@st.composite
def mutilated_sources(draw: st.DrawFn) -> str:
    """A file of this project in which lines and tokens were left out, repeated and swapped."""
    lines = draw(st.sampled_from(SOURCES)).read_text(encoding="utf-8").splitlines(keepends=True)
    start = draw(st.integers(0, len(lines) - 1))
    lines = lines[start : start + draw(st.integers(1, 60))]
    for _ in range(draw(st.integers(0, 4))):
        at, other = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(("leave out", "repeat", "swap", "token"))):
            case "leave out":
                lines[at] = ""
            case "repeat":
                lines[at] *= 2
            case "swap":
                lines[at], lines[other] = lines[other], lines[at]
            case _:
                lines[at] = with_token_changed(lines[at], draw)
    return "".join(lines)


def with_token_changed(line: str, draw: st.DrawFn) -> str:
    """A line in which one token is left out or repeated."""
    try:
        tokens = [token for token in tokenize.generate_tokens(io.StringIO(line).readline) if token.string.strip()]
    except (tokenize.TokenError, SyntaxError):
        return line
    if not tokens:
        return line
    token = draw(st.sampled_from(tokens))
    return line[: token.start[1]] + token.string * draw(st.sampled_from((0, 2))) + line[token.end[1] :]


@settings(max_examples=250, suppress_health_check=list(HealthCheck))
@given(mutilated_sources())
@example("")
def test_no_mutilated_file_raises(text: str) -> None:
    assert holds_up(BAIT + MARK + text)


@settings(max_examples=300)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode(errors="surrogatepass")))
def test_no_bytes_raise(content: bytes) -> None:
    assert holds_up(content)
    assert holds_up(BAIT.encode() + content)


def test_the_largest_files_of_the_standard_library_are_read_without_a_fault_of_ours() -> None:
    folder = Path(sysconfig.get_path("stdlib"))
    files = [path for path in folder.rglob("*.py") if "site-packages" not in path.parts and "test" not in path.parts]
    largest = sorted(files, key=lambda path: path.stat().st_size, reverse=True)[:100]
    assert len(largest) == 100
    problems = [problem for path in largest for problem in inspect(path.name, path.read_bytes(), catalogue()).problems]
    assert not [problem.message for problem in problems if problem.is_ours]


def test_what_imports_the_test_runner_is_test_code_wherever_it_is_kept() -> None:
    bad = "import time\n\ndef order():\n    order_id = int(time.time())\n    return order_id\n"
    assert inspect("shop/testing.py", bad.encode(), catalogue()).findings
    for line in ("import pytest\n", "from pytest import fixture\n"):
        seen = inspect("shop/testing.py", (line + bad).encode(), catalogue())
        assert (seen.findings, seen.is_test) == ([], True)
    assert inspect("shop/testing.py", f'NAME = "pytest"\n{bad}'.encode(), catalogue()).findings
