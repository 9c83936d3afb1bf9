"""The real flake8 and the real pylint say the same as `check`."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Interlock

BAD = "import time\n\ndef new_order(user):\n    order_id = f'{user.id}-{int(time.time())}'\n    return order_id\n"
HAZARD = "identity/coarse-clock"
ACCEPTED = BAD.replace("'\n    return", f"'  # interlock: ignore[{HAZARD}]: shown to people\n    return")
WITHOUT_REASON = BAD.replace("'\n    return", f"'  # interlock: ignore[{HAZARD}]\n    return")
FILES = {
    "shop.py": BAD,
    "accepted.py": ACCEPTED,
    "careless.py": WITHOUT_REASON,
    "clean.py": "x = 1\n",
    "tests/test_shop.py": BAD,
    "vendor/shop.py": BAD,
    "interlock.toml": '[check]\nexclude = [{ path = "vendor/**", reason = "not ours" }]\n',
}
LINTERS = {
    "flake8": ["--select=ILK", "."],
    "pylint": [
        "--rcfile=/dev/null",
        "--load-plugins=interlock.cli.linters.pylint",
        "--disable=all",
        "--enable=interlock-hazard,interlock-not-checked",
        "--msg-template={path}:{line}:{column}: {msg_id} {msg}",
        "--persistent=no",
        "--score=no",
        "--recursive=y",
        ".",
    ],
}
LINE = re.compile(r"(?:\./)?(?P<path>[^:]+):(?P<line>\d+):(?P<column>\d+): (?P<code>\w+) (?P<message>.*)")


@pytest.mark.parametrize(("linter", "first_column"), [("flake8", 1), ("pylint", 0)])
def test_a_linter_says_what_check_says(interlock_in: Interlock, tmp_path: Path, linter: str, first_column: int) -> None:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    done = subprocess.run(
        [sys.executable, "-m", linter, *LINTERS[linter]], cwd=tmp_path, capture_output=True, encoding="utf-8", check=False
    )
    matches = [match for line in done.stdout.splitlines() if (match := LINE.match(line))]
    hazards = [match for match in matches if match["code"] in {"ILK001", "E5801"}]
    said = {(match["path"], int(match["line"]), int(match["column"]) - first_column + 1, match["message"]) for match in hazards}

    lines = interlock_in("check").out.splitlines()
    checked = [re.match(r"(.+?):(\d+):(\d+): (\S+ .*)", line) for line in lines if not line.startswith(" ")]
    assert said == {(found[1], int(found[2]), int(found[3]), found[4]) for found in checked if found}, done.stderr
    assert {path for path, *_ in said} == {"shop.py", "careless.py"}
    assert [match["path"] for match in matches if match["code"] in {"ILK002", "W5802"}] == ["careless.py"]
    assert done.returncode
