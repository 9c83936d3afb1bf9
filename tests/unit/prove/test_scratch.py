"""A folder of a server's files is gone when its block ends, and when its process was killed, with the next one."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from interlock.prove import scratch

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place that is taken for the memory."""
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(scratch, "MEMORY", tmp_path)
    monkeypatch.setattr(scratch, "ROOM", 0)
    monkeypatch.setattr(scratch, "_NEW_FOR_S", -1.0)
    return tmp_path


def holds_a_folder(told: Connection) -> None:
    with scratch.scratch_folder() as folder:
        (folder / "base").write_text("rows")
        told.send(None)
        signal.pause()


def test_a_folder_is_in_memory_and_gone_afterwards(memory: Path) -> None:
    with scratch.scratch_folder() as folder:
        assert folder.parent == memory
        (folder / "base").write_text("rows")

    assert list(memory.iterdir()) == []


def test_one_that_is_in_use_stays_and_one_whose_process_was_killed_does_not(memory: Path) -> None:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=holds_a_folder, args=(there,))
    process.start()
    here.recv()

    scratch.remove_abandoned(memory)
    assert [(one / "base").read_text() for one in memory.iterdir()] == ["rows"]

    process.kill()
    process.join()
    scratch.remove_abandoned(memory)
    assert list(memory.iterdir()) == []


def test_what_has_just_been_made_may_be_about_to_be_locked(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "_NEW_FOR_S", 60.0)
    (memory / f"{scratch.PREFIX}new").mkdir()
    (memory / "another").mkdir()
    os.utime(memory / "another", (0, 0))

    scratch.remove_abandoned(memory)

    assert len(list(memory.iterdir())) == 2


@pytest.mark.parametrize("missing", ["room", "place", "nothing but what the user wants"])
def test_where_it_cannot_be_in_memory_it_is_where_temporary_files_are(
    memory: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    if missing == "room":
        monkeypatch.setattr(scratch, "ROOM", shutil.disk_usage(memory).total + 1)
    elif missing == "place":
        monkeypatch.setattr(scratch, "MEMORY", memory / "none")
    else:
        monkeypatch.setenv("TMPDIR", "/tmp")  # noqa: S108 - where they are by default.

    with scratch.scratch_folder() as folder:
        assert folder.is_dir()
        assert memory not in folder.parents
