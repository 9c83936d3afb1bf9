"""The house's own rules, as far as no linter knows them."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import interlock

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PACKAGE = Path(interlock.__file__).resolve().parent
SOURCES = sorted(PACKAGE.rglob("*.py"))

# What would bind the text to one machine, or to where that machine gets its packages. Spelled so that it does not find itself.
FOREIGN = re.compile(r"(?<![\w.-])/([w]ork|[r]oot|[t]mp/v)/|pypi\.org/[s]imple|files\.[p]ythonhosted")

# Runs one command and tells which modules it has imported.
_LISTS_MODULES = "import sys; {command}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}), file=sys.stderr)"


def functions(path: Path) -> list[tuple[str, int]]:
    """Each function of a file, as `file:line name`, with the number of its lines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        (f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name}", (node.end_lineno or node.lineno) - node.lineno + 1)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]


def texts_of_the_repository() -> list[Path]:
    """Every file that git tracks, or would."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("the sources lie in no git repository")
    names = [name for name in listed.stdout.decode().split("\0") if name]
    return [REPOSITORY / name for name in names if (REPOSITORY / name).is_file()]


def imported_by(command: str, folder: Path) -> set[str]:
    """The top-level modules that a command imports, where no site-packages start themselves."""
    done = subprocess.run(
        [sys.executable, "-S", "-X", "utf8", "-c", _LISTS_MODULES.format(command=command)],
        cwd=folder,
        env={"PYTHONPATH": f"{PACKAGE.parent}:{folder}", "PATH": ""},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


def strangers(modules: set[str]) -> set[str]:
    """Those which are neither of the standard library nor ours."""
    return {name for name in modules if name not in sys.stdlib_module_names and name not in {"interlock", "__main__"}}


def test_no_function_is_longer_than_70_lines_and_most_are_short() -> None:
    lengths = [found for path in SOURCES for found in functions(path)]
    assert [name for name, lines in lengths if lines > 70] == []
    assert statistics.median(lines for _, lines in lengths) < 10


def test_no_module_is_a_drawer_for_everything() -> None:
    names = {"utils", "util", "helpers", "misc", "common", "tools"}
    assert [path.name for path in SOURCES if path.stem.strip("_") in names] == []


def test_every_module_says_what_it_is_about() -> None:
    silent = [path.name for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert silent == []


def test_no_text_knows_the_machine_that_it_was_written_on() -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}: {match[0]}"
        for path in texts_of_the_repository()
        if (match := FOREIGN.search(path.read_bytes().decode(errors="replace")))
    ]
    assert found == []


def test_the_search_for_foreign_texts_finds_one() -> None:
    for parts in (("cd ", "work", "main"), ("PATH=", "root", "bin"), ("https://pypi.org", "simple")):
        assert FOREIGN.search("/".join(parts))
    assert not FOREIGN.search("https://github.com/work/root/")


CHECK = "import interlock.cli.main as cli; code = cli.main(['check', 'shop.py']); assert code == {code}, code"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("x = 1\n", 0),
        (
            "import time\nfrom shop import redis\ndef f():\n    order_id = int(time.time())\n    redis.set(order_id, 1)\n",
            1,
        ),
        ("x = (\n", 3),
    ],
)
def test_a_check_imports_the_standard_library_and_nothing_else(tmp_path: Path, content: str, code: int) -> None:
    (tmp_path / "shop.py").write_text(content, encoding="utf-8")
    modules = imported_by(CHECK.format(code=code), tmp_path)
    assert "interlock" in modules
    assert strangers(modules) == set()


@pytest.mark.parametrize("module", ["rich", "redis", "asyncio", "json", "sarif", "interlock.gate"])
def test_a_check_that_finds_nothing_does_not_pay_for(tmp_path: Path, module: str) -> None:
    (tmp_path / "shop.py").write_text("x = 1\n", encoding="utf-8")
    command = f"{CHECK.format(code=0)}; assert {module!r} not in sys.modules"
    assert imported_by(command, tmp_path)


HOOK = """import io, json; import interlock.cli.main as cli
sys.stdin = io.TextIOWrapper(io.BytesIO(json.dumps({event}).encode()))
code = cli.main(['hook', {assistant!r}]); assert code == 0, code
assert not {{'interlock.gate', 'subprocess', 'asyncio', 'traceback', 'argparse', 'shutil'}} & set(sys.modules)"""


@pytest.mark.parametrize("assistant", ["claude", "cursor"])
@pytest.mark.parametrize(
    "content", ["x = 1\n", "import time\n\ndef f():\n    order_id = int(time.time())\n    return order_id\n"]
)
def test_a_hook_imports_the_standard_library_and_starts_no_other_program(tmp_path: Path, assistant: str, content: str) -> None:
    name = "PreToolUse" if assistant == "claude" else "preToolUse"
    (tmp_path / "interlock.toml").write_text('[[feature]]\nname = "payments"\ntier = 1\npaths = ["shop/**"]\n')
    asked = {"file_path": str(tmp_path / "shop.py"), "content": content}
    event = {"hook_event_name": name, "tool_name": "Write", "tool_input": asked}
    command = f"exec({HOOK.format(event=event, assistant=assistant)!r})"
    assert strangers(imported_by(command, tmp_path)) == set()


def test_a_third_party_module_would_be_noticed(tmp_path: Path) -> None:
    (tmp_path / "thirdparty.py").write_text("", encoding="utf-8")
    assert strangers(imported_by("import thirdparty", tmp_path)) == {"thirdparty"}
