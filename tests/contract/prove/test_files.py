"""What workers do to files is shared and in nobody's order: it is unknown; but what tells nobody anything is left alone."""

from __future__ import annotations

import fcntl
import importlib
import logging
import logging.handlers
import os
import shelve
import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from interlock.core.verdict import Verdict
from interlock.prove.contract import contract
from interlock.prove.explore import Proof, prove
from interlock.prove.invariant import Invariant

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.prove.world import World

    Task = Callable[[Path], object]

pytestmark = pytest.mark.usefixtures("redis_server")

NOT_CONTROLLED = "whose order with others this guard does not control"


def proof_of(*tasks: Callable[[], object], given: Callable[[], object] = lambda: None) -> Proof:
    @contract(workers=len(tasks), faults=0)
    def at_work(world: World) -> None:
        def worker(task: Callable[[], object]) -> Callable[[], None]:
            def works() -> None:
                client = redis.Redis.from_url(world.redis_url)
                client.incr("n")
                task()
                client.incr("n")

            return works

        world.given(given)
        world.run(*map(worker, tasks))
        world.recover(lambda: None, times=1)
        world.check(Invariant("counted", lambda: None if world.redis("GET", "n") == str(2 * len(tasks)).encode() else "not"))

    return prove(at_work, budget_s=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with what the tasks find."""
    for name in ("there", "other"):
        tmp_path.joinpath(name).write_text("as it was")
    tmp_path.joinpath("full").mkdir()
    tmp_path.joinpath("full", "file").write_text("as it was")
    return tmp_path


def state_of(folder: Path) -> dict[str, object]:
    return {str(path): (path.read_text(), path.stat().st_mtime_ns) if path.is_file() else None for path in folder.rglob("*")}


def locked(here: Path) -> None:
    with here.joinpath("there").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)


CHANGES: dict[str, tuple[Task, str]] = {
    "written": (lambda here: here.joinpath("new").write_text("1"), "writes a file"),
    "written over": (lambda here: here.joinpath("there").open("r+"), "writes a file"),
    "made for one alone": (lambda here: here.joinpath("new").open("x"), "writes a file"),
    "opened below Python's files": (lambda here: os.open(here / "new", os.O_CREAT | os.O_WRONLY), "writes a file"),
    "cut off": (lambda here: os.truncate(here / "there", 0), "writes a file"),
    "added to and read": (lambda here: here.joinpath("there").open("a+"), "writes a file"),
    "a moment kept": (lambda here: here.joinpath("there").touch(), "touches a file"),
    "put in its place": (lambda here: here.joinpath("there").replace(here / "other"), "renames a file"),
    "copied": (lambda here: shutil.copy(here / "there", here / "other"), "writes a file"),
    "removed": (lambda here: here.joinpath("there").unlink(), "removes a file"),
    "removed as a tree": (lambda here: shutil.rmtree(here / "full"), "removes a folder"),
    "a folder as a lock": (lambda here: here.joinpath("lock").mkdir(), "makes a folder"),
    "a link as a lock": (lambda here: here.joinpath("lock").symlink_to("there"), "links a file"),
    "locked": (locked, "locks a file"),
    "a database": (lambda here: sqlite3.connect(here / "new"), "opens a database in a file"),
    "a shelf": (lambda here: shelve.open(str(here / "new")), "opens a database in a file"),  # noqa: S301, SIM115 - it is not opened.
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_workers_change_is_unknown_and_not_changed(folder: Path, name: str) -> None:
    task, does = CHANGES[name]
    before = state_of(folder)

    proof = proof_of(lambda: task(folder), lambda: task(folder))

    assert proof.verdict is Verdict.UNKNOWN
    assert proof.reason.startswith(f"{__file__}:")
    assert does in proof.reason
    assert NOT_CONTROLLED in proof.reason or "nobody controls what happens there" in proof.reason
    assert state_of(folder) == before


def test_a_race_over_a_file_is_no_pass(tmp_path: Path) -> None:
    count = tmp_path / "count"

    def one_more() -> None:
        seen = int(count.read_text())
        redis.Redis(host="redis.interlock").get("anything")
        count.write_text(str(seen + 1))

    proof = proof_of(one_more, one_more, given=lambda: count.write_text("0"))

    assert proof.verdict is Verdict.UNKNOWN
    assert f"writes a file, {NOT_CONTROLLED}: {count}" in proof.reason


def logged(here: Path, handler: Callable[[Path], logging.Handler]) -> None:
    log = logging.Logger("shop")  # noqa: LOG001 - one for each worker.
    log.addHandler(handler(here / "log"))
    log.error("x" * 50)
    log.error("x" * 50)
    log.handlers[0].close()


def rotating(log: Path) -> logging.Handler:
    return logging.handlers.RotatingFileHandler(log, maxBytes=10, backupCount=2)


def in_a_folder_of_its_own(_: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        one = Path(name, "one")
        one.write_text("1")
        one.rename(one.with_name("two"))
        Path(name, "below").mkdir()
        sqlite3.connect(Path(name, "database")).close()


def in_a_file_of_its_own(_: Path) -> None:
    with tempfile.NamedTemporaryFile(mode="w") as file, tempfile.TemporaryFile() as nameless:
        file.write("1")
        nameless.write(b"1")
    descriptor, name = tempfile.mkstemp()
    os.close(descriptor)
    Path(name).write_text("1")
    Path(name).unlink()


def imported_for_the_first_time(here: Path) -> None:
    name = f"late_{here.name.replace('-', '_')}"
    here.joinpath("full", "file").read_text()
    sys.path.insert(0, str(here))
    importlib.invalidate_caches()
    importlib.import_module(name)
    sys.path.remove(str(here))


HARMLESS: dict[str, Task] = {
    "read": lambda here: here.joinpath("there").read_text(),
    "added to": lambda here: here.joinpath("there").open("a").close(),
    "a log": lambda here: logged(here, logging.FileHandler),
    "a log that is begun anew": lambda here: logged(here, lambda log: logging.FileHandler(log, mode="w")),
    "a log that is put aside": lambda here: logged(here, rotating),
    "a device": lambda _: Path(os.devnull).write_text("1"),
    "a folder that may be there": lambda here: here.joinpath("some", "where").mkdir(parents=True, exist_ok=True),
    "the same, as it was done before": lambda here: os.makedirs(here / "some" / "where", exist_ok=True),  # noqa: PTH103 - that one.
    "what is not there, removed": lambda here: here.joinpath("nothing").unlink(missing_ok=True),
    "a file of its own": in_a_file_of_its_own,
    "a folder of its own": in_a_folder_of_its_own,
    "a database that is only read": lambda here: sqlite3.connect(f"file:{here / 'base'}?mode=ro", uri=True).close(),
    "a module that is compiled": imported_for_the_first_time,
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_tells_nobody_anything_is_left_alone(folder: Path, name: str) -> None:
    sqlite3.connect(folder / "base").execute("CREATE TABLE t (n)").connection.close()
    folder.joinpath(f"late_{folder.name.replace('-', '_')}.py").write_text("X = 1\n")

    proof = proof_of(*[lambda: HARMLESS[name](folder)] * 2)

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")


def test_what_a_schedule_begins_with_may_lie_in_files(tmp_path: Path) -> None:
    settings = tmp_path / "settings"
    proof = proof_of(settings.read_text, settings.read_text, given=lambda: settings.write_text("x"))

    assert (proof.verdict, proof.reason) == (Verdict.PASS, "")


@pytest.mark.parametrize("who", [0, 1])
def test_a_log_that_somebody_reads_is_no_log(tmp_path: Path, who: int) -> None:
    (log := tmp_path / "log").touch()
    tasks: list[Any] = [log.read_text, lambda: log.open("a").close()]

    proof = proof_of(tasks[who], tasks[1 - who])

    assert proof.verdict is Verdict.UNKNOWN
    assert NOT_CONTROLLED in proof.reason
    assert str(log) in proof.reason


def test_a_file_of_one_worker_that_another_is_told_of_is_unknown() -> None:
    told = redis.Redis(host="redis.interlock", decode_responses=True)

    def gives() -> None:
        with tempfile.NamedTemporaryFile() as file:
            told.set("name", file.name)
            told.get("name")

    def takes() -> None:
        if name := told.get("name"):
            Path(str(name)).read_bytes()

    proof = proof_of(gives, takes)

    assert proof.verdict is Verdict.UNKNOWN
    assert f"reads a file that workers write, {NOT_CONTROLLED}" in proof.reason
