"""A pattern that is compiled later is the one that `re.compile` gives, and every one of ours is right."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

import interlock
from interlock.core.pattern import pattern

ROOT = Path(interlock.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
    for folder in ("source", "hazards")
    for path in (ROOT / folder).rglob("*.py")
    if " import pattern\n" in path.read_text(encoding="utf-8")
)


def test_it_does_what_a_pattern_does() -> None:
    for later in (pattern("(A)+", re.IGNORECASE), pattern("(?i)(a)+")):
        assert [bool(found) for found in (later.search("xAa"), later.match("xAa"), later.fullmatch("Aa"))] == [
            True,
            False,
            True,
        ]
        assert (later.sub("b", "xAa"), later.findall("aXa"), later.split("1a2"), later.groups) == (
            "xb",
            ["a", "a"],
            ["1", "a", "2"],
            1,
        )


def test_one_that_is_not_right_says_so_when_it_is_asked() -> None:
    with pytest.raises(re.error):
        pattern("(").search("")


@pytest.mark.parametrize("module", MODULES)
def test_every_pattern_of_ours_can_be_asked(module: str) -> None:
    found = [value for value in vars(import_module(module)).values() if type(value) is type(pattern(""))]
    assert found
    assert all(isinstance(later.pattern, str) for later in found)
