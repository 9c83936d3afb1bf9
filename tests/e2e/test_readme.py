"""The README shows what the command prints, to the letter but for the seconds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Interlock

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def shown() -> list[list[str]]:
    """What the README says that `interlock check charge.py` prints, each time it is run."""
    blocks = re.findall(r"^    \$ interlock check charge\.py\n((?:    .+\n)+)", README, flags=re.MULTILINE)
    return [[line.removeprefix("    ") for line in block.splitlines()] for block in blocks]


def printed(interlock_in: Interlock) -> list[str]:
    """What it prints."""
    ran = interlock_in("check", "charge.py")
    return [*ran.out.splitlines(), *ran.err.splitlines()]


def without_seconds(lines: list[str]) -> list[str]:
    """The lines without the time that they took."""
    return [re.sub(r"\d+\.\d\d s$", "", line) for line in lines]


def test_the_readme_shows_what_is_printed(interlock_in: Interlock, tmp_path: Path) -> None:
    bad, cure = re.findall(r"^```python\n(.+?)^```", README, flags=re.MULTILINE | re.DOTALL)
    stopped, silent = shown()

    (tmp_path / "charge.py").write_text(bad)
    assert without_seconds(printed(interlock_in)) == without_seconds(stopped)

    (tmp_path / "charge.py").write_text(re.sub(r"^    key = .+\n", lambda _: cure, bad, flags=re.MULTILINE))
    assert without_seconds(printed(interlock_in)) == without_seconds(silent)
