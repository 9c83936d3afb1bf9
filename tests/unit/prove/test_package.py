from __future__ import annotations

import subprocess
import sys

import pytest

from interlock import prove


@pytest.mark.parametrize("name", prove.__all__)
def test_what_a_contract_needs_can_be_taken_from_the_package(name: str) -> None:
    there = subprocess.run(
        [sys.executable, "-c", f"from interlock.prove import {name}; assert callable({name})"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert there.returncode == 0, there.stderr


@pytest.mark.parametrize("before", ["pass", "import interlock.prove.contract", "from interlock.prove.contract import Contract"])
def test_the_decorator_is_no_module_whatever_was_imported_before(before: str) -> None:
    asked = (
        "from interlock.prove import contract; from interlock.prove.contract import contract as same; assert contract is same"
    )
    assert subprocess.run([sys.executable, "-c", f"{before}; {asked}"], check=False).returncode == 0


def test_nothing_is_loaded_that_nobody_has_asked_for() -> None:
    told = subprocess.check_output(
        [
            sys.executable,
            "-c",
            "import sys, interlock.prove; print([name for name in sys.modules if name.startswith('interlock.')])",
        ],
        text=True,
    )
    assert told.strip() == "['interlock.prove']"


def test_a_name_that_is_not_there_is_said() -> None:
    with pytest.raises(AttributeError, match="no attribute 'retry_queue'"):
        _ = prove.retry_queue  # type: ignore[attr-defined]
