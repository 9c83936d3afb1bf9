from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack

import pytest

from interlock.prove import one_core

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process choose its core")


@pytest.fixture(autouse=True)
def _names_of_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_core, "_NAME", f"\0interlock.test.core.{os.getpid()}.")


def test_what_is_started_meanwhile_is_on_the_same_core() -> None:
    before = os.sched_getaffinity(0)
    with one_core.one_core():
        ours = os.sched_getaffinity(0)
        told = subprocess.check_output([sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"], text=True)
    assert len(ours) == 1
    assert told.strip() == str(ours)
    assert os.sched_getaffinity(0) == before


def test_an_error_gives_the_core_back() -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(OSError, match="of the block"), one_core.one_core():
        raise OSError("of the block")
    assert os.sched_getaffinity(0) == before
    with one_core.one_core():
        assert len(os.sched_getaffinity(0)) == 1


def test_each_proof_has_a_core_of_its_own_until_there_is_none_left() -> None:
    before = os.sched_getaffinity(0)
    with ExitStack() as stack:
        ours: list[set[int]] = []
        for _ in before:
            stack.enter_context(one_core.one_core())
            ours.append(os.sched_getaffinity(0))
        assert sorted(core for one in ours for core in one) == sorted(before)
        with one_core.one_core():
            assert os.sched_getaffinity(0) == ours[-1]  # Nothing was free, so that nothing was changed.
    assert os.sched_getaffinity(0) == before
